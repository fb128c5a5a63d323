import Glibc
import TestSupport
import Testing

@testable import Programs

/// Who belongs to a program: process 10 of the daemon 1, group 10.
struct FamilyTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var what: String
        /// Process, parent, group; the start is the process's number where not said.
        var processes: [(pid: Int32, parent: Int32, group: Int32)]
        var isReaped = false
        var programs: Set<Int32> = [10]
        var marked: Set<Int32> = []
        var known: Set<Int32> = []
        var members: [Int32]

        var testDescription: String { what }
    }

    static let rows = [
        Row(what: "the program is not its own member", processes: [(10, 1, 10)], members: []),
        Row(
            what: "children and theirs, whatever their group",
            processes: [(10, 1, 10), (11, 10, 10), (12, 11, 12), (13, 12, 12), (20, 1, 20)],
            members: [11, 12, 13]),
        Row(
            what: "an orphan in the group",
            processes: [(10, 1, 10), (12, 1, 10)], members: [12]),
        Row(
            what: "another program with its children is left alone",
            processes: [(10, 1, 10), (20, 1, 20), (21, 20, 20)], programs: [10, 20], members: []),
        Row(
            what: "an orphan outside the group needs a mark",
            processes: [(10, 1, 10), (12, 1, 12), (13, 12, 13), (14, 1, 14)], marked: [12],
            members: [12, 13]),
        Row(
            what: "a mark on another's child says nothing",
            processes: [(10, 1, 10), (30, 2, 30)], marked: [30], members: []),
        Row(
            what: "who was found before is one wherever he went",
            processes: [(12, 1, 12), (13, 12, 12)], isReaped: true, programs: [], known: [12],
            members: [12, 13]),
        Row(
            what: "the group outlives its leader",
            processes: [(12, 1, 10), (13, 12, 10)], isReaped: true, programs: [],
            members: [12, 13]),
        Row(
            what: "the number belongs to a new program",
            processes: [(10, 1, 10), (12, 10, 10), (13, 1, 10)], isReaped: true, members: []),
        Row(
            what: "a child older than its parent is none: the number was used again",
            processes: [(10, 1, 10), (9, 10, 9)], members: []),
        Row(
            what: "the daemon never is one",
            processes: [(1, 11, 10), (10, 1, 10), (11, 10, 10)], members: [11]),
    ]

    @Test(arguments: rows) func theMembersAreFound(_ row: Row) {
        let records = row.processes.map {
            ProcessRecord(
                pid: $0.pid, parent: $0.parent, group: $0.group, start: UInt64($0.pid))
        }
        var family = Family(program: 10, mark: nil, pipes: [])
        family.known = Set(records.map(\.identity).filter { row.known.contains($0.pid) })
        let members = family.members(
            among: records,
            Family.Surroundings(reaper: 1, programs: row.programs, isReaped: row.isReaped)
        ) { row.marked.contains($0) }
        #expect(members.map(\.pid).sorted() == row.members)
    }

    @Test func whoHasEndedIsNoMember() {
        let records = [
            ProcessRecord(pid: 10, parent: 1, group: 10, start: 1),
            ProcessRecord(pid: 11, parent: 10, group: 10, start: 2, isZombie: true),
        ]
        let family = Family(program: 10, mark: nil, pipes: [])
        let surroundings = Family.Surroundings(reaper: 1, programs: [10], isReaped: false)
        #expect(family.members(among: records, surroundings) { _ in true }.isEmpty)
    }

    @Test(arguments: [
        ("12 (sh) S 1 12 12 0 -1 4194560 95 0 0 0 0 0 0 0 20 0 1 0 777 2560000 120", false),
        ("12 (a) b (c) Z 1 12 12 0 -1 4194560 95 0 0 0 0 0 0 0 20 0 1 0 777 2560000 120", true),
    ]) func aNameMayHoldAnything(text: String, isZombie: Bool) {
        #expect(
            ProcessRecord(stat: Array(text.utf8))
                == ProcessRecord(pid: 12, parent: 1, group: 12, start: 777, isZombie: isZombie))
    }

    @Test(arguments: [
        "", "12", "12 (sh", "12 (sh) S 1 12", "x (sh) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 ",
    ])
    func whatIsNoRecordIsNone(text: String) {
        #expect(ProcessRecord(stat: Array(text.utf8)) == nil)
    }

    @Test func theSystemIsReadAsItIs() throws {
        let own = try #require(ProcessRecord.read(getpid()))
        #expect(own.pid == getpid() && own.parent == getppid() && own.group == getpgrp())
        #expect(!own.isZombie)
        #expect(ProcessRecord.all().map(\.identity).contains(own.identity))
        #expect(ProcessRecord.read(Int32.max) == nil)
    }

    @Test func aMarkIsSeenInEnvironmentAndPipes() async throws {
        try await onTestLoop {
            var invocation = Invocation(program: "/bin/sleep", arguments: ["600"])
            invocation.markAsOne()
            let mark = try #require(invocation.mark)
            let program = try Program.start(invocation)
            // The kernel shows an environment a moment after execve(2) has let us go on.
            try await eventually("the mark is seen") {
                ProcessRecord.isMarked(program.pid, by: mark, orHolds: [])
            }
            #expect(!ProcessRecord.isMarked(program.pid, by: mark + "0", orHolds: []))
            let pipes = program.pipes
            #expect(pipes.count == 2)
            #expect(ProcessRecord.isMarked(program.pid, by: nil, orHolds: pipes))
            #expect(!ProcessRecord.isMarked(program.pid, by: nil, orHolds: [0]))
            program.stop(grace: .zero)
            _ = await program.completion()
        }
    }
}

import Foundation
import Glibc
import Programs
import Reactor
import TestSupport
import Testing

@Suite(.serialized) struct ProgramTests {
    @Test func fiveMegabytesKeepHeadAndTail() async throws {
        let done = try await completeShell("echo first; yes | head -c 5000000; echo last")
        #expect(done.output.byteCount == 5_000_011)
        #expect(done.output.text.hasPrefix("first\ny\n"))
        #expect(done.output.text.hasSuffix("\ny\nlast\n"))
        #expect(done.output.omittedCount == 5_000_011 - 65_536)
    }

    @Test func aFloodLeavesTheMemoryFlat() async throws {
        let before = try residentMemory()
        let done = try await complete(
            "/usr/bin/head", ["-c", "200000000", "/dev/zero"], limit: 10_000)
        #expect(done.output.byteCount == 200_000_000)
        #expect(try residentMemory() - before < 100_000)
    }

    @Test func bytesThatAreNoTextAreMadeStorable() async throws {
        let done = try await completeShell(#"printf 'a\0b\377c' >&2"#)
        #expect(done.error.text == "a\u{FFFD}b\u{FFFD}c")
    }

    /// The loop goes on while a program is silent and while one floods.
    @Test func manyRunAtOnce() async throws {
        let endings = try await onTestLoop {
            try await withThrowingTaskGroup(of: Ending.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        try await completeShell("head -c 300000 /dev/zero; exit \(number)").ending
                    }
                }
                var endings: [Ending] = []
                for try await ending in group { endings.append(ending) }
                return endings
            }
        }
        #expect(endings.count == 50)
        #expect((0..<50).allSatisfy { endings.contains(.exited(code: $0)) })
    }

    @Test func whatAChildWritesWithinTheGraceIsKept() async throws {
        let done = try await completeShell(
            "exec >&-; (sleep 0.2; echo late >&2) & echo early >&2; exit 4")
        #expect(done.ending == .exited(code: 4))
        #expect(done.error.text == "early\nlate\n")
    }

    @Test(.timeLimit(.minutes(5))) func aChildThatHoldsThePipesEndsNothingButTheGrace() async throws
    {
        try await onTestLoop {
            let program = try Program.start(
                Invocation(
                    program: "/bin/sh", arguments: ["-c", "sleep 600 & echo $!; exit 3"]),
                outputGrace: .milliseconds(100))
            let done = await program.completion()
            #expect(done.ending == .exited(code: 3))
            let child = try #require(Int32(done.output.text.dropLast()))
            // It lives on, as under cron.
            #expect(isRunning(child))
            kill(child, SIGKILL)
        }
    }

    /// Nobody waits for its end: it is reaped all the same.
    @Test func aProgramThatNobodyHoldsIsStillReaped() async throws {
        let pid = try await onTestLoop {
            try Program.start(Invocation(program: "/bin/sleep", arguments: ["0.05"])).pid
        }
        try await eventually("it is gone, not a zombie") { kill(pid, 0) != 0 && errno == ESRCH }
    }

    @Test func completionMayBeAskedForTwiceAndLate() async throws {
        try await onTestLoop {
            let program = try Program.start(
                Invocation(program: "/bin/echo", arguments: ["x"]))
            async let other = program.completion()
            let (first, second) = (await program.completion(), await other)
            #expect(first == second)
            #expect(await program.completion().output.text == "x\n")
        }
    }

    @Test func aThousandLeaveNothingBehind() async throws {
        try await onTestLoop {
            try await completeShell("exit 0")
            let before = try openDescriptors()
            try await withThrowingTaskGroup(of: (Int32, Ending).self) { group in
                for number in 0..<1_000 {
                    if number >= 20, let (pid, ending) = try await group.next() {
                        #expect(ending == .exited(code: 0))
                        #expect(kill(pid, 0) != 0, "a zombie")
                    }
                    group.addTask { try await runTrue() }
                }
                try await group.waitForAll()
            }
            // Other tests of the process open some at the same time.
            #expect(try openDescriptors() < before + 200)
        }
    }
}

@LoopActor
private func runTrue() async throws -> (Int32, Ending) {
    let program = try Program.start(Invocation(program: "/bin/true"))
    return (program.pid, await program.completion().ending)
}

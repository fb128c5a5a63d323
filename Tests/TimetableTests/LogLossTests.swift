import Foundation
import Reactor
import Systemd
import TestSupport
import Testing

@testable import Timetable

/// Lines that can't be written now: they wait within bounds, and what is lost is said.
struct LogLossTests {
    /// A journal that is busy: its socket holds a few lines alone.
    @Test func aBusyJournalGetsAllLinesInTheirOrder() async throws {
        let socket = try Receiver(abstract: false)
        try await onTestLoop {
            let queue = JournalQueue(try #require(Journal(socket: socket.name)))
            // More than any queue of the kernel holds.
            for number in 0..<2_000 { queue.send([("MESSAGE", "\(number)")]) }
            for number in 0..<2_000 {
                try #require(try await socket.wait() == "MESSAGE=\(number)\n")
            }
            await queue.empty()
            #expect(socket.next() == nil)
        }
    }

    @Test func whatIsTooMuchForTheJournalIsLostAndCounted() async throws {
        let socket = try Receiver(abstract: false)
        try await onTestLoop {
            let queue = JournalQueue(try #require(Journal(socket: socket.name)))
            let long = String(repeating: "x", count: 60_000)
            for _ in 0..<700 { queue.send([("MESSAGE", long)]) }
            var taken = 0
            var last = try await socket.wait()
            while last == "MESSAGE=\(long)\n" {
                taken += 1
                last = try await socket.wait()
            }
            #expect(taken > 50 && taken < 700)
            #expect(
                last == """
                    MESSAGE=\(700 - taken) lines were lost: the journal did not take them
                    PRIORITY=3
                    SYSLOG_IDENTIFIER=carillon

                    """)
        }
    }

    /// A table that takes no line: the console says so once, and how many were lost.
    @Test func linesThatTheTableDoesNotTakeAreCountedAndSaid() async throws {
        let served = try await Served.fresh("loss", ["--database-log-level", "debug"])
        try await served.psql(
            """
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN RAISE EXCEPTION ''no room''; END';
            CREATE TRIGGER refuse BEFORE INSERT ON timetable.log EXECUTE FUNCTION refuse();
            """)
        let config = try await served.addConfig("now", [("SQL", "SELECT 1")])
        #expect(try await served.run(config) == "CHAIN_DONE||")
        try await served.daemon.waitForLine(
            containing: "timetable.log can't be written, and its lines are lost: no room")
        try await served.psql("DROP TRIGGER refuse ON timetable.log")
        #expect(try await served.run(config) == "CHAIN_DONE||")
        let said = try await served.daemon.waitForLine(
            containing: "lines of timetable.log were lost while it could not be written")
        let sentence = try #require(said.text.components(separatedBy: ":\t ").last)
        try await served.waitFor(
            "1", "SELECT count(*) FROM timetable.log WHERE message = '\(sentence)'")
        #expect(served.daemon.lines.count { $0.text.contains("its lines are lost") } == 1)
    }
}

extension Receiver {
    @LoopActor fileprivate func wait() async throws -> String {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            if let line = next() { return line }
            try await EventLoop.shared.sleep(for: .milliseconds(1))
        }
        throw NotReached("no line came")
    }
}

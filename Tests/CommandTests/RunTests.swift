import Foundation
import TestSupport
import Testing

@Suite struct RunTests {
    @Test func outcomes() async throws {
        let served = try await Served.fresh("run")
        let database = served.database
        _ = try await served.addConfig(
            "good", [("SHELL", "/bin/echo"), ("SQL", "SELECT 'second'")])
        _ = try await served.addConfig("bad", [("SQL", "SELECT 1/0")])
        _ = try await served.addConfig(
            "slow", [("SQL", "SELECT pg_sleep(60)")], columns: "schedule, timeout",
            values: "'@manual', '100 ms'")

        let good = try await carillon(database, "run", "good", "--wait")
        #expect(good.code == 0)
        #expect(good.out == "\n?column?\nsecond\nSELECT 1\n", "\(good)")
        #expect(good.err.contains("run 1 of good began on worker001\n"))
        #expect(good.err.contains("run 1 done after "))
        let bad = try await carillon(database, "run", "bad", "--wait")
        #expect(bad.code == 10, "\(bad)")
        #expect(bad.err.contains("bad 0: division by zero\n"))
        #expect(bad.err.contains("run 2 failed after "))
        let slow = try await carillon(database, "run", "slow", "--wait", "--json")
        #expect(slow.code == 11, "\(slow)")
        #expect(try slow.objects().first?["outcome"] as? String == "TIMED_OUT")

        let asked = try await carillon(database, "run", "bad")
        #expect(asked.out == "request 4 of bad\n" && asked.err == "" && asked.code == 0)
        let json = try await carillon(database, "run", "bad", "--json").objects()
        #expect(json.first?["request"] as? Int == 5)
    }

    @Test func parameters() async throws {
        let served = try await Served.fresh("run")
        _ = try await served.addConfig("echo", [("SHELL", "/bin/echo")])
        let said = try await carillon(
            served.database, "run", "echo", "--wait", "--parameters", #"[["a", "b"], ["c"]]"#)
        #expect(said.out == "a b\nc\n" && said.code == 0, "\(said)")
        let wrong = try await carillon(
            served.database, "run", "echo", "--parameters", #"{"7": 1}"#)
        #expect(wrong.code == 64 && wrong.err.contains("is no element of the chain"), "\(wrong)")
        let broken = try await carillon(served.database, "run", "echo", "--parameters", "[[")
        #expect(broken.code == 64 && broken.err.contains("invalid input syntax"), "\(broken)")
        #expect(try await served.psql("SELECT count(*) FROM timetable.run_request") == "1")
    }

    @Test func parametersAreNotShownByPs() async throws {
        let served = try await Served.fresh("run")
        _ = try await served.addConfig("echo", [("SHELL", "/bin/echo")])
        served.daemon.terminate()
        try await served.daemon.waitForExit()
        let waiting = try watched(
            served.database, "run", "echo", "--wait", "--parameters", #"[["hunter2"]]"#)
        try await waiting.waitForLine(containing: "no daemon serves this database")
        let line = try String(contentsOfFile: "/proc/\(waiting.pid)/cmdline", encoding: .utf8)
        #expect(line.contains("--parameters") && !line.contains("hunter2"), "\(line)")
        waiting.terminate()
        #expect(try await waiting.waitForExit() == .exited(130))
    }

    @Test func withoutADaemonItSaysSoAndWaits() async throws {
        let served = try await Served.fresh("run")
        let database = served.database
        _ = try await served.addConfig("good", [("SQL", "SELECT 'here'")])
        served.daemon.terminate()
        try await served.daemon.waitForExit()
        let asked = try await carillon(database, "run", "good")
        #expect(asked.code == 0 && asked.err.contains("no daemon serves this database"), "\(asked)")
        let waiting = try watched(database, "run", "good", "--wait")
        try await waiting.waitForLine(containing: "no daemon serves this database")
        let next = try await Served.on(database)
        #expect(try await waiting.waitForExit() == .exited(0))
        #expect(waiting.lines.contains { $0.text == "here" })
        withExtendedLifetime(next) {}
    }

    @Test func ctrlCEndsTheWaitingOnly() async throws {
        let served = try await Served.fresh("run")
        let database = served.database
        _ = try await served.addConfig("slow", [("SQL", "SELECT pg_sleep(60)")])
        let waiting = try watched(database, "run", "slow", "-w")
        try await waiting.waitForLine(containing: "run 1 of slow began")
        waiting.send(2)
        #expect(try await waiting.waitForExit() == .exited(130))
        #expect(
            waiting.lines.contains { $0.text.contains("carillon show 1, or carillon cancel 1") })
        #expect(
            try await served.psql("SELECT execution_status FROM timetable.run_status") == "STARTED")

        let other = try watched(database, "run", "slow", "-w")
        try await other.waitForLine(containing: "run 2 of slow began")
        let cancelled = try await carillon(database, "cancel", "2", "--reason", "enough")
        #expect(cancelled.code == 0 && cancelled.out == "run 2 is being cancelled\n")
        #expect(try await other.waitForExit() == .exited(12))
        #expect(other.lines.contains { $0.text.hasSuffix(": enough") }, "\(other.lines)")
        let again = try await carillon(database, "cancel", "2")
        #expect(again.code == 1 && again.err.contains("was cancelled"), "\(again)")
        #expect(
            try await served.psql(
                "SELECT execution_status, reason FROM timetable.run_status WHERE run_status = 2")
                == "CANCELLED|enough")
    }

    @Test func retriesAreFollowedToTheEnd() async throws {
        let served = try await Served.fresh("run")
        _ = try await served.addConfig(
            "again", [("SQL", "SELECT 1/0")], columns: "schedule, retries, retry_delay",
            values: "'@manual', 1, '200 ms'")
        _ = try await served.addConfig(
            "long", [("SQL", "SELECT 1/0")], columns: "schedule, retries, retry_delay",
            values: "'@manual', 1, '1 hour'")
        let said = try await carillon(served.database, "run", "again", "--wait")
        #expect(said.code == 10, "\(said)")
        #expect(said.err.contains("attempt 1 has failed; the next is at"))
        #expect(
            said.err.split(separator: "\n").filter { $0.contains("division by zero") }.count == 3)
        // A run that waits is ended by no daemon, and yet told of.
        let waiting = try watched(served.database, "run", "long", "--wait")
        try await waiting.waitForLine(containing: "attempt 1 has failed")
        #expect(try await carillon(served.database, "cancel", "2").code == 0)
        #expect(try await waiting.waitForExit() == .exited(12))
    }

    @Test func onATerminal() async throws {
        let served = try await Served.fresh("run")
        _ = try await served.addConfig(
            "loud", [("SQL", "SELECT E'one\\x1b[2J\\ttwo'"), ("SQL", "SELECT 1/0")])
        let said = try await onTerminal(served.database, columns: 80, ["run", "loud", "--wait"])
        #expect(said.code == 10)
        #expect(
            said.out.hasPrefix("run 1 of loud began on worker001\n?column?\none\\u{1B}[2J"),
            "\(said)")
        #expect(said.out.contains("loud 1: division by zero\nrun 1 failed after "))
        #expect(!said.out.contains("\u{1B}"))
    }
}

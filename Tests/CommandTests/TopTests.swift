import TestSupport
import Testing

@Suite struct TopTests {
    @Test func once() async throws {
        let served = try await Served.fresh("top")
        let database = served.database
        _ = try await carillon(
            database, "add", "later", "--schedule", "0 0 1 1 *", "--sql", "SELECT 1")
        _ = try await carillon(
            database, "add", "slow", "--schedule", "@manual", "--sql", "SELECT pg_sleep(60)")
        let waiting = try watched(database, "run", "slow", "-w")
        try await waiting.waitForLine(containing: "run 1 of slow began")
        _ = try await carillon(database, "run", "later", "-w")
        let said = try await carillon(database, "top", "--once")
        #expect(said.code == 0)
        #expect(said.out.hasPrefix("carillon: 1 worker, 1 running, 1 due, next in "), "\(said)")
        let parts = said.out.split(separator: "\n\n")
        try #require(parts.count == 5, "\(said)")
        #expect(parts[1].hasPrefix("DUE NEXT\n") && parts[1].hasSuffix(" later"))
        #expect(parts[2].hasPrefix("RUNNING\n") && parts[2].hasSuffix(" worker001  slow"))
        #expect(parts[3].hasPrefix("LAST\n") && parts[3].contains(" DONE "))
        #expect(parts[4].hasPrefix("WORKERS\n") && parts[4].contains("worker001  serving "))
        let objects = try await carillon(database, "top", "--json").objects()
        #expect(
            objects.compactMap { $0["section"] as? String } == ["due", "running", "last", "worker"])
        withExtendedLifetime(waiting) {}
    }

    @Test func aLiveScreen() async throws {
        let served = try await Served.fresh("top")
        let program = try DaemonProcess.builtCarillon()
        let top = try DaemonProcess(
            ["-qec", "stty cols 90 rows 24; exec '\(program)' top", "/dev/null"],
            environment: served.database.environment.merging([
                "TERM": "xterm", "SHELL": "/bin/sh", "NO_COLOR": "1",
            ]) { $1 }, program: "script")
        try await top.waitForLine(containing: "carillon: 1 worker, 0 running, 0 due")
        // A new config, and a run, are on the screen without being asked for.
        let config = try await served.addConfig(
            "yearly", [("SQL", "SELECT 1/0")], values: "'0 0 1 1 *'")
        try await top.waitForLine(containing: "1 due, next in ")
        try await top.waitForLine(containing: " yearly")
        _ = try await served.run(config)
        try await top.waitForLine(containing: " FAILED   yearly  division by zero")
        let screens = top.lines.map(\.text).joined(separator: "\n").split(separator: "\u{1B}[H")
        for screen in screens.dropFirst() {
            #expect(screen.split(separator: "\n").count <= 24)
        }
        _ = try await runProgram("pkill", ["-TERM", "-P", "\(top.pid)"])
        #expect(try await top.waitForExit() == .exited(0))
        #expect(top.lines.last?.text.contains("\u{1B}[?25h\u{1B}[?1049l") == true)
    }
}

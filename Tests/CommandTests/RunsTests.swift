import TestSupport
import Testing

@Suite struct RunsTests {
    @Test func runsAndOneOfThem() async throws {
        let served = try await Served.fresh("runs")
        let good = try await served.addConfig(
            "good", [("SHELL", "/bin/echo"), ("SQL", "SELECT 'two'")])
        let bad = try await served.addConfig("bad", [("SHELL", "/bin/false")])
        try await served.psql(
            """
            INSERT INTO timetable.chain_execution_parameters
            SELECT \(good), chain_id, 1, '["hello", "there"]' FROM timetable.chain_execution_config
            WHERE chain_execution_config = \(good)
            """)
        _ = try await served.run(good)
        _ = try await served.run(bad)
        _ = try await served.run(good)
        let database = served.database

        let all = try await carillon(database, "runs")
        #expect(all.lines.count == 4, "\(all)")
        #expect(all.lines[0].hasPrefix("RUN  NAME"))
        #expect(all.lines[1].contains(" good ") && all.lines[1].contains(" DONE "))
        #expect(all.lines[2].contains(" bad ") && all.lines[2].contains(" FAILED "))
        #expect(try await carillon(database, "runs", "-n", "1").lines.count == 2)
        #expect(try await carillon(database, "runs", "good").lines.count == 3)
        #expect(try await carillon(database, "runs", "\(bad)").lines.count == 2)
        #expect(try await carillon(database, "runs", "--failed").lines.count == 2)
        #expect(try await carillon(database, "runs", "--since", "1h").lines.count == 4)
        let later = try await carillon(database, "runs", "--since", "2999-01-01")
        #expect(later.lines.isEmpty && later.err == "there is no such run\n")
        #expect(try await carillon(database, "runs", "good", "--failed").lines.isEmpty)

        let run = try await served.psql("SELECT min(run_status) FROM timetable.run_status")
        let shown = try await carillon(database, "show", run)
        #expect(shown.code == 0)
        for text in [
            "run:            \(run) of good\n", "outcome:        CHAIN_DONE\n",
            "asked for:      request 1 of postgres\n", "worker:         worker001\n",
            "good 0 (SHELL), ", "  parameters:   [\"hello\", \"there\"]\n",
            "  output:       hello there\n", "good 1 (SQL), ", "two\n",
        ] { #expect(shown.out.contains(text), "\(text): \(shown)") }
        let object = try #require(
            try await carillon(database, "show", run, "--json").objects().first)
        let tasks = try #require(object["tasks"] as? [[String: Any]])
        #expect(tasks.compactMap { $0["task"] as? String } == ["good 0", "good 1"])
        #expect(tasks[0]["output"] as? String == "hello there\n")
        #expect(tasks[0]["parameters"] as? [String] == ["hello", "there"])

        let failed = try await carillon(database, "runs", "bad", "--json").objects()
        let number = try #require(failed.first?["run"] as? Int)
        let why = try await carillon(database, "show", "\(number)")
        #expect(why.out.contains("failed, exit code 1"), "\(why)")
    }

    @Test(arguments: [
        (["runs", "nobody"], "there is no config \"nobody\"", Int32(64)),
        (["runs", "--since", "soon"], "--since: soon is no time", 64),
        (["runs", "--limit", "0"], "--limit must be from 1 to 100000", 64),
        (["show", "77"], "there is no run 77", 1), (["show", "x"], "The value 'x' is invalid", 64),
        (["cancel", "77"], "there is no run 77", 64),
        (["run", "nobody"], "there is no config \"nobody\"", 64),
        (["log", "nobody"], "there is no config \"nobody\"", 64),
        (["log", "-f", "--json"], "--json is an array", 64),
    ])
    func whatMakesNoSense(arguments: [String], reason: String, code: Int32) async throws {
        let served = try await Served.fresh("nonsense")
        let result = try await runProgram(
            DaemonProcess.builtCarillon(), arguments, environment: served.database.environment)
        #expect(result.stderr.contains(reason), "\(result.stderr)")
        #expect(result.end == .exited(code))
        #expect(result.stdout == "")
    }
}

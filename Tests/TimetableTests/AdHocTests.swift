import TestSupport
import Testing

struct AdHocTests {
    @Test(arguments: ["1", "nightly", #"{"config": 1}"#, #"{"config": "nightly", "delay": 0.2}"#])
    func aNotificationStartsALiveConfig(payload: String) async throws {
        let served = try await Served.fresh("adhoc")
        _ = try await served.addConfig("nightly", [("SQL", "SELECT 1")])
        // The daemon that turns raw notifications into requests holds a lock for it.
        try await eventually("the notification is taken") {
            try await served.psql("NOTIFY timetable_run, '\(payload)'")
            return try await served.psql(
                "SELECT count(*) > 0 FROM timetable.run_status WHERE execution_status = "
                    + "'CHAIN_DONE' AND run_request IS NOT NULL") == "t"
        }
        let requestedBy = try await served.psql(
            "SELECT DISTINCT requested_by FROM timetable.run_request")
        #expect(requestedBy == "NOTIFY")
    }

    @Test(arguments: ["99", "no such chain", "{", #"{"config": []}"#, #"{"delay": 1}"#, "paused"])
    func aNotificationThatNamesNoLiveConfigIsSaidAndRunsNothing(payload: String) async throws {
        let served = try await Served.fresh("adhoc")
        let paused = try await served.addConfig("paused", [("SQL", "SELECT 1")])
        try await served.psql(
            "UPDATE timetable.chain_execution_config SET live = false")
        try await eventually("the notification is reported") {
            try await served.psql("NOTIFY timetable_run, '\(payload)'")
            return served.daemon.lines.contains { $0.text.contains("names no live config") }
        }
        #expect(try await served.psql("SELECT count(*) FROM timetable.run_status") == "0")
        #expect(try await served.run(paused) == "CHAIN_DONE||")
    }

    /// One worker takes the notification; another one alone may run it, or runs what it waits for.
    @Test(arguments: ["false", "true"])
    func whatOneWorkerTakesAnotherRuns(waits: String) async throws {
        let first = try await Served.fresh("adhoc")
        try await eventually("the first worker takes notifications") {
            try await first.psql(
                """
                SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                WHERE l.locktype = 'advisory' AND l.objsubid = 1
                    AND datname = current_database()
                    AND application_name LIKE 'carillon worker001 %'
                    AND (classid::bigint << 32 | objid::bigint)
                        = hashtextextended('carillon notifications', 0)
                """) == "1"
        }
        let second = try await Served.on(first.database, name: "worker002")
        let config = try await first.addConfig(
            "bound", [("SQL", "SELECT pg_sleep(0.5)")],
            columns: "schedule, client_name, max_instances", values: "'@manual', 'worker002', 1")
        if waits == "true" {
            try await first.psql("SELECT timetable.run(\(config))")
            try await second.waitFor(
                "STARTED", "SELECT execution_status FROM timetable.run_status")
        }
        try await first.psql("NOTIFY timetable_run, 'bound'")
        try await second.waitFor(
            "CHAIN_DONE|worker002",
            """
            SELECT r.execution_status, r.client_name
            FROM timetable.run_status r JOIN timetable.run_request q USING (run_request)
            WHERE q.requested_by = 'NOTIFY'
            """)
    }

    @Test func notificationsCanBeTurnedOff() async throws {
        let served = try await Served.fresh("adhoc", ["--no-notify"])
        let config = try await served.addConfig("nightly", [("SQL", "SELECT 1")])
        try await served.psql("NOTIFY timetable_run, 'nightly'")
        #expect(try await served.run(config) == "CHAIN_DONE||")
        #expect(try await served.psql("SELECT count(*) FROM timetable.run_request") == "1")
    }

    @Test func aRequestMadeWhileNoDaemonIsUpIsRunByTheNext() async throws {
        let first = try await Served.fresh("adhoc")
        let config = try await first.addConfig("later", [("SQL", "SELECT 1")])
        first.daemon.terminate()
        #expect(try await first.daemon.waitForExit() == .exited(0))
        let request = try await first.psql("SELECT timetable.run(\(config))")
        let second = try await Served.on(first.database)
        #expect(try await second.end(ofRequest: request) == "CHAIN_DONE||")
    }

    @Test func aRequestWaitsForItsTime() async throws {
        let served = try await Served.fresh("adhoc")
        let config = try await served.addConfig("later", [("SQL", "SELECT 1")])
        let request = try await served.psql(
            "SELECT timetable.run(\(config), NULL, clock_timestamp() + interval '0.4 s')")
        #expect(try await served.end(ofRequest: request) == "CHAIN_DONE||")
        let late = try await served.psql(
            """
            SELECT r.started - q.run_after >= interval '0'
            FROM timetable.run_status r JOIN timetable.run_request q USING (run_request)
            """)
        #expect(late == "t")
    }

    @Test func requestsWaitForRoomAndAreNeverDropped() async throws {
        let served = try await Served.fresh("adhoc")
        let config = try await served.addConfig(
            "one at a time", [("SQL", "SELECT pg_sleep(0.05)")],
            columns: "schedule, max_instances", values: "'@manual', 1")
        try await served.psql("SELECT timetable.run(\(config)) FROM generate_series(1, 10)")
        try await served.waitFor(
            "10",
            "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'CHAIN_DONE'")
        let overlaps = try await served.psql(
            """
            SELECT count(*) FROM timetable.run_status a JOIN timetable.run_status b
                ON a.run_status < b.run_status AND a.started < b.finished AND b.started < a.finished
            """)
        #expect(overlaps == "0")
    }

    @Test func parametersOfARequestAreItsRuns() async throws {
        let served = try await Served.fresh("adhoc")
        let config = try await served.addConfig("echo", [("SHELL", "/bin/echo")])
        #expect(
            try await served.run(config, #"'[["a", "b c"], ["$HOME"]]'"#) == "CHAIN_DONE||")
        try await served.waitFor(
            "$HOME|a b c",
            "SELECT string_agg(rtrim(output, E'\\n'), '|' ORDER BY output COLLATE \"C\") "
                + "FROM timetable.execution_log")
        let parameters = try await served.psql("SELECT parameters FROM timetable.run_status")
        #expect(parameters == #"{"1": [["a", "b c"], ["$HOME"]]}"#)
    }

    @Test(arguments: [
        ("timetable.run(77)", "there is no config 77"),
        ("timetable.run('nope')", "no config with the chain_name \"nope\""),
        (#"timetable.run(1, '"x"')"#, "neither an array of rows nor an object"),
        (#"timetable.run(1, '{"99": [[]]}')"#, "is no element of the chain"),
        (#"timetable.run(1, '{"1": 5}')"#, "no array of rows"),
        ("timetable.run(1, NULL, 'infinity')", "run_after_is_finite"),
    ])
    func aBadRequestIsRefusedAtOnce(call: String, reason: String) async throws {
        let served = try await Served.fresh("adhoc")
        _ = try await served.addConfig("nightly", [("SQL", "SELECT 1")])
        let error = await #expect(throws: PsqlFailed.self) {
            try await served.psql("SELECT \(call)")
        }
        #expect(error?.stderr.contains(reason) == true)
    }
}

import TestSupport
import Testing

/// `timetable.pause_job` and `resume_job`, with a daemon.
struct PauseTests {
    private static let ended = """
        SELECT count(*) FROM timetable.run_status WHERE execution_status = 'CHAIN_DONE'
        """

    private func next(_ name: String, _ served: Served) async throws -> String {
        let result = try await runProgram(
            DaemonProcess.builtCarillon(), ["next", name, "--utc", "--count", "1"],
            environment: served.database.environment)
        return result.stdout + result.stderr
    }

    @Test func aPauseLastsUntilItIsResumed() async throws {
        let served = try await Served.fresh("pause")
        let config = try await served.addConfig(
            "often", [("SQL", "SELECT 1")], columns: "schedule, misfire",
            values: "'* * * * * *', 'ALL'")
        try await eventually("it fires") { try await served.psql(Self.ended) >= "2" }
        try await served.psql("SELECT timetable.pause_job('often', 'disk is full')")
        try await served.daemon.waitForLine(
            containing: "scheduled config \(config), next fire never")
        #expect(
            try await served.psql(
                """
                SELECT paused_until, paused_by, pause_note, paused_at <= now(), live
                FROM timetable.chain_execution_config
                """) == "infinity|postgres|disk is full|t|t")
        #expect(try await served.psql("SELECT timetable.next_run('often')") == "")
        let said = try await next("often", served)
        #expect(said.contains("paused until it is resumed: disk is full"))

        // A claim that was on its way may have been faster.
        try await served.waitFor(
            "0", "SELECT count(*) FROM timetable.run_status WHERE finished IS NULL")
        let before = try await served.psql("SELECT count(*) FROM timetable.run_status")
        try await eventually("a notification is refused") {
            try await served.psql("NOTIFY timetable_run, 'often'")
            return served.daemon.lines.contains { $0.text.contains("names no live config") }
        }
        #expect(try await served.run(config) == "CHAIN_DONE||")
        try await served.psql("SELECT pg_sleep(1.1)")
        #expect(
            try await served.psql("SELECT count(*) - \(before) FROM timetable.run_status") == "1")

        #expect(try await served.psql("SELECT timetable.resume_job('often')") == "t")
        try await eventually("it fires again") {
            try await served.psql(
                """
                SELECT count(*) > 0 FROM timetable.run_status r, timetable.chain_execution_config c
                WHERE r.scheduled_for > c.scheduled_since
                """) == "t"
        }
        // Nothing that lay in the pause was made up for, or is called missed.
        #expect(
            try await served.psql(
                """
                SELECT count(*) FROM timetable.run_status r
                WHERE execution_status = 'MISSED' OR started - scheduled_for > interval '900 ms'
                """) == "0")
        #expect(try await served.psql("SELECT timetable.resume_job('often')") == "f")
    }

    @Test func aPauseEndsByItself() async throws {
        let served = try await Served.fresh("pause")
        let config = try await served.addConfig(
            "often", [("SQL", "SELECT 1")], columns: "schedule, misfire",
            values: "'* * * * * *', 'ALL'")
        try await eventually("it fires") { try await served.psql(Self.ended) >= "1" }
        let until =
            try await served.psql(
                """
                SELECT date_trunc('second', clock_timestamp()) + interval '4 s' AS until \\gset
                SELECT timetable.pause_job('often', until := :'until');
                SELECT extract(epoch FROM :'until'::timestamptz)::bigint
                """
            ).split(separator: "\n").last.map(String.init) ?? ""
        #expect(
            try await served.psql("SELECT extract(epoch FROM timetable.next_run('often'))::bigint")
                == until)
        let told = try await served.psql(
            "SELECT to_char(to_timestamp(\(until)), 'YYYY-MM-DD\"T\"HH24:MI:SS')")
        #expect(try await next("often", served).hasPrefix(told))
        try await served.daemon.waitForLine(
            containing: "scheduled config \(config), next fire \(told)")
        let began = try await served.psql("SELECT clock_timestamp()")
        try await served.waitFor(
            "2",
            """
            SELECT count(*) FROM (SELECT FROM timetable.run_status
                WHERE extract(epoch FROM scheduled_for) >= \(until) LIMIT 2) AS r
            """)
        // The instant itself is the first; none of those before it came later.
        #expect(
            try await served.psql(
                """
                SELECT min(extract(epoch FROM scheduled_for))::bigint = \(until),
                    count(*) FILTER (WHERE execution_status = 'MISSED')
                FROM timetable.run_status WHERE scheduled_for > '\(began)'
                """) == "t|0")
    }

    @Test(arguments: ["'infinity'", "now() + interval '1 hour'"])
    func whatIsNotOfTheClockWaitsToo(until: String) async throws {
        let database = try await PrivateCluster.database("pause")
        let first = try await Served.on(database)
        for (name, schedule) in [("at start", "@reboot"), ("behind", "@after 1s")] {
            _ = try await first.addConfig(
                name, [("SQL", "SELECT 1")], columns: "schedule, live",
                values: "'\(schedule)', false")
        }
        try await first.psql(
            """
            SELECT timetable.pause_job('at start', until := \(until)),
                timetable.pause_job('behind', until := \(until));
            UPDATE timetable.chain_execution_config SET live = true
            """)
        first.daemon.terminate()
        #expect(try await first.daemon.waitForExit() == .exited(0))
        let second = try await Served.on(database)
        let third = try await second.addConfig("other", [("SQL", "SELECT 1")])
        #expect(try await second.run(third) == "CHAIN_DONE||")
        #expect(try await second.psql("SELECT count(*) FROM timetable.run_status") == "1")
        try await second.psql("SELECT timetable.resume_job('behind')")
        try await second.waitFor("2", Self.ended)
    }

    @Test func aRetryGoesOn() async throws {
        let served = try await Served.fresh("pause")
        try await served.psql("CREATE SEQUENCE tries")
        let config = try await served.addConfig(
            "tried", [("SQL", "SELECT 1 / (nextval('tries') / 2)")],
            columns: "schedule, retries, retry_delay", values: "'@manual', 1, '1 s'")
        let request = try await served.psql("SELECT timetable.run(\(config))")
        try await served.waitFor("WAITING", "SELECT execution_status FROM timetable.run_status")
        try await served.psql("SELECT timetable.pause_job('tried')")
        #expect(try await served.end(ofRequest: request) == "CHAIN_DONE||")
    }
}

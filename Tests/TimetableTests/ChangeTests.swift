import TestSupport
import Testing

/// What is changed takes effect at once.
struct ChangeTests {
    private static let lastOutput = """
        SELECT rtrim(output, E'\\n') FROM timetable.execution_log ORDER BY last_run DESC LIMIT 1
        """

    @Test func scriptsAndParametersAreThoseOfTheMoment() async throws {
        let served = try await Served.fresh("change")
        let config = try await served.addConfig("echo", [("SHELL", "/bin/echo")])
        try await served.psql(
            """
            INSERT INTO timetable.chain_execution_parameters VALUES (\(config), 1, 1, '["one"]')
            """)
        #expect(try await served.run(config) == "CHAIN_DONE||")
        try await served.waitFor("one", Self.lastOutput)
        try await served.psql(
            "UPDATE timetable.chain_execution_parameters SET value = '[\"two\"]'")
        #expect(try await served.run(config) == "CHAIN_DONE||")
        try await served.waitFor("two", Self.lastOutput)
        try await served.psql(
            "UPDATE timetable.base_task SET script = '/bin/false' WHERE name = 'echo 0'")
        #expect(try await served.run(config).hasPrefix("CHAIN_FAILED|"))
    }

    @Test func schedulesAreRescheduled() async throws {
        let served = try await Served.fresh("change")
        let config = try await served.addConfig(
            "moving", [("SQL", "SELECT 1")], values: "'@at 2100-01-01 00:00:00+00'")
        try await served.daemon.waitForLine(
            containing: "scheduled config \(config), next fire 2100-01-01T00:00:00.000Z")
        func update(_ assignment: String) async throws -> Int {
            let lines = served.daemon.lines.count
            try await served.psql("UPDATE timetable.chain_execution_config SET \(assignment)")
            return lines
        }
        var from = try await update("schedule = '@at 2101-01-01 00:00:00+00'")
        try await served.daemon.waitForLine(
            containing: "scheduled config \(config), next fire 2101-01-01", from: from)
        from = try await update("live = false")
        try await served.daemon.waitForLine(
            containing: "scheduled config \(config), next fire never", from: from)
        from = try await update("live = true")
        try await served.daemon.waitForLine(
            containing: "scheduled config \(config), next fire 2101-01-01", from: from)
        from = try await update("schedule = NULL, run_at_month = 2, run_at_day = 29")
        try await served.daemon.waitForLine(containing: "02-29T00:00:00.000Z", from: from)
        from = served.daemon.lines.count
        try await served.psql("DELETE FROM timetable.chain_execution_config")
        try await served.daemon.waitForLine(
            containing: "scheduled config \(config), next fire never", from: from)
        from = try await update("live = live")  // no row is left, nothing is said
        #expect(!served.daemon.lines.dropFirst(from).contains { $0.text.contains("scheduled") })
    }

    /// It neither fires nor misses anything before it has a chain, nor outside of its window.
    @Test(arguments: ["chain_id = 1", "ends_at = NULL", "jitter = NULL"])
    func whatDidNotFireYetMissesNothing(change: String) async throws {
        let served = try await Served.fresh("change")
        let config = try await served.addConfig(
            "chainless", [("SQL", "SELECT 1")],
            columns: "schedule, misfire, starts_at, ends_at, jitter, live",
            values: """
                '@every 1h', 'ALL', now() - interval '630 min', now() - interval '3 hours', '1 s',
                false
                """)
        if change.hasPrefix("chain_id") {
            try await served.psql(
                """
                UPDATE timetable.chain_execution_config
                SET chain_id = NULL, ends_at = NULL
                """)
        }
        let lines = served.daemon.lines.count
        try await served.psql("UPDATE timetable.chain_execution_config SET live = true")
        try await served.psql(
            """
            UPDATE timetable.chain_execution_config SET scheduled_since = now() - interval '1 day';
            """)
        if change.hasPrefix("chain_id") {
            try await served.daemon.waitForLine(
                containing: "scheduled config \(config), next fire never", from: lines)
            #expect(
                try await served.psql("SELECT count(*) FROM timetable.next_fires(\(config))") == "0"
            )
        }
        try await served.psql("UPDATE timetable.chain_execution_config SET \(change)")
        #expect(
            try await served.psql(
                """
                SELECT scheduled_since > now() - interval '1 min'
                FROM timetable.chain_execution_config
                """) == "t")
        // It has looked when it has run a request.
        #expect(try await served.run(config) == "CHAIN_DONE||")
        #expect(
            try await served.psql(
                "SELECT count(*) FROM timetable.run_status WHERE run_request IS NULL") == "0")
    }

    @Test func tenThousandConfigsInOneTransactionNeedAHandfulOfNotifications() async throws {
        let served = try await Served.fresh("change")
        _ = try await served.addConfig("first", [("SQL", "SELECT 1")])
        let heard = try await served.psql(
            """
            LISTEN timetable_config;
            INSERT INTO timetable.chain_execution_config (chain_id, chain_name, live, schedule)
            SELECT 1, 'config ' || n, true, '0 4 * * *' FROM generate_series(1, 10000) AS n;
            """)
        #expect(heard.split(separator: "\n").count < 10)
        try await served.daemon.waitForLine(containing: "read all configs: 10000 schedules")
        let messages = try await served.psql(
            """
            LISTEN timetable_config;
            UPDATE timetable.chain_execution_config SET schedule = '0 5 * * *'
            WHERE chain_execution_config <= 2000;
            """)
        #expect(messages.split(separator: "\n").count < 10)
        try await served.daemon.waitForLine(containing: "scheduled config 2000, next fire")
    }

    @Test func aLostListenerMissesNothing() async throws {
        let served = try await Served.fresh("change")
        try await served.psql(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE '% control'
            """)
        _ = try await served.addConfig(
            "after the cut", [("SQL", "SELECT 1")], values: "'@every 1s'")
        try await served.waitFor(
            "t",
            """
            SELECT count(*) > 0 FROM timetable.run_status WHERE execution_status = 'CHAIN_DONE'
            """)
        try await served.daemon.waitForLine(containing: "connected to the database again")
    }

    @Test(arguments: [
        ("schedule", "'61 * * * *'", "column \"schedule\""),
        ("schedule", "'0 0 30 2 *'", "column \"schedule\""),
        ("schedule, time_zone", "'@daily', 'Europe/Nowhere'", "column \"time_zone\""),
        ("run_at_minute", "60", "run_at_minute_is_from_0_to_59"),
        ("run_at_day, run_at_month", "30, 2", "run_at_day_exists_in_run_at_month"),
        ("schedule, run_at_hour", "'@daily', 4", "either_schedule_or_run_at_columns"),
        ("schedule, max_instances", "'@daily', 0", "max_instances_is_positive"),
    ])
    func whatCanNotBeScheduledIsRefusedByName(
        columns: String, values: String, reason: String
    ) async throws {
        let served = try await Served.fresh("change")
        let error = await #expect(throws: PsqlFailed.self) {
            try await served.addConfig(
                "bad", [("SQL", "SELECT 1")], columns: columns, values: values)
        }
        #expect(error?.stderr.contains(reason) == true, "\(error?.stderr ?? "no error")")
    }
}

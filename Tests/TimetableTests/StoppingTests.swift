import TestSupport
import Testing

/// Time limits and cancels: whatever is under way ends, and says why.
struct StoppingTests {
    private static let endless: [(kind: String, script: String, parameter: String)] = [
        ("SQL", "SELECT pg_sleep(600)", "NULL"), ("SQL", "SELECT 1; SELECT pg_sleep(600)", "NULL"),
        ("SHELL", "/bin/sleep", #"[["600"]]"#), ("BUILTIN", "Sleep", "[600]"),
        // Ignores SIGTERM, and so does its child.
        ("SHELL", "/bin/sh", #"[["-c", "trap '' TERM; sleep 600 & wait; sleep 600"]]"#),
    ]

    @Test(arguments: endless)
    func anyKindOfTaskCanBeCancelled(
        kind: String, script: String, parameter: String
    ) async throws {
        let served = try await Served.fresh("stop")
        let config = try await served.addConfig("endless", [(kind, script)])
        let request = try await served.psql(
            "SELECT timetable.run(\(config), \(parameter == "NULL" ? "NULL" : "'" + parameter.replacing("'", with: "''") + "'"))"
        )
        try await served.waitFor(
            "1", "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'STARTED'")
        let run = try await served.psql("SELECT run_status FROM timetable.run_status")
        #expect(try await served.psql("SELECT timetable.cancel(\(run), 'enough')") == "t")
        #expect(try await served.end(ofRequest: request).hasPrefix("CANCELLED|enough|"))
        #expect(
            try await served.psql(
                """
                SELECT reason, cancel_requested_by = session_user,
                    finished - cancel_requested_at < interval '1 second'
                FROM timetable.run_status
                """) == "enough|t|t")
        try await served.waitFor(
            "enough",
            "SELECT split_part(error, E'\\n', 1) FROM timetable.execution_log WHERE returncode <> 0"
        )
        #expect(try await served.psql("SELECT timetable.cancel(\(run))") == "f")
    }

    @Test func cancellingWhatIsNotThereIsRefused() async throws {
        let served = try await Served.fresh("stop")
        await #expect(throws: (any Error).self) {
            try await served.psql("SELECT timetable.cancel(4711)")
        }
        // The payload alone cancels nothing.
        let config = try await served.addConfig("brief", [("SQL", "SELECT pg_sleep(0.7)")])
        let request = try await served.psql("SELECT timetable.run(\(config))")
        try await served.waitFor(
            "1", "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'STARTED'")
        try await served.psql("NOTIFY timetable_cancel, '1'; NOTIFY timetable_cancel, 'x'")
        #expect(try await served.end(ofRequest: request) == "CHAIN_DONE||")
    }

    @Test(arguments: endless.prefix(4))
    func aTaskEndsWithItsTimeLimit(
        kind: String, script: String, parameter: String
    ) async throws {
        let served = try await Served.fresh("stop")
        let config = try await served.addConfig("endless", [(kind, script)])
        try await served.psql("UPDATE timetable.task_chain SET timeout = '300 ms'")
        let end = try await served.run(
            config, parameter == "NULL" ? "NULL" : "'" + parameter + "'")
        #expect(end.hasPrefix("TIMED_OUT|timed out after 0.3 s|"))
    }

    @Test func aChainEndsWithItsTimeLimit() async throws {
        let served = try await Served.fresh("stop")
        try await served.psql("CREATE TABLE t (x integer)")
        let config = try await served.addConfig(
            "endless",
            [
                ("SQL", "INSERT INTO t VALUES (1)"), ("SQL", "SELECT pg_sleep(600)"),
                ("SQL", "INSERT INTO t VALUES (2)"),
            ], columns: "schedule, timeout", values: "'@manual', '300 ms'")
        try await served.psql("UPDATE timetable.task_chain SET ignore_error = true")
        #expect(try await served.run(config) == "TIMED_OUT|timed out after 0.3 s|57014")
        #expect(try await served.psql("SELECT count(*) FROM t") == "0")
    }

    @Test func anIgnoredTimeOutLeavesTheTransactionUsable() async throws {
        let served = try await Served.fresh("stop")
        try await served.psql("CREATE TABLE t (x integer)")
        let config = try await served.addConfig(
            "going on",
            [
                ("SQL", "INSERT INTO t VALUES (1)"),
                ("SQL", "WITH i AS (INSERT INTO t VALUES (2)) SELECT pg_sleep(600)"),
                ("SHELL", "/bin/sleep"), ("SQL", "INSERT INTO t VALUES (3)"),
            ])
        try await served.psql(
            """
            UPDATE timetable.task_chain SET ignore_error = true, timeout = '200 ms'
            WHERE chain_id IN (2, 3);
            INSERT INTO timetable.chain_execution_parameters VALUES (\(config), 3, 1, '["600"]');
            """)
        #expect(try await served.run(config) == "CHAIN_DONE||")
        #expect(try await served.psql("SELECT string_agg(x::text, ',' ORDER BY x) FROM t") == "1,3")
        try await served.waitFor(
            "2",
            "SELECT count(*) FROM timetable.execution_log WHERE error LIKE 'timed out after 0.2 s%'"
        )
    }
}

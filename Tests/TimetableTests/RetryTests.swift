import TestSupport
import Testing

struct RetryTests {
    @Test func aFailedRunIsTriedAgainWithDoubledDelays() async throws {
        let served = try await Served.fresh("retry")
        try await served.psql("CREATE SEQUENCE tries")
        let config = try await served.addConfig(
            "third time", [("SQL", "SELECT 1 / (nextval('tries') / 3)")],
            columns: "schedule, retries, retry_delay", values: "'@manual', 3, '100 ms'")
        #expect(try await served.run(config) == "CHAIN_DONE||")
        #expect(
            try await served.psql("SELECT attempt, retry_at IS NULL FROM timetable.run_status")
                == "3|t")
        try await served.waitFor(
            "1|1|22012\n2|1|22012\n3|0|",
            """
            SELECT attempt, returncode, sqlstate FROM timetable.execution_log ORDER BY attempt
            """)
        #expect(
            try await served.psql(
                """
                SELECT min(gap) FILTER (WHERE attempt = 2) >= interval '100 ms',
                    min(gap) FILTER (WHERE attempt = 3) >= interval '200 ms'
                FROM (SELECT attempt, last_run - lag(finished) OVER (ORDER BY attempt) AS gap
                    FROM timetable.execution_log) AS g
                """) == "t|t")
    }

    @Test func theLastAttemptEndsTheRunAndAsksForOnFailure() async throws {
        let served = try await Served.fresh("retry")
        try await served.psql("CREATE TABLE alarm (failed text)")
        let alarm = try await served.addConfig(
            "alarm",
            [
                ("SQL", "INSERT INTO alarm VALUES (current_setting('timetable.failed_run'))"),
                ("SHELL", "/usr/bin/env"), ("SQL", "SELECT 1 / 0"),
            ], columns: "schedule, retries", values: "'@manual', 0")
        let config = try await served.addConfig(
            "failing", [("SHELL", "/bin/false")],
            columns: "schedule, retries, retry_delay, on_failure",
            values: "'@manual', 1, '50 ms', \(alarm)")
        // A failure of what on_failure asked for asks for nothing more.
        try await served.psql(
            """
            UPDATE timetable.chain_execution_config SET on_failure = \(config)
            WHERE chain_execution_config = \(alarm);
            UPDATE timetable.task_chain SET ignore_error = true WHERE chain_id = 1;
            """)
        #expect(try await served.run(config).hasPrefix("CHAIN_FAILED|program '/bin/false' exited"))
        try await served.waitFor(
            "CHAIN_FAILED|2\nCHAIN_FAILED|1",
            """
            SELECT execution_status, attempt FROM timetable.run_status
            WHERE finished IS NOT NULL ORDER BY run_status
            """)
        try await served.waitFor(
            "t",
            """
            SELECT output LIKE '%TIMETABLE_FAILED_RUN=1' || chr(10) || '%'
            FROM timetable.execution_log WHERE script = '/usr/bin/env'
            """)
        #expect(
            try await served.psql(
                "SELECT count(*) FROM timetable.run_request WHERE requested_by = 'on_failure'")
                == "1")
    }

    @Test func aWaitingRunHoldsNoSlotAndCanBeCancelled() async throws {
        let served = try await Served.fresh("retry")
        let config = try await served.addConfig(
            "failing", [("SQL", "SELECT 1 / $1::integer")],
            columns: "schedule, max_instances, retries, retry_delay",
            values: "'@manual', 1, 5, '1 hour'")
        try await served.psql("SELECT timetable.run(\(config), '[[0]]')")
        try await served.waitFor(
            "WAITING|division by zero|t",
            """
            SELECT execution_status, error, retry_at > now() + interval '50 minutes'
            FROM timetable.run_status
            """)
        #expect(try await served.run(config, "'[[1]]'") == "CHAIN_DONE||")
        #expect(try await served.psql("SELECT timetable.cancel(1)") == "t")
        #expect(
            try await served.psql(
                """
                SELECT execution_status, finished IS NOT NULL, (SELECT count(*)
                    FROM timetable.run_request WHERE claimed_at IS NULL)
                FROM timetable.run_status WHERE run_status = 1
                """) == "CANCELLED|t|0")
    }

    @Test func aRetryOutlivesItsDaemon() async throws {
        let database = try await PrivateCluster.database("retry")
        let first = try await Served.on(database)
        let config = try await first.addConfig(
            "killed", [("SHELL", "/bin/sh")],
            columns: "schedule, retries, retry_delay", values: "'@manual', 1, '10 ms'")
        // The first attempt hangs, the second sees that it is one.
        let script = #"[["-c", "test $TIMETABLE_ATTEMPT = 2 || sleep 600"]]"#
        let request = try await first.psql("SELECT timetable.run(\(config), '\(script)')")
        try await first.waitFor(
            "1", "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'STARTED'")
        first.daemon.kill()
        _ = try await first.daemon.waitForExit(within: .seconds(10))
        let second = try await Served.on(database)
        #expect(try await second.end(ofRequest: request) == "CHAIN_DONE||")
        #expect(try await second.psql("SELECT attempt FROM timetable.run_status") == "2")
    }
}

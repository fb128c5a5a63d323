import TestSupport
import Testing

/// The views for people: `jobs`, `running`, `failures`.
struct ViewTests {
    @Test func jobsTellsScheduleAndHistory() async throws {
        let served = try await Served.fresh("views")
        _ = try await served.addConfig(
            "fine", [("SQL", "SELECT 1")], columns: "schedule, time_zone",
            values: "'30 2 * * *', 'Europe/Berlin'")
        let failing = try await served.addConfig("failing", [("SQL", "SELECT 1/0")])
        _ = try await served.addConfig(
            "often", [("SQL", "SELECT 1")], values: "'@every 100ms'")
        _ = try await served.addConfig(
            "off", [("SQL", "SELECT 1")], columns: "run_at_hour, live", values: "7, false")
        _ = try await served.addConfig(
            "paused", [("SQL", "SELECT 1")], columns: "schedule, paused_until, pause_note",
            values: "'@hourly', 'infinity', 'for now'")
        #expect(try await served.run(failing).hasPrefix("CHAIN_FAILED"))
        try await served.waitFor(
            "t",
            """
            SELECT last_outcome = 'CHAIN_DONE' AND last_fire <= now()
                AND lateness BETWEEN '0' AND '10 s' AND next_fire > last_fire
                AND last_end >= last_fire
            FROM timetable.jobs WHERE chain_name = 'often'
            """)
        #expect(
            try await served.psql(
                """
                SELECT chain_name, state, schedule, time_zone, next_fire IS NULL, last_fire IS NULL,
                    last_outcome, last_error ~ 'division by zero', running, waiting, pause_note
                FROM timetable.jobs WHERE chain_name <> 'often' ORDER BY config
                """) == """
                    fine|live|30 2 * * *|Europe/Berlin|f|t|||0|0|
                    failing|live|@manual|UTC|t|t|CHAIN_FAILED|t|0|0|
                    off|not live|* 7 * * *|UTC|t|t|||0|0|
                    paused|paused|@hourly|UTC|t|t|||0|0|for now
                    """)
        #expect(
            try await served.psql(
                """
                SELECT in_words = timetable.schedule_in_words(schedule) AND in_words <> '',
                    next_fire = (SELECT * FROM timetable.next_fires(config, 1))
                FROM timetable.jobs WHERE chain_name = 'fine'
                """) == "t|t")
    }

    /// What can't be read has no next fire, and keeps no other row from being seen.
    @Test func aBadRowBreaksNoView() async throws {
        let served = try await Served.fresh("views")
        let bad = try await served.addConfig(
            "bad", [("SQL", "SELECT 1")], columns: "schedule, live", values: "'@hourly', false")
        _ = try await served.addConfig(
            "zone", [("SQL", "SELECT 1")], columns: "schedule, live", values: "'@hourly', false")
        _ = try await served.addConfig("good", [("SQL", "SELECT 1")], values: "'@hourly'")
        try await served.psql(
            """
            SET session_replication_role = replica;
            UPDATE timetable.chain_execution_config SET schedule = '@every', live = true
            WHERE chain_execution_config = \(bad);
            UPDATE timetable.chain_execution_config SET time_zone = 'Mars/Base', live = true
            WHERE chain_name = 'zone';
            """)
        #expect(
            try await served.psql(
                """
                SELECT string_agg(chain_name || ' ' || (next_fire IS NOT NULL), ' ' ORDER BY config)
                FROM timetable.jobs
                """) == "bad false zone false good true")
    }

    /// The task that each run is at, and what the others wait for.
    @Test func runningTellsWhatRunsAndWhatWaits() async throws {
        let served = try await Served.fresh("views")
        let config = try await served.addConfig(
            "two", [("SQL", "SELECT $1::int"), ("SQL", "SELECT pg_sleep(3600)")],
            columns: "schedule, max_instances", values: "'@manual', 1")
        try await served.psql(
            """
            INSERT INTO timetable.chain_execution_parameters
            SELECT \(config), chain_id, n, jsonb_build_array(n)
            FROM timetable.chain_execution_config, generate_series(1, 3) AS n;
            SELECT timetable.run(\(config));
            """)
        let running = """
            SELECT run, chain_name, state, worker, attempt, task, is_cancelled,
                since <= clock_timestamp() AND elapsed >= '0', request, reason
            FROM timetable.running ORDER BY request NULLS FIRST
            """
        try await served.waitFor("1|two|STARTED|worker001|1|two 1|f|t||", running)
        try await served.psql("SELECT timetable.run(\(config))")
        try await served.waitFor(
            """
            1|two|STARTED|worker001|1|two 1|f|t||
            |two|WAITING||1||f|t|2|max_instances: 1 of this config are under way
            """, running)
        #expect(
            try await served.psql(
                "SELECT running, waiting FROM timetable.jobs WHERE chain_name = 'two'") == "1|1")
        try await served.psql(
            """
            UPDATE timetable.run_request SET claimed_at = now() WHERE run_request = 2;
            SELECT timetable.cancel(1);
            """)
        try await served.waitFor("", running)
    }

    @Test func failuresTellsWhatFailedTheNewestFirst() async throws {
        let served = try await Served.fresh("views")
        let sql = try await served.addConfig(
            "sql", [("SQL", "SELECT 1"), ("SQL", "SELECT 1/0")],
            columns: "schedule, retries, retry_delay", values: "'@manual', 1, '10 ms'")
        let program = try await served.addConfig("program", [("SHELL", "/bin/false")])
        let slow = try await served.addConfig(
            "slow", [("SQL", "SELECT pg_sleep(3600)")], columns: "schedule, timeout",
            values: "'@manual', '50 ms'")
        let fine = try await served.addConfig("fine", [("SQL", "SELECT 1")])
        for config in [sql, program, slow, fine] { _ = try await served.run(config) }
        let long = try await served.addConfig("long", [("SQL", "SELECT pg_sleep(3600)")])
        let request = try await served.psql("SELECT timetable.run(\(long))")
        try await served.waitFor(
            "t",
            """
            SELECT timetable.cancel(run_status, 'not today') FROM timetable.run_status
            WHERE run_request = \(request) AND execution_status = 'STARTED'
            """)
        _ = try await served.end(ofRequest: request)
        try await served.psql(
            """
            INSERT INTO timetable.run_status (execution_status, chain_execution_config,
                scheduled_for, missed_until, missed_count, finished, reason)
            SELECT s::timetable.execution_status, \(fine), i, i + interval '1 h', 2, now(), 'nobody'
            FROM (VALUES ('MISSED', timestamptz '2026-01-01Z'), ('SKIPPED', '2026-01-02Z'))
                AS v (s, i);
            """)
        #expect(
            try await served.psql(
                """
                SELECT chain_name, outcome, task, sqlstate, returncode, attempts,
                    substring(error FROM 'zero|exit|time|not today|2 fires.*')
                FROM timetable.failures WHERE at >= current_date
                """) == """
                    fine|MISSED||||1|2 fires, the last at 2026-01-01 01:00:00+00: nobody
                    long|CANCELLED|long 0|57014|1|1|not today
                    slow|TIMED_OUT|slow 0|57014|1|1|time
                    program|CHAIN_FAILED|program 0||1|1|exit
                    sql|CHAIN_FAILED|sql 1|22012|1|2|zero
                    """)
    }

    /// Of what is secret, nothing is needed for that.
    @Test func aReaderSeesAllOfIt() async throws {
        let stage = try await RoleStage.made()
        #expect(try await stage.served.run(1) == "CHAIN_DONE||")
        try await stage.served.psql(
            """
            SELECT timetable.run(1, NULL, '2100-01-01Z');
            INSERT INTO timetable.run_status (execution_status, chain_execution_config, started,
                finished, parameters)
            VALUES ('STARTED', 1, now(), NULL, '{"1": [["x"]]}'),
                ('CHAIN_FAILED', 2, now(), now(), NULL);
            """)
        let seen = try await stage.psql(
            "reader",
            """
            SELECT string_agg(state, ',') FROM timetable.running;
            SELECT chain_name, running, waiting, last_outcome FROM timetable.jobs WHERE config = 1;
            SELECT count(*), min(outcome::text) FROM timetable.failures;
            SELECT count(*) FROM timetable.retention;
            SELECT timetable.why_not_running('nightly') ~ 'runs now.*its time is 2100';
            """)
        #expect(
            seen == """
                STARTED,WAITING
                nightly|1|1|CHAIN_DONE
                1|CHAIN_FAILED
                3
                t
                """)
        stage.served.daemon.kill()
    }

    /// What makes «the last 20 runs of a config» and «what failed since» fast in a large history.
    @Test(arguments: [
        (
            "SELECT * FROM timetable.run_status WHERE chain_execution_config = 1 "
                + "ORDER BY run_status DESC LIMIT 20", "run_status_of_config"
        ),
        ("SELECT * FROM timetable.failures WHERE at >= 'today'", "run_status_failed "),
        ("SELECT * FROM timetable.failures LIMIT 20", "run_status_failed "),
        (
            "SELECT * FROM timetable.failures WHERE config = 1 LIMIT 20",
            "run_status_failed_of_config"
        ),
        ("SELECT * FROM timetable.execution_log WHERE run_status = 1", "execution_log_run_status"),
    ])
    func historyIsReadByIndex(query: String, index: String) async throws {
        let served = try await Served.fresh("views")
        served.daemon.terminate()
        try await served.psql(
            """
            INSERT INTO timetable.run_status (execution_status, chain_execution_config, started,
                finished)
            SELECT CASE n % 100 WHEN 0 THEN 'CHAIN_FAILED' ELSE 'CHAIN_DONE'
                END::timetable.execution_status, n % 997, at, at
            FROM (SELECT n, now() - n * interval '1 minute' AS at
                FROM generate_series(50000, 1, -1) AS n) AS runs;
            INSERT INTO timetable.execution_log (name, run_status)
            SELECT 'a', run_status FROM timetable.run_status;
            ANALYZE;
            """)
        let plan = try await served.psql("EXPLAIN \(query)")
        #expect(plan.contains("using \(index)"), "\(plan)")
        #expect(!plan.contains("Seq Scan on run_status") && !plan.contains("Seq Scan on execution"))
        // Else all that ever failed would be looked at.
        #expect(!query.contains("today") || plan.contains("Index Cond: (finished >="), "\(plan)")
    }
}

import TestSupport
import Testing

/// History is kept within its bounds, and what else needs it stays.
struct RetentionTests {
    /// A run of a config that was due and ended so many hours ago.
    private static let history = """
        INSERT INTO timetable.base_task (name, script) VALUES ('old', 'SELECT 1');
        INSERT INTO timetable.task_chain (task_id)
        SELECT task_id FROM timetable.base_task WHERE name = 'old';
        CREATE FUNCTION history(config bigint, from_hour int, to_hour int, status text,
            is_fire boolean DEFAULT true) RETURNS void LANGUAGE sql AS $f$
            WITH made AS (
                INSERT INTO timetable.run_status (execution_status, chain_execution_config,
                    scheduled_for, started, last_status_update, finished)
                SELECT status::timetable.execution_status, config, CASE WHEN is_fire THEN at END,
                    CASE WHEN status <> 'WAITING' THEN at END, at,
                    CASE WHEN status NOT IN ('STARTED', 'WAITING') THEN at END
                FROM (SELECT date_trunc('hour', now()) - h * interval '1 hour' AS at
                    FROM generate_series(from_hour, to_hour, -1) AS h) AS hours
                RETURNING *)
            INSERT INTO timetable.execution_log (chain_execution_config, name, last_run, finished,
                run_status)
            SELECT chain_execution_config, 'old', started, finished, run_status FROM made
        $f$;
        CREATE FUNCTION config(name text, VARIADIC bounds text[] DEFAULT '{}') RETURNS bigint
        LANGUAGE sql AS $f$
            INSERT INTO timetable.chain_execution_config (chain_id, chain_name, schedule,
                misfire_window, keep_for, keep_runs)
            SELECT max(chain_id), name, '@every 1h', bounds[1]::interval, bounds[2]::interval,
                bounds[3]::int
            FROM timetable.task_chain RETURNING chain_execution_config
        $f$;

        """

    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// Makes configs and runs; bounds of a config are misfire_window, keep_for, keep_runs.
        let made: String
        /// How many runs are left, the age in hours of the oldest, and how many rows of tasks.
        let left: String
    }

    static let cases = [
        Case(
            testDescription: "30 days without being told",
            made: "SELECT history(config('a', '1 day', NULL, NULL), 1000, 1, 'CHAIN_DONE')",
            left: "719|719|719"),
        Case(
            testDescription: "a config keeps more",
            made: "SELECT history(config('a', '1 day', '1000 hours', NULL), 1100, 1, 'CHAIN_DONE')",
            left: "999|999|999"),
        Case(
            testDescription: "a config keeps less",
            made: "SELECT history(config('a', '1 day', '2 days', NULL), 1000, 1, 'CHAIN_DONE')",
            left: "47|47|47"),
        Case(
            testDescription: "so many runs",
            made: "SELECT history(config('a', '0', NULL, '10'), 1000, 1, 'CHAIN_DONE')",
            left: "10|10|10"),
        Case(
            testDescription: "nothing younger than misfire_window, whatever the bounds",
            made: "SELECT history(config('a', '50 hours', '1 hour', '1'), 100, 1, 'CHAIN_DONE')",
            left: "49|49|49"),
        Case(
            testDescription: "nothing younger than an hour: clocks are set back",
            made: """
                SELECT history(config('a', '0', '1 second', '1'), 100, 0, 'CHAIN_DONE');
                UPDATE timetable.run_status SET finished = now() - interval '59 minutes'
                WHERE run_status > 99;
                """, left: "2|1|2"),
        Case(
            testDescription: "the last fire of a config stays with what its tasks did, requests go",
            made: """
                SELECT history(config('a', '1 day', NULL, NULL), 2000, 1990, 'CHAIN_DONE');
                SELECT history(1, 1989, 1980, 'CHAIN_DONE', false);
                """, left: "1|1990|1"),
        Case(
            testDescription: "the last fire of a config that is no more goes, too",
            made: "SELECT history(77, 2000, 1990, 'CHAIN_DONE')", left: "0||0"),
        Case(
            testDescription: "a missed fire is a fire",
            made: """
                SELECT history(config('a', '1 day', NULL, NULL), 2000, 1990, 'CHAIN_DONE');
                SELECT history(1, 1980, 1980, 'MISSED');
                """, left: "1|1980|1"),
        Case(
            testDescription: "what is under way or WAITING stays, with what its tasks did",
            made: """
                SELECT history(config('a', '1 day', '1 hour', '1'), 2000, 2000, 'STARTED');
                SELECT history(1, 1999, 1999, 'WAITING');
                SELECT history(1, 1998, 1997, 'CHAIN_DONE');
                """, left: "3|2000|3"),
        Case(
            testDescription: "an end long after the beginning counts as the end",
            made: """
                SELECT history(config('a', '1 day', NULL, NULL), 1000, 1, 'CHAIN_DONE');
                UPDATE timetable.run_status SET finished = now() WHERE run_status = 1;
                """, left: "720|1000|720"),
        Case(
            testDescription: "so many rows in all",
            made: """
                SELECT history(config('a', '0', NULL, NULL), 500, 1, 'CHAIN_DONE');
                SELECT history(config('b', '0', '9 years', NULL), 500, 1, 'CHAIN_DONE');
                UPDATE timetable.retention SET keep_rows = 600 WHERE table_name = 'run_status';
                """, left: "600|500|600"),
        Case(
            testDescription: "so many bytes in all",
            made: """
                SELECT history(config('a', '0', NULL, NULL), 500, 1, 'CHAIN_DONE');
                UPDATE timetable.retention SET keep_bytes = 24000 WHERE table_name = 'run_status';
                """, left: "100|100|100"),
        Case(
            testDescription: "what tasks did goes before its run",
            made: """
                SELECT history(config('a', '1 day', NULL, NULL), 500, 1, 'CHAIN_DONE');
                UPDATE timetable.retention SET keep_for = '10 hours'
                WHERE table_name = 'execution_log';
                """, left: "500|500|9"),
        Case(
            testDescription: "what tasks did stays within so many bytes",
            made: """
                SELECT history(config('a', '1 day', NULL, NULL), 500, 1, 'CHAIN_DONE');
                UPDATE timetable.execution_log SET output = repeat('x', 1000);
                UPDATE timetable.retention SET keep_bytes = 20000
                WHERE table_name = 'execution_log';
                """, left: "500|500|17"),
        Case(
            testDescription: "no bound, no end",
            made: """
                SELECT history(config('a', '0', NULL, NULL), 2000, 1, 'CHAIN_DONE');
                UPDATE timetable.retention SET keep_for = NULL;
                """, left: "2000|2000|2000"),
        Case(
            testDescription: "a table that retention does not name",
            made: """
                SELECT history(config('a', '0', NULL, NULL), 2000, 1, 'CHAIN_DONE');
                DELETE FROM timetable.retention;
                """, left: "2000|2000|2000"),
        Case(
            testDescription: "a length beyond all times",
            made: """
                SELECT history(config('a', '0', '100000000 years', NULL), 2000, 1, 'CHAIN_DONE');
                UPDATE timetable.chain_execution_config SET misfire_window = '100000 years';
                """, left: "2000|2000|2000"),
    ]

    @Test(arguments: cases)
    func whatIsOverABoundGoes(_ row: Case) async throws {
        let database = try await Self.installed()
        try await database.psql(Self.history + row.made)
        try await database.psql("CALL timetable.prune()")
        #expect(
            try await database.psql(
                """
                SELECT count(*), round(extract(epoch FROM date_trunc('hour', now())
                        - min(coalesce(scheduled_for, started))) / 3600),
                    (SELECT count(*) FROM timetable.execution_log)
                FROM timetable.run_status
                """) == row.left)
        // What is within the bounds stays when it is looked at again.
        try await database.psql("CALL timetable.prune()")
        #expect(
            try await database.psql(
                "SELECT coalesce(sum(removed), 0) FROM timetable.retention") == "0")
    }

    @Test func settledRequestsAndWorkersThatAreNoMoreGo() async throws {
        let database = try await Self.installed()
        try await database.psql(
            Self.history + """
                SELECT config('a', '0', NULL, NULL);
                INSERT INTO timetable.run_request (chain_execution_config, requested_at, claimed_at)
                SELECT 1, now() - age, now() - age
                FROM unnest('{40 days, 40 days, 2 days, 2 hours, 40 days, 40 days}'::interval[])
                    AS a (age);
                UPDATE timetable.run_request SET claimed_at = NULL WHERE run_request = 5;
                -- Its run, one that it resumed, one whose run stays, one without a run.
                SELECT history(1, 960, 958, 'CHAIN_DONE');
                UPDATE timetable.run_status SET run_request = 1, scheduled_for = NULL
                WHERE run_status = 1;
                UPDATE timetable.run_request SET resumes = 2 WHERE run_request = 2;
                UPDATE timetable.run_request SET resumes = 3 WHERE run_request = 6;
                INSERT INTO timetable.worker (client_name, host, pid, version, stopped_at) VALUES
                    ('gone', '', 1, '', now() - interval '31 days'),
                    ('bound', '', 1, '', now() - interval '31 days'),
                    ('young', '', 1, '', now() - interval '29 days'), ('lost', '', 1, '', NULL);
                INSERT INTO timetable.worker_backend VALUES ('gone', 1, now());
                UPDATE timetable.chain_execution_config SET client_name = 'bound';
                """)
        try await database.psql("CALL timetable.prune()")
        #expect(
            try await database.psql(
                """
                SELECT string_agg(run_request::text, ' ' ORDER BY run_request),
                    (SELECT string_agg(client_name, ' ' ORDER BY client_name)
                        FROM timetable.worker WHERE client_name <> 'worker001'),
                    (SELECT string_agg(run_status::text, ' ') FROM timetable.run_status)
                FROM timetable.run_request
                """) == "4 5 6|bound lost young|3")
    }

    @Test(arguments: [
        ("keep_for = '10 days'", "9"), ("keep_for = NULL", "40"), ("keep_rows = 7", "7"),
        ("keep_bytes = 400", "4"),
    ])
    func linesOfTheLogHaveBounds(bound: String, left: String) async throws {
        let database = try await Self.installed()
        try await database.psql(
            """
            INSERT INTO timetable.log (ts, pid, log_level, message)
            SELECT now() - n * interval '1 day', 1, 'LOG', 'twelve bytes' || chr(64 + n % 26)
            FROM generate_series(40, 1, -1) AS n;
            UPDATE timetable.retention SET \(bound) WHERE table_name = 'log';
            """)
        try await database.psql("CALL timetable.prune()")
        #expect(
            try await database.psql(
                "SELECT count(*), max(ts) > now() - interval '2 days' FROM timetable.log")
                == "\(left)|t")
    }

    /// What somebody holds goes another time, and keeps nothing else.
    @Test func aLockedRowKeepsNothingElse() async throws {
        let database = try await Self.installed()
        try await database.psql(
            Self.history + "SELECT history(config('a', '1 day', NULL, NULL), 2000, 1, 'CHAIN_DONE')"
        )
        async let holder: String = database.psql(
            """
            BEGIN;
            SELECT run_status FROM timetable.run_status WHERE run_status = 1 FOR UPDATE;
            SELECT pg_advisory_lock(2);
            SELECT pg_sleep(60);
            """)
        try await eventually("a session holds the row") {
            try await database.psql(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 2") == "1"
        }
        try await database.psql("CALL timetable.prune()")
        #expect(
            try await database.psql("SELECT count(*), min(run_status) FROM timetable.run_status")
                == "720|1")
        try await database.psql(
            """
            SELECT pg_terminate_backend(pid) FROM pg_locks
            WHERE locktype = 'advisory' AND objid = 2
            """)
        _ = try? await holder
        try await database.psql("CALL timetable.prune()")
        #expect(
            try await database.psql("SELECT min(run_status) FROM timetable.run_status") == "1282")
    }

    /// A month of history, once it is there, is as large as any later one.
    @Test func tablesStayAsLargeAsTheyAre() async throws {
        // Where no transaction of another test keeps pages of indexes from being used again.
        let cluster = try await onOwnThread { try PrivateCluster() }
        let database = try await Self.installed(cluster.createDatabase("retention"))
        try await database.psql(Self.history + "SELECT config('a', '1 day', NULL, NULL)")
        // Day by day from 70 days ago; a day later, keep_for is that much shorter as seen from now.
        var sizes: [Int: Int] = [:]
        for day in 0..<65 {
            let hours = (70 - day) * 24
            try await database.psql(
                """
                SELECT history(1, \(hours), \(hours - 23), 'STARTED', false)
                FROM generate_series(1, 20);
                UPDATE timetable.run_status SET execution_status = 'CHAIN_DONE', finished = started
                WHERE execution_status = 'STARTED';
                INSERT INTO timetable.log (ts, pid, log_level, message)
                SELECT now() - interval '\(hours) hours', 1, 'LOG', repeat('x', 100)
                FROM generate_series(1, 500);
                UPDATE timetable.retention SET keep_for = interval '\(hours + 29 * 24) hours';
                CALL timetable.prune();
                VACUUM timetable.run_status, timetable.execution_log, timetable.log;
                """)
            let size = try await database.psql(
                """
                SELECT sum(pg_total_relation_size(oid)) FROM pg_class
                WHERE oid IN ('timetable.run_status'::regclass, 'timetable.execution_log'::regclass,
                    'timetable.log'::regclass)
                """)
            sizes[day] = Int(size)
        }
        let rows = try await database.psql("SELECT count(*) FROM timetable.run_status")
        #expect(Int(rows).map { (14_360...14_880).contains($0) } == true, "\(rows) rows")
        let (first, last) = (try #require(sizes[33]), try #require(sizes[64]))
        #expect(last < first + first / 10, "\(first) bytes after 34 days, \(last) after 65")
    }

    /// A clock that is set back by an hour shows instants again whose runs may have gone.
    @Test func noFireIsClaimedTwiceForWhatWasPruned() async throws {
        let database = try await Self.installed()
        try await database.psql(
            Self.history + """
                SELECT config('a', '0', '1 second', '1');
                UPDATE timetable.chain_execution_config SET live = true;
                UPDATE timetable.chain_execution_config SET scheduled_since = NULL;
                INSERT INTO timetable.run_status (execution_status, chain_execution_config,
                    scheduled_for, started, finished)
                SELECT 'CHAIN_DONE', 1, at, at, at + interval '1 s'
                FROM (SELECT date_trunc('minute', now()) - m * interval '1 minute' AS at
                    FROM generate_series(300, 30, -1) AS m) AS minutes;
                -- Found a quarter of an hour ago.
                INSERT INTO timetable.run_status (execution_status, chain_execution_config,
                    scheduled_for, missed_until, missed_count, finished)
                SELECT 'MISSED', 1, now - interval '29 minutes', now - interval '16 minutes', 14,
                    now - interval '15 minutes'
                FROM date_trunc('minute', now()) AS now;
                """)
        try await database.psql("CALL timetable.prune()")
        #expect(try await database.psql("SELECT count(*) < 40 FROM timetable.run_status") == "t")
        let claims = try await database.psql(
            """
            SELECT string_agg(DISTINCT c.outcome, ' '), count(*)
            FROM generate_series(16, 59) AS m, LATERAL timetable.claim_fires(
                '{1}', ARRAY[(extract(epoch FROM date_trunc('minute', now())
                    - m * interval '1 minute') * 1000000)::bigint], '{NULL}', 'w') AS c
            """)
        #expect(claims == "TAKEN|44")
    }

    // MARK: The daemon

    private static let old = "SELECT history(config('a', '0', NULL, NULL), 2000, 1, 'CHAIN_DONE')"

    /// Changed bounds take effect at once, and on one daemon; nothing under way is touched.
    @Test func aDaemonPrunesWhenTheBoundsChange() async throws {
        let served = try await Served.fresh("retention")
        let other = try await Served.on(served.database, name: "worker002")
        try await served.psql(Self.history + Self.old)
        let config = try await served.addConfig("long", [("SQL", "SELECT pg_sleep(3600)")])
        let request = try await served.psql("SELECT timetable.run(\(config))")
        try await served.waitFor(
            "1", "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'STARTED'")
        try await served.psql("UPDATE timetable.retention SET keep_for = '10 hours'")
        try await served.waitFor("10", "SELECT count(*) FROM timetable.run_status")
        try await served.waitFor(
            "1991|1991",
            """
            SELECT string_agg(removed::text, '|' ORDER BY table_name) FROM timetable.retention
            WHERE table_name <> 'log'
            """)
        let line = "history: removed 1991 runs, 1991 task executions"
        try await eventually("one of the daemons says it") {
            served.daemon.lines.contains { $0.text.contains(line) }
                || other.daemon.lines.contains { $0.text.contains(line) }
        }
        try await served.psql(
            """
            SELECT timetable.cancel(run_status) FROM timetable.run_status
            WHERE run_request = \(request)
            """)
        #expect(try await served.end(ofRequest: request).hasPrefix("CANCELLED"))
    }

    /// It can't be done: that is said, and everything else goes on.
    @Test func aFailureIsSaidAndHarmless() async throws {
        let served = try await Served.fresh("retention")
        try await served.psql(
            Self.history + Self.old + """
                ;
                CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN RAISE EXCEPTION ''history is sacred here''; END';
                CREATE TRIGGER refuse BEFORE DELETE ON timetable.run_status
                FOR EACH ROW EXECUTE FUNCTION refuse();
                UPDATE timetable.retention SET keep_for = '10 hours';
                """)
        try await served.daemon.waitForLine(containing: "history is sacred here")
        #expect(try await served.psql("SELECT count(*) FROM timetable.run_status") == "2000")
        let config = try await served.addConfig("next", [("SQL", "SELECT 1")])
        #expect(try await served.run(config) == "CHAIN_DONE||")
        // The session is closed again.
        try await served.waitFor(
            "0",
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE '%history'
            """)
    }

    /// Runs that begin all the time keep it from no batch for long.
    @Test func itComesToItsEndWhileRunsBeginAllTheTime() async throws {
        let served = try await Served.fresh("retention")
        try await served.psql(Self.history + Self.old)
        _ = try await served.addConfig(
            "busy", [("SQL", "SELECT pg_sleep(0.15)")], values: "'@every 100ms'")
        try await served.waitFor(
            "t",
            """
            SELECT count(*) > 5 FROM timetable.run_status
            WHERE execution_status = 'CHAIN_DONE' AND chain_execution_config = 2
            """)
        try await served.psql("UPDATE timetable.retention SET keep_for = '10 hours'")
        try await served.waitFor(
            "9", "SELECT count(*) FROM timetable.run_status WHERE chain_execution_config = 1")
        #expect(
            try await served.psql(
                """
                SELECT count(*) FROM timetable.run_status
                WHERE chain_execution_config = 2 AND execution_status = 'SKIPPED'
                """) == "0")
    }

    /// A database with the schema, and nobody who serves it.
    private static func installed(_ database: TestDatabase? = nil) async throws -> TestDatabase {
        let served =
            if let database { try await Served.on(database) } else {
                try await Served.fresh("retention")
            }
        served.daemon.terminate()
        #expect(try await served.daemon.waitForExit() == .exited(0))
        // What the daemon of before wrote is none of what is counted here.
        try await served.psql("TRUNCATE timetable.log")
        return served.database
    }
}

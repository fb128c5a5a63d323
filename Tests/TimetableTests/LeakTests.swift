import TestSupport
import Testing

/// Nothing of a run's session reaches the next run on it, however the run ended.
struct LeakTests {
    enum Ending: CaseIterable {
        case done, withAProgram, failed, failedLater, ignored, autonomous, committed, readOnly
        case cancelled, timedOut

        /// What the chain does behind what it leaves, in the same script or after it.
        var rest: (script: String, tasks: [(kind: String, script: String)]) {
            switch self {
            case .done, .autonomous: ("", [])
            case .withAProgram: ("", [("SHELL", "/bin/true")])
            case .failed: ("; COMMIT; SELECT 1 / 0", [])
            case .failedLater: ("", [("SHELL", "/bin/false")])
            case .ignored: ("; SELECT 1 / 0", [])
            case .committed: ("", [("SQL", "RESET ROLE; COMMIT"), ("SQL", "SELECT 1")])
            case .readOnly: ("; SET TRANSACTION READ ONLY", [])
            case .cancelled, .timedOut: ("; SELECT pg_sleep(600)", [])
            }
        }

        var end: String {
            switch self {
            case .failed, .failedLater: "CHAIN_FAILED|"
            case .cancelled: "CANCELLED|"
            case .timedOut: "TIMED_OUT|"
            default: "CHAIN_DONE|"
            }
        }
    }

    private static let leave = """
        SET work_mem = '7MB'; SET search_path = 'nowhere'; SET statement_timeout = '7 min';
        SET timetable.leaked = 'setting'; SET TIME ZONE 'Asia/Tokyo';
        CREATE TEMP TABLE left_over (); CREATE TEMP TABLE run_status (); LISTEN left_over;
        SELECT pg_advisory_lock(4711); SELECT pg_advisory_lock_shared(4712);
        DECLARE left_over CURSOR WITH HOLD FOR SELECT 1; PREPARE left_over AS SELECT 1;
        SET ROLE
        """

    private static let look = """
        INSERT INTO public.seen SELECT pg_backend_pid(), concat_ws(',',
            CASE WHEN current_setting('work_mem') = '7MB' THEN 'work_mem' END,
            CASE WHEN current_setting('search_path') = 'nowhere' THEN 'search_path' END,
            CASE WHEN current_setting('statement_timeout') = '7min' THEN 'statement_timeout' END,
            nullif(current_setting('timetable.leaked', true), ''),
            CASE WHEN current_setting('TimeZone') = 'Asia/Tokyo' THEN 'zone' END,
            to_regclass('pg_temp.left_over'), to_regclass('pg_temp.run_status'),
            (SELECT 'channel ' || string_agg(c, ' ') FROM pg_listening_channels() AS c),
            (SELECT string_agg('lock ' || objid, ' ') FROM pg_locks
                WHERE locktype = 'advisory' AND objid IN (4711, 4712)
                    AND pid = pg_backend_pid()),
            (SELECT string_agg('cursor ' || name, ' ') FROM pg_cursors WHERE is_holdable),
            (SELECT string_agg('statement ' || name, ' ') FROM pg_prepared_statements
                WHERE from_sql),
            CASE WHEN current_user <> session_user THEN 'role' END)
        """

    @Test(arguments: Ending.allCases) func nothingReachesTheNextRun(ending: Ending) async throws {
        let served = try await Served.fresh("leak", ["--sql-connections", "1"])
        let role = "other_\(served.database.name)"
        try await served.psql(
            "CREATE ROLE \(role); CREATE TABLE seen (backend integer, leaked text)")
        let script = "\(Self.leave) \(role)\(ending.rest.script)"
        let leaving = try await served.addConfig(
            "leaving", [(kind: "SQL", script: script)] + ending.rest.tasks)
        let looking = try await served.addConfig("looking", [("SQL", Self.look)])
        try await served.psql(
            """
            UPDATE timetable.task_chain SET ignore_error = \(ending == .ignored),
                autonomous = \(ending == .autonomous),
                timeout = \(ending == .timedOut ? "interval '0.5 s'" : "NULL")
            WHERE chain_id = 1
            """)
        for _ in 1...2 {
            let request = try await served.psql("SELECT timetable.run(\(leaving))")
            if ending == .cancelled { try await cancel(served) }
            let end = try await served.end(ofRequest: request)
            #expect(end.hasPrefix(ending.end), "\(end)")
            #expect(try await served.run(looking) == "CHAIN_DONE||")
        }
        #expect(
            try await served.psql(
                "SELECT count(*), count(DISTINCT backend), string_agg(leaked, '') FROM seen")
                == "2|1|")
    }

    private func cancel(_ served: Served) async throws {
        try await served.waitFor(
            "1",
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE wait_event = 'PgSleep' AND datname = current_database()
            """)
        try await served.psql(
            "SELECT timetable.cancel(run_status) FROM timetable.run_status WHERE finished IS NULL")
    }
}

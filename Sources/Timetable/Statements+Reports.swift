internal import Postgres

/// What the command line asks. Sent once a session, so unprepared. Times in microseconds since
/// 1970.
extension Statements {
    /// The states of a run that did not do what it was to do: those of the index run_status_failed.
    static let failedStates = ["CHAIN_FAILED", "TIMED_OUT", "DEAD", "CANCELLED", "MISSED"]
    private static let failures = "('\(failedStates.joined(separator: "', '"))')"

    /// Configs whose name is LIKE $1, or that have the id $2; both NULL for all. After the 20
    /// columns that decide when it fires: live, has a chain, paused until, its note, the worker,
    /// the schedule as text; then of the last run: id, state, planned time, start, end, reason.
    static let configReport = Statement(
        nil,
        configFields + """
            , c.live IS TRUE, c.chain_id IS NOT NULL, \(microseconds("c.paused_until")),
                c.pause_note, c.client_name,
                timetable.schedule_text(c),
                r.run_status, r.execution_status, \(microseconds("r.scheduled_for")),
                \(microseconds("r.started")), \(microseconds("r.finished")),
                coalesce(r.error, r.reason)
            FROM timetable.chain_execution_config c
            LEFT JOIN LATERAL (
                SELECT s.run_status, s.execution_status, s.scheduled_for, s.started, s.finished,
                    s.error, s.reason
                FROM timetable.run_status s
                WHERE s.chain_execution_config = c.chain_execution_config
                ORDER BY s.run_status DESC LIMIT 1) AS r ON true
            WHERE coalesce(c.chain_name LIKE $1 OR c.chain_execution_config = $2::bigint,
                c.chain_name LIKE $1, true)
            """)

    private static let runColumns = """
        SELECT r.run_status, r.chain_execution_config, c.chain_name, r.execution_status,
            \(microseconds("r.scheduled_for")), \(microseconds("r.started")),
            \(microseconds("r.finished")), r.attempt, r.client_name, r.error, r.sqlstate, r.reason,
            r.run_request, q.requested_by, \(microseconds("r.retry_at")), c.time_zone,
            r.missed_count, \(microseconds("r.missed_until"))
        FROM timetable.run_status r
        LEFT JOIN timetable.chain_execution_config c
            ON c.chain_execution_config = r.chain_execution_config
        LEFT JOIN timetable.run_request q ON q.run_request = r.run_request

        """
    /// Runs of the config $1, that failed ($2), since $3, $4 at most; the latest first. What failed
    /// has an end, not before its beginning, by which an index finds it.
    static let runReport = Statement(
        nil,
        runColumns + """
            WHERE ($1::bigint IS NULL OR r.chain_execution_config = $1::bigint)
                AND ($2::boolean IS NOT TRUE OR (r.execution_status IN \(failures)
                    AND ($3::bigint IS NULL OR r.finished >= timetable.instant($3::bigint))))
                AND ($3::bigint IS NULL OR coalesce(r.started, r.scheduled_for,
                    r.last_status_update) >= timetable.instant($3::bigint))
            ORDER BY r.run_status DESC LIMIT $4::integer
            """)
    static let oneRunReport = Statement(nil, runColumns + "WHERE r.run_status = $1::bigint")
    static let runOfRequest = Statement(nil, runColumns + "WHERE r.run_request = $1::bigint")

    /// Runs under way, the oldest first; $1 at most.
    static let runningReport = Statement(
        nil,
        runColumns + "WHERE r.execution_status = 'STARTED' ORDER BY r.run_status LIMIT $1::integer")
    /// Workers that have not stopped, and those that died in the last hour.
    static let workerReport = Statement(
        nil,
        """
        SELECT w.client_name, w.state, w.host, w.pid, w.version, \(microseconds("w.since")),
            \(microseconds("w.seen_at")), w.running
        FROM timetable.workers w
        WHERE w.state <> 'stopped' AND (w.state <> 'dead' OR w.seen_at > now() - interval '1 hour')
        ORDER BY w.client_name
        """)

    /// The invocations of a run, in the order of their ends.
    static let taskReport = Statement(
        nil,
        """
        SELECT e.chain_id, e.name, e.kind, e.attempt, \(microseconds("e.last_run")),
            \(microseconds("e.finished")), e.returncode, e.pid, e.sqlstate, e.parameters, e.output,
            e.error, e.client_name
        FROM timetable.execution_log e WHERE e.run_status = $1::bigint
        ORDER BY e.finished, e.last_run
        """)

    // MARK: Following

    private static let followerKey = "hashtextextended('carillon followers', 0)"
    /// Tells those who follow; false when nobody does. Nobody has the lock alone but for this look.
    static let tellFollowers = Statement(
        "tell_followers",
        """
        SELECT CASE WHEN pg_try_advisory_xact_lock(\(followerKey)) THEN false
            ELSE pg_notify('timetable_news', $1) IS NOT NULL END
        """)
    static func followNews(withConfigs: Bool) -> [Statement] {
        let channels = ["timetable_news"] + (withConfigs ? ["timetable_config"] : [])
        return channels.map { listen($0) } + [
            Statement(nil, "SELECT pg_advisory_lock_shared(\(followerKey))"),
            Statement(nil, "SELECT pg_notify('timetable_config', 'follower JOINED')"),
        ]
    }

    /// Asks for a run of the config $1 with the parameters $2.
    static let requestRun = Statement(nil, "SELECT timetable.run($1::bigint, $2::jsonb)")
    /// Columns: whether the request was taken, whether its config is gone, and why it waits: by the
    /// view, since who may run a config may not read the parameters of requests.
    static let requestState = Statement(
        nil,
        """
        SELECT q.claimed_at IS NOT NULL, c.chain_execution_config IS NULL,
            CASE WHEN q.claimed_at IS NULL THEN (
                SELECT w.reason FROM timetable.running w WHERE w.request = q.run_request) END
        FROM timetable.run_request q
        LEFT JOIN timetable.chain_execution_config c USING (chain_execution_config)
        WHERE q.run_request = $1::bigint
        """)
    /// What is amiss when no daemon is there; NULL also for those who may not see the daemons.
    static let missingDaemon = Statement(
        nil,
        """
        SELECT CASE WHEN has_table_privilege('timetable.workers', 'SELECT')
            THEN timetable.missing_worker(NULL) END
        """)
    static let cancelRun = Statement(nil, "SELECT timetable.cancel($1::bigint, $2)")

    /// Lines of the log of the levels $3: since $1 or, with $2, those past that id. The latest $4.
    static let logLines = Statement(
        nil,
        """
        SELECT * FROM (
            SELECT l.id, \(microseconds("l.ts")), l.client_name, l.log_level, l.message
            FROM timetable.log l
            WHERE ($1::bigint IS NULL OR l.ts >= timetable.instant($1::bigint))
                AND ($2::bigint IS NULL OR l.id > $2::bigint)
                AND l.log_level = ANY ($3::timetable.log_type[])
            ORDER BY l.id DESC LIMIT $4::integer) AS latest
        ORDER BY id
        """)
}

internal import Postgres

extension Statements {
    /// Held while the session lives: one daemon prunes at a time.
    static let lockRetention = Statement(
        nil, "SELECT pg_try_advisory_lock(timetable.prune_key())")
    /// One batch. Columns: the state for the next, whether it is done, and then what was removed:
    /// runs, executions, lines.
    static let pruneSome = Statement(
        "prune_some",
        """
        SELECT p.state, p.state ? 'done', (p.state -> 'removed' ->> 'run_status')::bigint,
            (p.state -> 'removed' ->> 'execution_log')::bigint,
            (p.state -> 'removed' ->> 'log')::bigint
        FROM timetable.prune_some($1::jsonb) AS p (state)
        """)
}

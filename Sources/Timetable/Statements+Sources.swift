internal import Postgres

extension Statements {
    // MARK: Where jobs are imported from

    /// Database, role, zone, the number that every cluster has for itself, whether all rows show.
    static let sourceServer = Statement(
        nil,
        """
        SELECT current_database(), current_user, current_setting('TimeZone'),
            (SELECT system_identifier::text FROM pg_control_system()),
            (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user),
            coalesce(nullif(current_setting('cron.timezone', true), ''), 'GMT')
        """)
    /// Whether there is such a table.
    static let tableExists = Statement(nil, "SELECT to_regclass($1) IS NOT NULL")
    static let columnExists = Statement(
        nil,
        """
        SELECT EXISTS (SELECT FROM pg_attribute
            WHERE attrelid = to_regclass($1) AND attname = $2 AND NOT attisdropped)
        """)

    static let pgCronJobs = Statement(
        nil, "SELECT to_jsonb(j) FROM cron.job j ORDER BY jobid")

    static let pgAgentJobs = Statement(
        nil, "SELECT to_jsonb(j) FROM pgagent.pga_job j ORDER BY jobname, jobid")
    static let pgAgentSteps = Statement(
        nil, "SELECT to_jsonb(s) FROM pgagent.pga_jobstep s ORDER BY jstjobid, jstname, jstid")
    static let pgAgentSchedules = Statement(
        nil, "SELECT to_jsonb(s) FROM pgagent.pga_schedule s ORDER BY jscjobid, jscname, jscid")
    static let pgAgentExceptions = Statement(
        nil, "SELECT to_jsonb(e) FROM pgagent.pga_exception e ORDER BY jexdate, jextime")

    static func pgTimetableChains(_ schema: String) -> Statement {
        Statement(
            nil,
            """
            SELECT to_jsonb(c) || jsonb_build_object('interval_microseconds',
                CASE WHEN c.run_at::text ~ '^@(every|after)' THEN
                    (extract(epoch FROM substr(c.run_at::text, 7)::interval) * 1000000)::bigint
                END)
            FROM \(schema.quotedIdentifier).chain c ORDER BY c.chain_id
            """)
    }
    static func pgTimetableTasks(_ schema: String) -> Statement {
        Statement(
            nil,
            """
            SELECT to_jsonb(t) FROM \(schema.quotedIdentifier).task t
            ORDER BY t.chain_id, t.task_order, t.task_id
            """)
    }
    /// Of the first schema of version 4: tasks linked by `parent_id`, what they do in `command`.
    static func pgTimetableLinkedTasks(_ schema: String) -> Statement {
        let schema = schema.quotedIdentifier
        return Statement(
            nil,
            """
            WITH RECURSIVE linked AS (
                SELECT c.chain_id, 1 AS position, t.*
                FROM \(schema).chain c JOIN \(schema).task t ON t.task_id = c.task_id
                UNION ALL
                SELECT l.chain_id, l.position + 1, t.*
                FROM linked l JOIN \(schema).task t ON t.parent_id = l.task_id
            )
            SELECT to_jsonb(l) || jsonb_build_object(
                'name', o.name, 'kind', o.kind, 'command', o.script)
            FROM linked l JOIN \(schema).command o ON o.command_id = l.command_id
            ORDER BY l.chain_id, l.position
            """)
    }
    static func pgTimetableParameters(_ schema: String) -> Statement {
        Statement(
            nil,
            """
            SELECT to_jsonb(p) FROM \(schema.quotedIdentifier).parameter p
            ORDER BY p.task_id, p.order_id
            """)
    }
}

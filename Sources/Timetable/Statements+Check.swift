internal import Postgres

/// What `carillon check` asks. Sent once a session, so unprepared. Times in microseconds since
/// 1970.
extension Statements {
    /// From here on nothing can be written, and nobody is kept waiting for long.
    static let onlyLook = Statement(
        nil,
        """
        SELECT set_config('default_transaction_read_only', 'on', false),
            set_config('statement_timeout', '20s', false), set_config('lock_timeout', '1s', false),
            set_config('idle_in_transaction_session_timeout', '30s', false),
            -- What a parameter holds may be a secret, and the server logs the failure to read it.
            (SELECT set_config(name, '0', false) FROM pg_settings
                WHERE name = 'log_parameter_max_length_on_error')
        """)

    static let checkedVersion = Statement(nil, "SELECT max(version) FROM timetable.schema_version")

    // MARK: The installation

    /// One row. Columns: the clock; whether the server is a standby, or this database read only;
    /// whether fsync and full_page_writes are on; how full the queue of NOTIFY is, in percent;
    /// connections: most, kept for superusers, there are; of this database: most, there are; runs
    /// under way on no worker that serves; requests that are due for a minute, and since when.
    static let checkedInstallation = Statement(
        nil,
        """
        SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, pg_is_in_recovery(),
            (SELECT reset_val FROM pg_settings
                WHERE name = 'default_transaction_read_only') = 'on',
            current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on',
            (pg_notification_queue_usage() * 100)::integer,
            current_setting('max_connections')::bigint,
            (SELECT sum(setting::bigint) FROM pg_settings
                WHERE name IN ('superuser_reserved_connections', 'reserved_connections')),
            (SELECT sum(numbackends) FROM pg_stat_database),
            nullif(d.datconnlimit, -1),
            (SELECT numbackends FROM pg_stat_database s WHERE s.datid = d.oid),
            (SELECT count(*) FROM timetable.run_status r
                WHERE r.execution_status = 'STARTED' AND NOT EXISTS (
                    SELECT FROM timetable.worker w
                    WHERE w.client_name = r.client_name AND w.stopped_at IS NULL)),
            q.waiting, \(microseconds("q.since"))
        FROM pg_database d CROSS JOIN (
            SELECT count(*) AS waiting, min(coalesce(run_after, requested_at)) AS since
            FROM timetable.run_request
            WHERE claimed_at IS NULL AND blocked_at IS NULL
                AND coalesce(run_after, requested_at) < clock_timestamp() - interval '1 minute'
        ) AS q
        WHERE d.datname = current_database()
        """)

    /// A worker a row. Columns: name, state, last sign, since when, who declared it dead, version,
    /// host; its sessions; their role, whether that is a superuser, its own bound of connections
    /// and how many it has; whether names of tables mean to it what they mean to us.
    static let checkedWorkers = Statement(
        nil,
        """
        SELECT w.client_name,
            CASE
                WHEN w.stopped_at IS NOT NULL AND w.stopped_by IS NULL THEN 'stopped'
                WHEN w.stopped_at IS NOT NULL THEN 'dead'
                WHEN EXISTS (SELECT FROM timetable.held_lock l
                    WHERE l.key = timetable.name_key(w.client_name)) THEN 'serving'
                ELSE 'lost' END,
            \(microseconds("greatest(w.seen_at, w.started_at)")), \(microseconds("w.started_at")),
            w.stopped_by, w.version, w.host, s.sessions, r.rolname, r.rolsuper,
            nullif(r.rolconnlimit, -1),
            (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid),
            r.rolname = current_user OR NOT EXISTS (
                SELECT FROM pg_db_role_setting o, unnest(o.setconfig) AS c (setting)
                WHERE c.setting LIKE 'search_path=%'
                    AND o.setrole IN (SELECT u.oid FROM pg_roles u
                        WHERE u.rolname IN (r.rolname, current_user))
                UNION ALL
                SELECT FROM pg_namespace n WHERE n.nspname IN (r.rolname, current_user))
        FROM timetable.worker w
        LEFT JOIN LATERAL (
            SELECT count(*) AS sessions, min(a.usesysid) AS role
            FROM timetable.worker_backend b JOIN pg_stat_activity a ON a.pid = b.pid
            WHERE b.client_name = w.client_name AND a.application_name LIKE 'carillon %'
        ) AS s ON true
        LEFT JOIN pg_roles r ON r.oid = s.role
        ORDER BY w.client_name
        """)

    /// Columns: a table's name, when it was last pruned; only those with a bound.
    static let checkedRetention = Statement(
        nil,
        """
        SELECT table_name, \(microseconds("pruned_at")) FROM timetable.retention
        WHERE num_nonnulls(keep_for, keep_rows, keep_bytes) > 0 ORDER BY table_name
        """)

    /// Of the last day, and of so many lines. Columns: errors; what was said of lost lines, and how
    /// often.
    static let checkedLog = Statement(
        nil,
        """
        SELECT count(*), (array_agg(message ORDER BY id DESC) FILTER (WHERE is_loss))[1],
            count(*) FILTER (WHERE is_loss)
        FROM (
            SELECT id, message,
                message ~ '(lines of timetable.log|rows of execution_log|its lines) (are|were) lost'
                    AS is_loss
            FROM (SELECT * FROM timetable.log ORDER BY id DESC LIMIT 20000) AS latest
            WHERE ts > now() - interval '1 day' AND log_level IN ('ERROR', 'PANIC')
        ) AS errors
        """)

    /// What daemons said of configs that they can't schedule, and that were not changed since.
    /// Columns: id, name, what was said, by which worker.
    static let refusedConfigs = Statement(
        nil,
        """
        SELECT DISTINCT ON (c.chain_execution_config) c.chain_execution_config, c.chain_name,
            l.message, l.client_name
        FROM (SELECT * FROM timetable.log ORDER BY id DESC LIMIT 20000) AS l
        JOIN timetable.chain_execution_config c
            ON c.chain_execution_config::text = substring(l.message FROM '^config ([0-9]+) \\(')
        WHERE l.log_level = 'ERROR' AND c.live AND c.scheduled_since < l.ts
        ORDER BY c.chain_execution_config, l.id DESC
        """)

    /// Makes all daemons beat at once.
    static let nudgeDaemons = Statement(
        nil, "SELECT pg_notify('timetable_config', 'worker CHECKED')")

    // MARK: Configs

    /// After the 20 columns that decide when it fires: live, chain, paused until, the worker,
    /// exclusive, max_instances, whether the server knows its zone, excluded ids that do not exist,
    /// whether it excludes itself, the config of on_failure where that can't run, how many of the
    /// last 20 runs failed since the last that was done, the last error, how many of them were
    /// SKIPPED, and the last reason for that. Those past the id $1, or that with the id $3; $2 at
    /// most.
    static let checkedConfigs = Statement(
        nil,
        configFields + """
            , c.live IS TRUE, c.chain_id, \(microseconds("c.paused_until")), c.client_name,
                c.exclusive_execution IS TRUE, c.max_instances,
                c.time_zone IS NULL OR c.time_zone IN (SELECT name FROM pg_timezone_names),
                ARRAY(SELECT x FROM unnest(c.excluded_execution_configs) AS x
                    WHERE NOT EXISTS (SELECT FROM timetable.chain_execution_config e
                        WHERE e.chain_execution_config = x)),
                c.chain_execution_config = ANY (c.excluded_execution_configs),
                (SELECT f.chain_name FROM timetable.chain_execution_config f
                    WHERE f.chain_execution_config = c.on_failure AND f.chain_id IS NULL),
                h.failed, h.error, h.skipped, h.reason
            FROM timetable.chain_execution_config c
            LEFT JOIN LATERAL (
                SELECT count(*) FILTER (WHERE r.dones = 0 AND r.failed) AS failed,
                    (array_agg(r.error ORDER BY r.run_status DESC) FILTER (WHERE r.failed))[1]
                        AS error,
                    count(*) FILTER (WHERE r.execution_status = 'SKIPPED') AS skipped,
                    (array_agg(r.reason ORDER BY r.run_status DESC)
                        FILTER (WHERE r.execution_status = 'SKIPPED'))[1] AS reason
                FROM (
                    SELECT s.run_status, s.execution_status, s.error, s.reason,
                        s.execution_status IN ('CHAIN_FAILED', 'TIMED_OUT', 'DEAD') AS failed,
                        count(*) FILTER (WHERE s.execution_status = 'CHAIN_DONE')
                            OVER (ORDER BY s.run_status DESC) AS dones
                    FROM (SELECT * FROM timetable.run_status t
                        WHERE t.chain_execution_config = c.chain_execution_config
                            AND t.finished IS NOT NULL
                        ORDER BY t.run_status DESC LIMIT 20) AS s
                ) AS r
            ) AS h ON true
            WHERE c.chain_execution_config = $3::bigint
                OR ($3::bigint IS NULL AND c.chain_execution_config > $1::bigint)
            ORDER BY c.chain_execution_config LIMIT $2::integer
            """)

    /// The elements of the chains $1, in order. Columns: head, place from 1, id, task, its name,
    /// kind, script, run_uid, connection, connect string ('' where there is none of that id),
    /// whether autonomous; of run_uid as a role: whether it exists, all of the roles $2 may become
    /// it by the right $3, and we may.
    static let checkedElements = Statement(
        nil,
        """
        WITH RECURSIVE element AS (
            SELECT t.chain_id AS head, 1 AS place, t.*
            FROM timetable.task_chain t WHERE t.chain_id = ANY ($1::bigint[])
            UNION ALL
            SELECT e.head, e.place + 1, t.*
            FROM element e JOIN timetable.task_chain t ON t.parent_id = e.chain_id
            WHERE e.place < 1000
        )
        SELECT e.head, e.place, e.chain_id, e.task_id, b.name, b.kind, b.script, e.run_uid,
            e.database_connection,
            CASE WHEN e.database_connection IS NOT NULL THEN coalesce(d.connect_string, '') END,
            e.autonomous, r.oid IS NOT NULL,
            r.oid IS NOT NULL AND NOT EXISTS (
                SELECT FROM unnest($2::text[]) AS u (name)
                JOIN pg_roles o ON o.rolname = u.name WHERE NOT pg_has_role(o.oid, r.oid, $3)),
            r.oid IS NOT NULL AND pg_has_role(r.oid, $3)
        FROM element e
        JOIN timetable.base_task b ON b.task_id = e.task_id
        LEFT JOIN timetable.database_connection d
            ON d.database_connection = e.database_connection
        LEFT JOIN pg_roles r ON r.rolname = e.run_uid
        ORDER BY e.head, e.place
        """)

    /// Rows of parameters of the configs $1, the first 1000 of each element. Columns: config,
    /// element, number, JSON, its type, the values of an array, secret, how many there are in all.
    static let checkedParameters = Statement(
        nil,
        """
        SELECT chain_execution_config, chain_id, order_id, value::text, jsonb_typeof(value),
            CASE jsonb_typeof(value) WHEN 'array' THEN
                ARRAY(SELECT jsonb_array_elements_text(value)) END,
            secret, total
        FROM (
            SELECT *, row_number() OVER (
                    PARTITION BY chain_execution_config, chain_id ORDER BY order_id) AS place,
                count(*) OVER (PARTITION BY chain_execution_config, chain_id) AS total
            FROM timetable.chain_execution_parameters
            WHERE chain_execution_config = ANY ($1::bigint[])
        ) AS p
        WHERE place <= 1000 ORDER BY chain_execution_config, chain_id, order_id
        """)

    // MARK: SQL

    static let beginLooking = Statement(nil, "BEGIN READ ONLY")
    static func localRole(_ role: String) -> Statement {
        Statement(nil, "SET LOCAL ROLE \(role.quotedIdentifier)")
    }
    static let endLooking = Statement(nil, "ROLLBACK")
    static let roleThere = Statement(
        nil,
        """
        SELECT r.oid IS NOT NULL, r.oid IS NOT NULL AND pg_has_role(r.oid, $2)
        FROM (SELECT $1::text AS name) AS w LEFT JOIN pg_roles r ON r.rolname = w.name
        """)
    /// The types with the OIDs $1, as they are written; text for those that are not the server's
    /// own: how these read values may be anybody's code.
    static let typeNames = Statement(
        nil,
        """
        SELECT CASE WHEN t.oid < 16384 AND t.typtype <> 'p' THEN format_type(t.oid, NULL)
            ELSE 'text' END
        FROM unnest($1::oid[]) WITH ORDINALITY AS o (oid, place)
        LEFT JOIN pg_type t ON t.oid = o.oid ORDER BY o.place
        """)
    /// Reads values, row after row, as values of these types, and does nothing with them.
    static func reading(_ types: [String], rows: Int) -> Statement {
        let values = (0..<rows * types.count).map {
            "$\($0 + 1)::\(types[$0 % types.count]) IS NULL"
        }
        return Statement(nil, "SELECT ARRAY[\(values.joined(separator: ", "))] IS NULL")
    }
}

internal import Postgres

/// Every SQL statement of the daemon, by name. A name of nil is sent unprepared: it runs once.
enum Statements {
    // MARK: A private server

    static let embeddedState = Statement(
        nil,
        """
        SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1),
            EXISTS (SELECT FROM pg_database WHERE datname = $2)
        """)
    static func createRole(_ name: String) -> Statement {
        Statement(nil, "CREATE ROLE \(name.quotedIdentifier) LOGIN")
    }
    static func createDatabase(_ name: String, owner: String) -> Statement {
        Statement(
            nil,
            "CREATE DATABASE \(name.quotedIdentifier) OWNER \(owner.quotedIdentifier)")
    }

    // MARK: Sessions

    static let begin = Statement("begin", "BEGIN")
    static let commit = Statement("commit", "COMMIT")
    static let rollback = Statement("rollback", "ROLLBACK")
    static let savepoint = Statement("savepoint", "SAVEPOINT carillon_task")
    static let releaseSavepoint = Statement("release", "RELEASE SAVEPOINT carillon_task")
    static let rollbackToSavepoint = Statement(
        "rollback_to", "ROLLBACK TO SAVEPOINT carillon_task")
    static let resetRole = Statement("reset_role", "RESET ROLE")
    /// What a task may leave in its session; DISCARD ALL would drop our prepared statements too.
    static let clean = [
        Statement("clean_authorization", "RESET SESSION AUTHORIZATION"),
        Statement("clean_settings", "RESET ALL"),
        Statement("clean_cursors", "CLOSE ALL"),
        Statement("clean_listens", "UNLISTEN *"),
        Statement("clean_locks", "SELECT pg_catalog.pg_advisory_unlock_all()"),
        Statement("clean_tables", "DISCARD TEMP"),
    ]

    static let deallocateAll = Statement(nil, "DEALLOCATE ALL")

    /// The settings by which a task knows its run. Those of a transaction end with it.
    static func announce(_ run: Run, inTransaction: Bool = true) -> [Command] {
        // Numbers only: there is nothing to quote.
        let scope = inTransaction ? "SET LOCAL" : "SET"
        var settings = [("run", run.id), ("config", run.config)]
        if let failed = run.failedRun { settings.append(("failed_run", failed)) }
        return settings.map { Command(sql: "\(scope) timetable.\($0) = '\($1)'") }
    }
    /// Not LOCAL: a script that commits in its middle goes on as that role.
    static func setRole(_ role: String) -> Command {
        Command(sql: "SET ROLE \(role.quotedIdentifier)")
    }
    static let role = Statement("role", "SELECT pg_catalog.current_setting('role')")
    /// Fails now if a deferred constraint would fail the COMMIT.
    static let checkConstraints = Statement("check_constraints", "SET CONSTRAINTS ALL IMMEDIATE")

    /// `channel` is one of ours: lower case letters, digits and underscores.
    static func listen(_ channel: String) -> Statement { Statement(nil, "LISTEN \(channel)") }

    /// Settings that not every version of the server has: no options of a session could name them.
    static let neverIdleOut = Statement(
        nil,
        """
        SELECT set_config(name, '0', false)
        FROM unnest('{idle_session_timeout, transaction_timeout}'::text[]) AS s (name)
        WHERE current_setting(name, true) <> '0'
        """)
    /// Nothing when the worker was declared dead: then the session must not be used. A declaration
    /// under way is waited for.
    static let registerBackend = Statement(
        nil,
        """
        WITH alive AS MATERIALIZED (
            SELECT client_name FROM timetable.worker
            WHERE client_name = $1 AND stopped_at IS NULL FOR KEY SHARE
        )
        INSERT INTO timetable.worker_backend (client_name, pid, backend_start)
        SELECT w.client_name, a.pid, a.backend_start
        FROM alive w, pg_stat_activity a WHERE a.pid = pg_backend_pid()
        ON CONFLICT (client_name, pid, backend_start) DO UPDATE SET pid = excluded.pid
        RETURNING backend_start
        """)
    static let forgetBackend = Statement(
        "forget_backend",
        "DELETE FROM timetable.worker_backend WHERE client_name = $1 AND pid = $2::integer")

    // MARK: Worker

    static let lockName = Statement(
        "lock_name", "SELECT pg_try_advisory_lock(timetable.name_key($1))")
    static let lockStandby = Statement(
        nil, "SELECT pg_try_advisory_lock_shared(timetable.standby_key($1))")
    static let unlockStandby = Statement(
        nil, "SELECT pg_advisory_unlock_shared(timetable.standby_key($1))")
    /// Ends a session of ours that the server still holds though it is lost to us.
    static let endSession = Statement(
        nil,
        """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE pid = $1::integer AND backend_start = $2::timestamptz
        """)
    /// True where the server can find out by itself, while it works, that its client is gone; it
    /// does from then on.
    static let checkClient = Statement(
        nil,
        """
        SELECT set_config('client_connection_check_interval', '1s', false)
        WHERE current_setting('client_connection_check_interval', true) IS NOT NULL
        """)
    static let lockNotifications = Statement(
        "lock_notifications",
        "SELECT pg_try_advisory_lock(hashtextextended('carillon notifications', 0))")
    static let registerWorker = Statement(
        nil,
        """
        INSERT INTO timetable.worker AS w (client_name, host, pid, version)
        VALUES ($1, $2, $3::integer, $4)
        ON CONFLICT (client_name) DO UPDATE
        SET host = excluded.host, pid = excluded.pid, version = excluded.version,
            started_at = clock_timestamp(), stopped_at = NULL, stopped_by = NULL
        """)
    /// Has the others look at who is there: `STARTED`, `STANDBY`, `STOPPED`.
    static func announceWorker(_ event: String) -> Statement {
        Statement(nil, "SELECT pg_notify('timetable_config', 'worker \(event)')")
    }
    /// While all is read no heartbeat proves that we live.
    static let touchWorker = Statement(
        "touch_worker",
        "UPDATE timetable.worker SET seen_at = clock_timestamp() WHERE client_name = $1")
    static let workerStopped = Statement(
        nil,
        """
        WITH gone AS (DELETE FROM timetable.worker_backend WHERE client_name = $1),
        stopped AS (
            UPDATE timetable.worker SET stopped_at = clock_timestamp()
            WHERE client_name = $1 AND stopped_at IS NULL
        )
        SELECT pg_notify('timetable_config', 'worker STOPPED')
        """)
    /// Which of these attempts are still under way in this worker's hands.
    static let ownRuns = Statement(
        nil,
        """
        SELECT r.run_status, r.attempt
        FROM unnest($1::bigint[], $2::integer[]) AS known (run, attempt)
        JOIN timetable.run_status r ON r.run_status = known.run AND r.attempt = known.attempt
        WHERE r.client_name = $3 AND r.execution_status IS NOT DISTINCT FROM 'STARTED'
        """)
    /// Until when this worker, or a new one's peers, claimed what was due. What is bound to a
    /// worker that never served was claimed by nobody. A minute less, in which it may not have
    /// heard of a change: a deaf session is found out by the heartbeat.
    static let lastSeen = Statement(
        nil,
        """
        WITH served AS (
            SELECT client_name, least(seen_at, claimed_until) AS until
            FROM timetable.worker WHERE claimed_until IS NOT NULL
        )
        SELECT (extract(epoch FROM coalesce(
            (SELECT until FROM served WHERE client_name = $1),
            (SELECT max(until) FROM served WHERE NOT EXISTS (
                SELECT FROM timetable.chain_execution_config WHERE client_name = $1 AND live))
        ) - interval '1 minute') * 1000000)::bigint
        """)
    static let endSessions = Statement(
        nil, "SELECT timetable.end_sessions($1, $2::integer[])")
    static let markDead = Statement(
        nil,
        """
        SELECT run, status
        FROM timetable.mark_dead($1, 'its daemon ended while it was under way')
        """)
    static let bury = Statement(
        nil, "SELECT outcome, run, status FROM timetable.bury($1, $2::bigint, $3)")
    /// Columns: runs that never began, their configs and fires.
    static let releaseClaims = Statement(
        nil, "SELECT run, config, fire FROM timetable.release_claims($1, $2::bigint[])")
    static let adoptRuns = Statement(
        nil, "SELECT run, config FROM timetable.adopt_runs($1::bigint[], $2::bigint[], $3)")
    /// Proves that this worker lives and hears, and looks at its peers: a row for each that has not
    /// stopped, or one without a peer. Columns: whether this session listens to its channels; the
    /// time; whether another daemon stands by for its name; the schema's version; a peer, when it
    /// was last seen, and whether it is connected.
    static let heartbeat = Statement(
        "heartbeat",
        """
        WITH seen AS (
            UPDATE timetable.worker
            SET seen_at = clock_timestamp(), claimed_until = coalesce(
                timestamptz 'epoch' + $4::bigint * interval '1 microsecond', claimed_until)
            WHERE client_name = $1
        ), echo AS MATERIALIZED (
            SELECT pg_notify($2, $3)
        ), held AS MATERIALIZED (
            SELECT key FROM timetable.held_lock
        )
        SELECT (SELECT count(*) FROM pg_listening_channels() AS c (name)
                WHERE c.name IN ('timetable_config', 'timetable_run')) = 2,
            (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
            EXISTS (SELECT FROM held WHERE key = timetable.standby_key($1)),
            (SELECT max(version) FROM timetable.schema_version),
            w.client_name, w.seen, w.is_connected
        FROM echo LEFT JOIN (
            SELECT client_name, \(seen),
                EXISTS (SELECT FROM held WHERE key = timetable.name_key(client_name))
                    AS is_connected
            FROM timetable.worker
            WHERE client_name <> $1 AND stopped_at IS NULL
        ) AS w ON true
        """)
    private static let seen = """
        (extract(epoch FROM greatest(seen_at, started_at)) * 1000000)::bigint AS seen
        """
    /// What a stand-by sees of the worker whose name it waits for, as heartbeat does of a peer.
    static let namesake = Statement(
        "namesake",
        """
        SELECT client_name, \(seen),
            EXISTS (SELECT FROM timetable.held_lock WHERE key = timetable.name_key(client_name))
        FROM timetable.worker WHERE client_name = $1 AND stopped_at IS NULL
        """)

    // MARK: Configs

    /// An instant or a length as a bigint, also where it is infinite: one odd row must not keep
    /// all others from being read.
    static func microseconds(_ column: String) -> String {
        """
        CASE WHEN \(column) IS NOT NULL THEN
            greatest(least(extract(epoch FROM \(column)) * 1000000, 9e18), -9e18)::bigint END
        """
    }

    /// What decides when configs fire. Times in microseconds since 1970.
    static let configFields = """
        SELECT c.chain_execution_config, c.chain_name, c.schedule,
            c.run_at_minute, c.run_at_hour, c.run_at_day, c.run_at_month, c.run_at_day_of_week,
            c.time_zone,
            \(microseconds("c.starts_at")),
            \(microseconds("c.ends_at")),
            \(microseconds("c.jitter")),
            c.on_gap, c.on_repeat,
            \(microseconds("c.misfire_grace")),
            \(microseconds("c.scheduled_since")),
            c.misfire, \(microseconds("c.misfire_window")),
            CASE WHEN c.schedule ~* '^\\s*@after' THEN (
                SELECT CASE WHEN r.execution_status IN ('STARTED', 'WAITING') THEN 'under way'
                    ELSE ((extract(epoch FROM r.finished) * 1000000)::bigint)::text END
                FROM timetable.run_status r
                WHERE r.chain_execution_config = c.chain_execution_config
                    AND r.scheduled_for IS NOT NULL
                ORDER BY r.scheduled_for DESC LIMIT 1) END,
            c.client_name IS NOT NULL
        """
    private static let configColumns =
        configFields + """

            FROM timetable.chain_execution_config c
            WHERE c.live AND c.chain_id IS NOT NULL
                AND c.paused_until IS DISTINCT FROM 'infinity'
                AND (c.client_name IS NULL OR c.client_name = $1)
            """
    static let configPage = Statement(
        "config_page",
        configColumns + """
             AND c.chain_execution_config > $2::bigint
            ORDER BY c.chain_execution_config LIMIT $3::integer
            """)
    static let configsByID = Statement(
        "configs_by_id",
        configColumns + " AND c.chain_execution_config = ANY ($2::bigint[])")
    /// Columns: id, name, which worker alone may run it, until when it is paused and why. By name,
    /// else by id.
    static let configNamed = Statement(
        nil,
        """
        SELECT chain_execution_config, chain_name, client_name, CASE
            WHEN paused_until > clock_timestamp() THEN coalesce(
                to_char(nullif(paused_until, 'infinity') AT TIME ZONE 'UTC',
                    'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'it is resumed') || coalesce(
                ': ' || pause_note, '') END
        FROM timetable.chain_execution_config
        WHERE chain_name = $1 OR chain_execution_config =
            CASE WHEN $1 ~ '^[0-9]{1,18}$' THEN $1::bigint END
        ORDER BY chain_name = $1 DESC LIMIT 1
        """)
    static let clock = Statement(
        "clock", "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    static let defaultZone = Statement(
        "default_zone",
        """
        SELECT current_setting('TimeZone')
        """)

    /// The last fire of each config that was claimed, or recorded as missed, and the time by
    /// which it has to be judged what was missed since.
    static let lastClaims = Statement(
        "last_claims",
        """
        SELECT w.id, (
            SELECT (extract(epoch FROM greatest(r.scheduled_for, r.missed_until))
                * 1000000)::bigint
            FROM timetable.run_status r
            WHERE r.chain_execution_config = w.id AND r.scheduled_for IS NOT NULL
            ORDER BY r.scheduled_for DESC LIMIT 1),
            (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
        FROM unnest($1::bigint[]) AS w (id)
        """)
    static let recordMissed = Statement(
        "record_missed",
        """
        SELECT timetable.record_missed(
            $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6,
            $7::bigint)
        """)

    // MARK: Runs

    static let claimFires = Statement(
        "claim_fires",
        """
        SELECT config, fire, outcome, run, clock
        FROM timetable.claim_fires(
            $1::bigint[], $2::bigint[], $3::bigint[], $4, $5::bigint)
        """)
    static let claimRequests = Statement(
        "claim_requests",
        """
        SELECT request, config, outcome, run, run_after, clock
        FROM timetable.claim_requests($1::bigint[], $2)
        """)
    static let claimedWork = work("claimed_work", of: "unnest($2::bigint[])")
    static let requestedWork = work(
        "requested_work",
        of: """
            (SELECT chain_execution_config FROM timetable.run_request
                WHERE run_request = ANY ($2::bigint[]))
            """)
    static let takenWork = work(
        "taken_work",
        of: """
            (SELECT chain_execution_config FROM timetable.run_request
                WHERE run_request = ANY (current_setting('timetable.taken')::bigint[]))
            """)

    /// What the runs that worker $1 claimed in this very transaction have to do, after a claim in
    /// the same batch: one row for each invocation, in order. now() is when the transaction began.
    ///
    /// When all of it is SQL in this database, the claim need not reach the disk by itself: it
    /// does before, or with, the first COMMIT of the runs, and a server that crashes earlier
    /// forgets both.
    ///
    /// No function in SQL: that would be planned anew each time.
    private static func work(_ name: String, of configs: String) -> Statement {
        Statement(
            name,
            """
            WITH RECURSIVE won AS (
                SELECT r.run_status, r.chain_execution_config, r.chain_id, r.parameters,
                    r.attempt, r.scheduled_for, r.run_request, c.self_destruct, c.timeout,
                    coalesce(c.schedule ~* '^\\s*@after', false) AS is_after
                FROM (SELECT DISTINCT id FROM \(configs) AS w (id)) AS wanted
                JOIN timetable.run_status r ON r.chain_execution_config = wanted.id
                    AND r.execution_status = 'STARTED'
                JOIN timetable.chain_execution_config c ON c.chain_execution_config = wanted.id
                WHERE r.client_name = $1 AND r.last_status_update >= now()
            ), element AS (
                SELECT w.run_status, 1 AS position, t.*
                FROM won w JOIN timetable.task_chain t ON t.chain_id = w.chain_id
                UNION ALL
                SELECT e.run_status, e.position + 1, t.*
                FROM element e JOIN timetable.task_chain t ON t.parent_id = e.chain_id
                WHERE e.position < 10000
            )
            SELECT w.run_status, w.chain_execution_config, w.chain_id, w.self_destruct IS TRUE,
                e.position, e.chain_id, e.task_id, b.name, b.kind::text, b.script, e.run_uid,
                CASE WHEN e.database_connection IS NOT NULL
                    THEN coalesce(d.connect_string, '') END,
                e.ignore_error IS TRUE, e.autonomous,
                \(microseconds("e.timeout")),
                v.value::text, jsonb_typeof(v.value),
                CASE jsonb_typeof(v.value) WHEN 'array' THEN
                    ARRAY(SELECT jsonb_array_elements_text(v.value)) END,
                CASE WHEN jsonb_typeof(own.rows) <> 'array'
                        OR jsonb_typeof(w.parameters) <> 'object'
                    THEN timetable.redacted(coalesce(own.rows, w.parameters))::text END,
                (SELECT set_config('synchronous_commit', 'off', true)
                    WHERE NOT EXISTS (
                        SELECT FROM element e JOIN timetable.base_task b ON b.task_id = e.task_id
                        WHERE b.kind <> 'SQL' OR e.autonomous
                            OR e.database_connection IS NOT NULL)),
                w.is_after, w.attempt, \(microseconds("w.timeout")), w.scheduled_for,
                (SELECT q.failed_run FROM timetable.run_request q
                    WHERE q.run_request = w.run_request),
                v.is_secret
            FROM won w
            JOIN element e ON e.run_status = w.run_status
            LEFT JOIN timetable.base_task b ON b.task_id = e.task_id
            LEFT JOIN timetable.database_connection d
                ON d.database_connection = e.database_connection
            CROSS JOIN LATERAL (SELECT w.parameters -> e.chain_id::text AS rows) AS own
            LEFT JOIN LATERAL jsonb_array_elements(
                CASE jsonb_typeof(own.rows) WHEN 'array' THEN own.rows END
            ) WITH ORDINALITY AS p (value, number) ON true
            CROSS JOIN LATERAL (
                SELECT CASE WHEN s.is_secret THEN p.value -> 'timetable.secret'
                    ELSE p.value END AS value, s.is_secret
                FROM (SELECT jsonb_typeof(p.value) = 'object'
                    AND p.value ? 'timetable.secret' AS is_secret) AS s
            ) AS v
            ORDER BY w.run_status, e.position, p.number
            """)
    }

    /// After takeNotified in the same batch: claims what that requested.
    static let claimTaken = Statement(
        "claim_taken",
        """
        SELECT request, config, outcome, run, run_after, clock
        FROM timetable.claim_requests(current_setting('timetable.taken')::bigint[], $1)
        """)
    static let takeNotified = Statement(
        "take_notified",
        "SELECT payload, outcome, request FROM timetable.take_notified($1::text[])")
    static let openRequests = Statement(
        "open_requests",
        """
        SELECT run_request, \(microseconds("run_after"))
        FROM timetable.run_request WHERE claimed_at IS NULL ORDER BY run_request
        """)
    static let wakeRequests = Statement(
        "wake_requests",
        """
        SELECT pg_notify(
            'timetable_run', '{"requests": [' || array_to_string($1::bigint[], ', ') || ']}')
        """)
    static let chainDone = Statement(
        "chain_done",
        "SELECT timetable.chain_done($1::bigint, $2::integer, $3, $4::bigint, $5::bigint)")
    static let holdRun = Statement(
        "hold_run", "SELECT timetable.hold_run($1::bigint, $2::integer, $3)")
    /// The runs among these that somebody asked to cancel, with the reason.
    static let cancelRequests = Statement(
        "cancel_requests",
        """
        SELECT run_status, reason FROM timetable.run_status
        WHERE run_status = ANY ($1::bigint[]) AND cancel_requested_at IS NOT NULL
        """)
    static let endRuns = Statement(
        "end_runs",
        """
        SELECT run, status, attempt
        FROM timetable.end_runs(
            $1::bigint[], $2::integer[], $3::text[], $4::text[], $5::text[], $6, $7::bigint[])
        """)

    // MARK: Logs

    static let insertExecutions = Statement(
        "insert_executions",
        """
        INSERT INTO timetable.execution_log (
            chain_execution_config, chain_id, task_id, name, script, kind, last_run, finished,
            returncode, pid, run_status, output, error, sqlstate, parameters, client_name,
            attempt)
        SELECT config, chain, task, name, script, kind,
            timestamptz 'epoch' + began * interval '1 microsecond',
            timestamptz 'epoch' + ended * interval '1 microsecond',
            code, pid, run, output, error, sqlstate, parameters, $16, attempt
        FROM unnest(
            $1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[],
            $7::bigint[], $8::bigint[], $9::integer[], $10::bigint[], $11::bigint[], $12::text[],
            $13::text[], $14::text[], $15::jsonb[], $17::integer[])
            AS e (config, chain, task, name, script, kind, began, ended, code, pid, run, output,
                error, sqlstate, parameters, attempt)
        -- A server that crashed lost the claim with the chain's work; the fire has another run.
        WHERE EXISTS (SELECT FROM timetable.run_status r WHERE r.run_status = e.run)
        """)
    static let insertLines = Statement(
        "insert_lines",
        """
        INSERT INTO timetable.log (ts, client_name, pid, log_level, message)
        SELECT timestamptz 'epoch' + at * interval '1 microsecond', $4, $5::integer,
            level::timetable.log_type, message
        FROM unnest($1::bigint[], $2::text[], $3::text[]) AS l (at, level, message)
        """)
}

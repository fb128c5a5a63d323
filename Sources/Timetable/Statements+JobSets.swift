internal import Postgres

extension Statements {
    // MARK: Sets of jobs: import, export, apply

    /// What is read is what is changed: who changes the same meanwhile makes this fail, and is
    /// not undone. Texts of times and lengths of time have one form.
    static let beginJobs = [
        // Two imports at once: the second waits, and then sees what the first one made. Before
        // BEGIN, since the snapshot would be older than the lock.
        Statement(nil, "SELECT pg_advisory_lock(hashtextextended('carillon jobs', 0))"),
        Statement(nil, "BEGIN ISOLATION LEVEL REPEATABLE READ"),
        Statement(nil, "SET LOCAL TimeZone = 'UTC'"),
        Statement(nil, "SET LOCAL IntervalStyle = 'postgres'"),
        Statement(nil, "SET LOCAL DateStyle = 'ISO'"),
    ]
    /// Of configs by their names; NULL: of all. Each table's columns as they are, in JSON.
    static let storedConfigs = Statement(
        nil,
        """
        SELECT to_jsonb(c) FROM timetable.chain_execution_config c
        WHERE $1::text[] IS NULL OR c.chain_name = ANY ($1) ORDER BY c.chain_name
        """)
    static let storedElements = Statement(
        nil,
        """
        WITH RECURSIVE element AS (
            SELECT t.*, t.chain_id AS head, 1 AS position
            FROM timetable.task_chain t WHERE t.chain_id = ANY ($1::bigint[])
            UNION ALL
            SELECT t.*, e.head, e.position + 1
            FROM element e JOIN timetable.task_chain t ON t.parent_id = e.chain_id
        )
        SELECT to_jsonb(e) FROM element e ORDER BY e.head, e.position
        """)
    static let storedTasks = Statement(
        nil,
        """
        SELECT to_jsonb(b) || jsonb_build_object('uses',
            (SELECT count(*) FROM timetable.task_chain t WHERE t.task_id = b.task_id))
        FROM timetable.base_task b
        WHERE b.task_id = ANY ($1::bigint[]) OR b.name = ANY ($2::text[]) OR b.kind = 'BUILTIN'
        """)
    static let storedParameters = Statement(
        nil,
        """
        SELECT to_jsonb(p) FROM timetable.chain_execution_parameters p
        WHERE p.chain_execution_config = ANY ($1::bigint[])
        ORDER BY p.chain_execution_config, p.chain_id, p.order_id
        """)
    static let storedConnections = Statement(
        nil,
        """
        SELECT to_jsonb(d) FROM timetable.database_connection d ORDER BY d.database_connection
        """)
    /// Of configs that share these chains, or have these ids.
    static let storedNames = Statement(
        nil,
        """
        SELECT jsonb_build_object('chain_execution_config', c.chain_execution_config,
            'chain_name', c.chain_name, 'chain_id', c.chain_id)
        FROM timetable.chain_execution_config c
        WHERE c.chain_id = ANY ($1::bigint[]) OR c.chain_execution_config = ANY ($2::bigint[])
        """)
    /// JSON as the server writes it.
    static let canonicalJSON = Statement(
        nil, "SELECT v::jsonb FROM unnest($1::text[]) WITH ORDINALITY AS v (v, n) ORDER BY n")

    static let makeTask = Statement(
        nil,
        """
        INSERT INTO timetable.base_task (name, kind, script)
        VALUES ($1, $2::timetable.task_kind, $3) RETURNING task_id
        """)
    static let changeTask = Statement(
        nil,
        """
        UPDATE timetable.base_task SET kind = $2::timetable.task_kind, script = $3
        WHERE task_id = $1::bigint RETURNING task_id
        """)
    static let makeConnection = Statement(
        nil,
        """
        INSERT INTO timetable.database_connection (connect_string) VALUES ($1)
        RETURNING database_connection
        """)
    static let changeConnection = Statement(
        nil,
        """
        UPDATE timetable.database_connection SET connect_string = $2
        WHERE database_connection = $1::bigint RETURNING database_connection
        """)
    static let makeElement = Statement(
        nil,
        """
        INSERT INTO timetable.task_chain
            (parent_id, task_id, run_uid, database_connection, ignore_error, autonomous, timeout)
        VALUES ($1::bigint, (SELECT task_id FROM timetable.base_task WHERE name = $2), $3,
            $4::bigint, $5::boolean, $6::boolean, $7::interval)
        RETURNING chain_id
        """)
    static let changeElement = Statement(
        nil,
        """
        UPDATE timetable.task_chain
        SET task_id = (SELECT task_id FROM timetable.base_task WHERE name = $2), run_uid = $3,
            database_connection = $4::bigint, ignore_error = $5::boolean,
            autonomous = $6::boolean, timeout = $7::interval
        WHERE chain_id = $1::bigint RETURNING chain_id
        """)
    /// Those behind it go with it.
    static let removeElement = Statement(
        nil, "DELETE FROM timetable.task_chain WHERE chain_id = $1::bigint")

    /// `columns` are names of our own: see `ConfigColumn`. Values from $4 on.
    static func makeConfig(_ columns: [(name: String, type: String)]) -> Statement {
        let names = columns.map { ", \($0.name)" }.joined()
        let values = columns.enumerated().map { ", $\($0.offset + 4)::\($0.element.type)" }
        return Statement(
            nil,
            """
            INSERT INTO timetable.chain_execution_config (chain_name, chain_id, origin\(names))
            VALUES ($1, $2::bigint, $3\(values.joined())) RETURNING chain_execution_config
            """)
    }
    /// `chain` NULL keeps the chain.
    static func changeConfig(_ columns: [(name: String, type: String)]) -> Statement {
        let values = columns.enumerated().map {
            ", \($0.element.name) = $\($0.offset + 3)::\($0.element.type)"
        }
        return Statement(
            nil,
            """
            UPDATE timetable.chain_execution_config
            SET chain_id = coalesce($2::bigint, chain_id)\(values.joined())
            WHERE chain_execution_config = $1::bigint RETURNING chain_execution_config
            """)
    }
    static let moveParameters = Statement(
        nil,
        """
        UPDATE timetable.chain_execution_parameters SET chain_id = $3::bigint
        WHERE chain_execution_config = $1::bigint AND chain_id = $2::bigint
        """)
    /// Those of elements that are not in its chain.
    static let removeStrayParameters = Statement(
        nil,
        """
        DELETE FROM timetable.chain_execution_parameters
        WHERE chain_execution_config = $1::bigint AND chain_id <> ALL ($2::bigint[])
        """)
    static let makeParameter = Statement(
        nil,
        """
        INSERT INTO timetable.chain_execution_parameters
            (chain_execution_config, chain_id, order_id, value)
        VALUES ($1::bigint, $2::bigint, $3::integer, $4::jsonb)
        """)
    static let changeParameter = Statement(
        nil,
        """
        UPDATE timetable.chain_execution_parameters SET value = $4::jsonb
        WHERE chain_execution_config = $1::bigint AND chain_id = $2::bigint
            AND order_id = $3::integer
        """)
    static let removeParameter = Statement(
        nil,
        """
        DELETE FROM timetable.chain_execution_parameters
        WHERE chain_execution_config = $1::bigint AND chain_id = $2::bigint
            AND order_id = $3::integer
        """)
    static let linkConfig = Statement(
        nil,
        """
        UPDATE timetable.chain_execution_config
        SET excluded_execution_configs = $2::integer[], on_failure = $3::bigint
        WHERE chain_name = $1 RETURNING chain_execution_config
        """)
    static let configIDs = Statement(
        nil,
        """
        SELECT chain_name, chain_execution_config FROM timetable.chain_execution_config
        WHERE chain_name = ANY ($1::text[])
        """)
    static let removeConfig = Statement(
        nil,
        """
        DELETE FROM timetable.chain_execution_config WHERE chain_execution_config = $1::bigint
        """)
    /// Of these, those that no config runs any more; returns the base tasks of all their elements.
    static let removeUnusedChains = Statement(
        nil,
        """
        WITH RECURSIVE element AS (
            SELECT t.chain_id, t.task_id, t.parent_id FROM timetable.task_chain t
            WHERE t.chain_id = ANY ($1::bigint[]) AND NOT EXISTS (
                SELECT FROM timetable.chain_execution_config c WHERE c.chain_id = t.chain_id)
            UNION ALL
            SELECT t.chain_id, t.task_id, t.parent_id
            FROM element e JOIN timetable.task_chain t ON t.parent_id = e.chain_id
        ), gone AS (
            DELETE FROM timetable.task_chain t USING element e
            WHERE t.chain_id = e.chain_id AND e.parent_id IS NULL
        )
        SELECT DISTINCT task_id FROM element
        """)
    static let removeUnusedTasks = Statement(
        nil,
        """
        DELETE FROM timetable.base_task b
        WHERE b.task_id = ANY ($1::bigint[]) AND b.kind <> 'BUILTIN' AND NOT EXISTS (
            SELECT FROM timetable.task_chain t WHERE t.task_id = b.task_id)
        RETURNING b.name
        """)
    static let configNames = Statement(
        nil,
        """
        SELECT chain_name FROM timetable.chain_execution_config
        WHERE chain_name LIKE $1 ORDER BY chain_name
        """)
    /// Of these roles those that the owner of the schema, as which the daemon usually logs in, may
    /// not become: name, whether it exists, the owner.
    static let missingRoles = Statement(
        nil,
        """
        SELECT role, r.oid IS NOT NULL, pg_get_userbyid(n.nspowner)
        FROM unnest($1::text[]) AS role
        JOIN pg_namespace n ON n.nspname = 'timetable'
        LEFT JOIN pg_roles r ON r.rolname = role
        WHERE r.oid IS NULL OR NOT pg_has_role(n.nspowner, r.oid, 'MEMBER')
        ORDER BY role
        """)
}

internal import Postgres

extension Statements {
    /// From the catalogs, not by to_regnamespace(): that one answers from the session's cache,
    /// which does not learn of another's commit while we wait for an advisory lock.
    ///
    /// Columns: whether there is a schema; whether it is ours; whether we may make one; our role
    /// and database; the owner of the schema, and whether we may act as that.
    static let schemaState = Statement(
        nil,
        """
        SELECT n.oid IS NOT NULL,
            EXISTS (SELECT FROM pg_class c
                WHERE c.relnamespace = n.oid AND c.relname = 'schema_version'),
            has_database_privilege(current_database(), 'CREATE'), current_user,
            current_database(), pg_get_userbyid(n.nspowner), pg_has_role(n.nspowner, 'MEMBER')
        FROM (VALUES (1)) AS one
        LEFT JOIN pg_namespace n ON n.nspname = 'timetable'
        """)
    static let schemaVersion = Statement(
        nil, "SELECT max(version) FROM timetable.schema_version")
    /// Columns: a worker that is connected or stands by, its host and its process id.
    static let connectedWorkers = Statement(
        nil,
        """
        SELECT client_name, host, pid FROM timetable.workers
        WHERE state = 'serving' OR has_standby ORDER BY client_name
        """)
    /// What is made by a superuser, or a member of the owner, is to be the owner's.
    static func setLocalRole(_ role: String) -> Statement {
        Statement(nil, "SET LOCAL ROLE \(role.quotedIdentifier)")
    }
    static let announceUpgrade = Statement(
        nil, "SELECT pg_notify('timetable_config', 'schema UPGRADED all')")
}

/// A fresh database with a daemon that serves it.
public struct Served: Sendable {
    public let database: TestDatabase
    public let daemon: DaemonProcess

    public init(database: TestDatabase, daemon: DaemonProcess) {
        self.database = database
        self.daemon = daemon
    }

    /// Starts a daemon on a new database and waits until it is ready.
    public static func fresh(_ prefix: String, _ arguments: [String] = []) async throws -> Served {
        try await on(PrivateCluster.database(prefix), arguments)
    }

    /// Starts a daemon on a database and waits until it is ready.
    public static func on(
        _ database: TestDatabase, name: String = "worker001", _ arguments: [String] = [],
        environment: [String: String] = [:]
    ) async throws -> Served {
        let daemon = try DaemonProcess(
            ["serve", "--name", name, "-v"] + arguments,
            environment: database.environment.merging(environment) { $1 }, notify: true)
        try await daemon.waitForNotify("READY=1", within: .seconds(30))
        return Served(database: database, daemon: daemon)
    }

    /// Runs SQL and returns its rows.
    @discardableResult
    public func psql(_ sql: String) async throws -> String {
        try await database.psql(sql)
    }

    /// Makes a chain of base tasks, `(kind, script)` each, and a config for it; returns its id.
    public func addConfig(
        _ name: String, _ tasks: [(kind: String, script: String)], columns: String = "schedule",
        values: String = "'@manual'"
    ) async throws -> Int {
        let id = try await psql(
            Self.statements(addingConfig: name, tasks, columns: columns, values: values))
        guard let number = Int(id) else { throw NotReached("\(id) is no id of a config") }
        return number
    }

    /// The SQL of `addConfig`, which returns the id.
    public static func statements(
        addingConfig name: String, _ tasks: [(kind: String, script: String)],
        columns: String = "schedule", values: String = "'@manual'"
    ) -> String {
        var sql = ""
        for (index, task) in tasks.enumerated() {
            sql += """
                INSERT INTO timetable.base_task (name, kind, script)
                VALUES ('\(name) \(index)', '\(task.kind)', $task$\(task.script)$task$);
                INSERT INTO timetable.task_chain (parent_id, task_id)
                VALUES (\(index == 0 ? "NULL" : "(SELECT max(chain_id) FROM timetable.task_chain)"),
                    currval('timetable.base_task_task_id_seq'));

                """
        }
        // Live, unless the columns say it.
        let saysLive = columns.hasSuffix("live")
        let allColumns = saysLive ? columns : "live, " + columns
        let allValues = saysLive ? values : "true, " + values
        sql += """
            INSERT INTO timetable.chain_execution_config (chain_id, chain_name, \(allColumns))
            SELECT chain_id, '\(name)', \(allValues) FROM timetable.task_chain
            JOIN timetable.base_task USING (task_id) WHERE base_task.name = '\(name) 0'
            RETURNING chain_execution_config;
            """
        return sql
    }

    /// Waits until a run has ended, and returns its end, its error and its SQLSTATE.
    public func end(ofRequest request: String) async throws -> String {
        try await eventually("the end of request \(request)") {
            try await psql(
                """
                SELECT count(*) FROM timetable.run_status
                WHERE run_request = \(request) AND finished IS NOT NULL
                """) == "1"
        }
        return try await psql(
            """
            SELECT execution_status, error, sqlstate FROM timetable.run_status
            WHERE run_request = \(request)
            """)
    }

    /// Requests a run and waits for its end.
    public func run(_ config: Int, _ parameters: String = "NULL") async throws -> String {
        let request = try await psql("SELECT timetable.run(\(config), \(parameters))")
        return try await end(ofRequest: request)
    }

    /// Lets no config fire any more, and waits until all runs have ended.
    public func stopFiring() async throws {
        try await psql("UPDATE timetable.chain_execution_config SET live = false")
        try await waitFor(
            "0", "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'STARTED'")
    }

    /// Waits until a query returns `expected`.
    public func waitFor(
        _ expected: String, _ sql: String, within limit: Duration = .seconds(30)
    ) async throws {
        try await eventually(within: limit, "\(sql) gives \(expected)") {
            try await psql(sql) == expected
        }
    }
}

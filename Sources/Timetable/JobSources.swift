internal import Glibc
public import Jobs
public import Postgres
public import Reactor
internal import Timing

/// Reads the jobs of other schedulers from their tables. Nothing of them is changed.
@LoopActor
public enum JobSources {
    public enum Source: Sendable, Equatable {
        case pgCron, pgAgent
        /// With the name of its schema.
        case pgTimetable(schema: String)
    }

    /// What a source has, what has to be known about it, and the label of its configs' `origin`.
    public struct Found: Sendable, Equatable {
        public var imported: Imported
        public var origin: String
    }

    /// - Parameters:
    ///   - from: Where the source's tables are; nil: in our own database.
    ///   - connection: Our own database.
    /// - Throws: `StartFailure`.
    public static func read(
        _ source: Source, from: ConnectionParameters?, connection: ConnectionParameters,
        prefix: String
    ) async throws(StartFailure) -> Found {
        do throws(PostgresError) {
            let session = try await open(from ?? connection)
            defer { session.close() }
            var ours = try await session.run(Statements.sourceServer, deadline: .seconds(10))
            if from != nil {
                let own = try await open(connection)
                defer { own.close() }
                ours = try await own.run(Statements.sourceServer, deadline: .seconds(10))
            }
            return try await read(source, session, ours, prefix)
        } catch {
            throw StartFailure(error, doing: "nothing was imported")
        }
    }

    private static func open(
        _ connection: ConnectionParameters
    ) async throws(PostgresError) -> Connection {
        try await Connection.open(connection.with("application_name", "carillon import"))
    }

    private static func read(
        _ source: Source, _ session: Connection, _ ours: Rows, _ prefix: String
    ) async throws(PostgresError) -> Found {
        let theirs = try await session.run(Statements.sourceServer, deadline: .seconds(10))
        let isHere = theirs.text(0, 3) != nil && theirs.text(0, 3) == ours.text(0, 3)
        var server = SourceServer(
            database: theirs.text(0, 0) ?? "", host: session.address.host,
            port: session.address.port, user: theirs.text(0, 1) ?? "",
            ours: isHere ? ours.text(0, 0) : nil, zone: theirs.text(0, 2) ?? "UTC")
        let reader = JobReader(session: session)
        let database = server.database
        switch source {
        case .pgCron:
            try await demand("cron.job", "pg_cron", database, session)
            server.zone = theirs.text(0, 5) ?? "GMT"
            var imported = PgCron(server: server, prefix: prefix)
                .read(try await reader.rows(Statements.pgCronJobs))
            if theirs.boolean(0, 4) != true {
                imported.remarks.append(
                    Remark(
                        .left, nil,
                        "the jobs of other roles: pg_cron shows \(server.user) only its own"))
            }
            return Found(imported: imported, origin: "pg_cron of \(database)")
        case .pgAgent:
            try await demand("pgagent.pga_job", "pgAgent", database, session)
            let imported = PgAgent(server: server, clocks: clocks(), prefix: prefix).read(
                jobs: try await reader.rows(Statements.pgAgentJobs),
                steps: try await reader.rows(Statements.pgAgentSteps),
                schedules: try await reader.rows(Statements.pgAgentSchedules),
                exceptions: try await reader.rows(Statements.pgAgentExceptions))
            return Found(imported: imported, origin: "pgAgent of \(database)")
        case .pgTimetable(let schema):
            let imported = try await pgTimetable(schema, server, reader, prefix)
            return Found(imported: imported, origin: "pg_timetable of \(database), \(schema)")
        }
    }

    private static func pgTimetable(
        _ schema: String, _ server: SourceServer, _ reader: JobReader, _ prefix: String
    ) async throws(PostgresError) -> Imported {
        let name = schema.quotedIdentifier
        try await demand("\(name).chain", "pg_timetable", server.database, reader.session)
        let isFlat = try await reader.session.run(
            Statements.columnExists, ["\(name).task", "chain_id"], deadline: .seconds(10))
        let tasks =
            isFlat.boolean(0, 0) == true
            ? Statements.pgTimetableTasks(schema) : Statements.pgTimetableLinkedTasks(schema)
        return PgTimetable(server: server, clocks: clocks(), prefix: prefix).read(
            chains: try await reader.rows(Statements.pgTimetableChains(schema)),
            tasks: try await reader.rows(tasks),
            parameters: try await reader.rows(Statements.pgTimetableParameters(schema)))
    }

    private static func demand(
        _ table: String, _ product: String, _ database: String, _ session: Connection
    ) async throws(PostgresError) {
        let found = try await session.run(
            Statements.tableExists, [table], deadline: .seconds(10))
        guard found.boolean(0, 0) == true else {
            throw PostgresError(
                .unsupported,
                "the database \"\(database)\" has no table \(table) of \(product)",
                hint: "say where they are by --from")
        }
    }

    /// Zones are read one by one, as they are asked for.
    private static func clocks() -> ClockChanges {
        let zones = Zones()
        return ClockChanges(now: .now()) { name in
            LoopActor.assumeIsolated { try? zones.rules(name) }
        }
    }
}

internal import Jobs
internal import Postgres
internal import Reactor

/// Reads jobs from a database, within a transaction that `Statements.beginJobs` has begun.
@LoopActor
struct JobReader {
    static let deadline: Duration = .seconds(120)

    let session: Connection

    /// The configs of these names, or of all (nil), with all that belongs to them; base tasks
    /// also by their names.
    func stored(
        configs names: [String]?, tasks: [String]
    ) async throws(PostgresError) -> StoredJobs {
        var tables = StoredJobs.Tables()
        tables.configs = try await rows(
            Statements.storedConfigs, [names.map { ($0 as [String?]).arrayLiteral }])
        func ids(_ column: String, _ rows: [JSON]) -> [Int64] {
            Array(Set(rows.compactMap { $0[column]?.integer })).sorted()
        }
        let heads = ids("chain_id", tables.configs).arrayLiteral
        let configs = ids("chain_execution_config", tables.configs).arrayLiteral
        tables.elements = try await rows(Statements.storedElements, [heads])
        tables.tasks = try await rows(
            Statements.storedTasks,
            [ids("task_id", tables.elements).arrayLiteral, (tasks as [String?]).arrayLiteral])
        tables.parameters = try await rows(Statements.storedParameters, [configs])
        tables.connections = try await rows(Statements.storedConnections)
        let linked =
            tables.configs.flatMap { $0["excluded_execution_configs"]?.array ?? [] }
            .compactMap(\.integer) + ids("on_failure", tables.configs)
        tables.names = try await rows(Statements.storedNames, [heads, linked.arrayLiteral])
        return StoredJobs(tables)
    }

    /// The first column of all rows, which is JSON.
    func rows(
        _ statement: Statement, _ parameters: [String?] = []
    ) async throws(PostgresError) -> [JSON] {
        let rows = try await session.run(statement, parameters, deadline: Self.deadline)
        return (0..<rows.count).compactMap { row in rows.text(row, 0).flatMap { JSON($0) } }
    }

    /// The same set with its parameters as the server writes them: so they compare.
    func canonical(_ jobs: JobSet) async throws(PostgresError) -> JobSet {
        let texts = jobs.configs.flatMap { config in
            config.parameters.sorted { $0.key < $1.key }.flatMap { $0.value.map(\.rendered) }
        }
        let values = try await rows(
            Statements.canonicalJSON, [(texts as [String?]).arrayLiteral])
        guard values.count == texts.count else {
            throw PostgresError(.unsupported, "a row of parameters is nested too deeply")
        }
        var next = values.makeIterator()
        var jobs = jobs
        for chain in jobs.chains.indices {
            for config in jobs.chains[chain].configs.indices {
                let parameters = jobs.chains[chain].configs[config].parameters
                for (position, rows) in parameters.sorted(by: { $0.key < $1.key }) {
                    jobs.chains[chain].configs[config].parameters[position] = rows.map { row in
                        next.next() ?? row
                    }
                }
            }
        }
        return jobs
    }
}

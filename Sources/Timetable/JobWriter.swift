internal import Jobs
internal import Postgres
internal import Reactor

/// Carries out a `JobPlan`, within the transaction in which it was made.
@LoopActor
final class JobWriter {
    private let session: Connection
    private let jobs: JobSet
    private let stored: StoredJobs
    private let plan: JobPlan
    /// For configs that are made.
    private let origin: String?
    /// The ids of the elements of each chain of the set.
    private var elements: [[Int64]] = []
    private var configs: [String: Int64] = [:]
    /// Chains that a config has left.
    private var left: Set<Int64> = []
    /// Base tasks that an element had and has no more.
    private var leftTasks: Set<Int64> = []

    init(
        _ session: Connection, _ jobs: JobSet, _ stored: StoredJobs, _ plan: JobPlan,
        origin: String?
    ) {
        (self.session, self.jobs, self.stored) = (session, jobs, stored)
        (self.plan, self.origin) = (plan, origin)
        elements = plan.heads.map { head in
            head.flatMap { stored.chains[$0] }?.map(\.id) ?? []
        }
        configs = stored.configs.mapValues(\.id)
    }

    func write(isPruning: Bool) async throws(PostgresError) {
        for change in plan.changes { try await write(change) }
        guard isPruning else { return }
        let tasks = try await run(
            Statements.removeUnusedChains, [left.sorted().arrayLiteral])
        leftTasks.formUnion((0..<tasks.count).compactMap { tasks.integer($0, 0) })
        try await run(Statements.removeUnusedTasks, [leftTasks.sorted().arrayLiteral])
    }

    @discardableResult
    private func run(
        _ statement: Statement, _ parameters: [String?]
    ) async throws(PostgresError) -> Rows {
        try await session.run(statement, parameters, deadline: JobReader.deadline)
    }

    private func id(
        _ statement: Statement, _ parameters: [String?]
    ) async throws(PostgresError) -> Int64 {
        guard let id = try await run(statement, parameters).integer(0, 0) else {
            throw PostgresError(
                .server, "what was to be changed is gone, or may not be changed by this role")
        }
        return id
    }

    private func write(_ change: JobPlan.Change) async throws(PostgresError) {
        switch change {
        case .task(let name, let task, let was):
            if let was {
                _ = try await id(
                    Statements.changeTask, ["\(was.id)", task.kind.rawValue, task.script])
            } else {
                _ = try await id(Statements.makeTask, [name, task.kind.rawValue, task.script])
            }
        case .chain(let number, let elements, let was):
            try await write(number, elements, was)
        case .config(let config, let chain, let columns, let was):
            try await write(config, chain, columns, was)
        case .parameters(let config, let chain, let position, let rows, let was):
            try await write(config, elements[chain][position], rows, was)
        case .links(let config, let excluded, let onFailure, _):
            try await link(config, excluded, onFailure)
        case .removal(let config, let id):
            try await run(Statements.removeConfig, ["\(id)"])
            if let chain = stored.configs[config]?.chain { left.insert(chain) }
        }
    }

    private func write(
        _ number: Int, _ wanted: [JobSet.Element], _ was: [StoredJobs.Element]
    ) async throws(PostgresError) {
        var ids: [Int64] = []
        for (position, element) in wanted.enumerated() {
            var connection: Int64?
            if let string = element.connection { connection = try await self.connection(string) }
            let values: [String?] = [
                element.task, element.runUID, connection.map { "\($0)" },
                "\(element.ignoreError)", "\(element.autonomous)", element.timeout?.description,
            ]
            if position < was.count {
                ids.append(was[position].id)
                guard was[position].element != element else { continue }
                _ = try await id(Statements.changeElement, ["\(was[position].id)"] + values)
            } else {
                ids.append(
                    try await id(Statements.makeElement, [ids.last.map { "\($0)" }] + values))
            }
        }
        if was.count > wanted.count {
            try await run(Statements.removeElement, ["\(was[wanted.count].id)"])
        }
        elements[number] = ids
        let tasks = Set(wanted.map(\.task))
        for element in was where !tasks.contains(element.element.task) {
            if let task = stored.tasks[element.element.task] { leftTasks.insert(task.id) }
        }
    }

    private var madeConnections: [ConnectString: Int64] = [:]

    private func connection(_ string: ConnectString) async throws(PostgresError) -> Int64 {
        if let id = madeConnections[string] { return id }
        if let there = stored.connections.first(where: { $0.string == string }) { return there.id }
        let id: Int64
        // The same but for the password: that is what is new.
        if let there = stored.connections.first(where: {
            $0.string.identity == string.identity
        }) {
            id = try await self.id(
                Statements.changeConnection, ["\(there.id)", string.text])
        } else {
            id = try await self.id(Statements.makeConnection, [string.text])
        }
        madeConnections[string] = id
        return id
    }

    private func write(
        _ config: JobSet.Config, _ chain: Int?, _ columns: [String: String?],
        _ was: StoredJobs.Config?
    ) async throws(PostgresError) {
        let written = ConfigColumn.all.filter { columns[$0.name] != nil }
        let values = written.map { columns[$0.name] ?? nil }
        let named = written.map { (name: $0.name, type: Self.type(of: $0)) }
        let head = chain.flatMap { elements[$0].first }
        guard let was else {
            configs[config.name] = try await id(
                Statements.makeConfig(named), [config.name, head.map { "\($0)" }, origin] + values)
            return
        }
        _ = try await id(
            Statements.changeConfig(named), ["\(was.id)", head.map { "\($0)" }] + values)
        guard let chain, let old = was.chain else { return }
        left.insert(old)
        for (before, after) in zip(stored.chains[old] ?? [], elements[chain])
        where before.id != after {
            try await run(
                Statements.moveParameters, ["\(was.id)", "\(before.id)", "\(after)"])
        }
        try await run(
            Statements.removeStrayParameters, ["\(was.id)", elements[chain].arrayLiteral])
    }

    private static func type(of column: ConfigColumn) -> String {
        switch column.kind {
        case .text, .word: "text"
        case .integer: "integer"
        case .boolean: "boolean"
        case .span: "interval"
        case .instant: "timestamptz"
        }
    }

    private func write(
        _ config: String, _ element: Int64, _ rows: [JSON], _ was: [StoredJobs.Row]
    ) async throws(PostgresError) {
        guard let id = configs[config] else { return }
        var last: Int64 = 0
        for (index, row) in rows.enumerated() {
            let order = index < was.count ? was[index].order : last + 1
            last = order
            if index < was.count, was[index].value == row { continue }
            try await run(
                index < was.count ? Statements.changeParameter : Statements.makeParameter,
                ["\(id)", "\(element)", "\(order)", row.rendered])
        }
        for row in was.dropFirst(rows.count) {
            try await run(
                Statements.removeParameter, ["\(id)", "\(element)", "\(row.order)"])
        }
    }

    private func link(
        _ config: String, _ excluded: [String], _ onFailure: String?
    ) async throws(PostgresError) {
        let names = excluded + [onFailure].compactMap { $0 }
        let rows = try await run(Statements.configIDs, [(names as [String?]).arrayLiteral])
        var ids: [String: Int64] = [:]
        for row in 0..<rows.count {
            if let name = rows.text(row, 0) { ids[name] = rows.integer(row, 1) }
        }
        if let missing = names.first(where: { ids[$0] == nil }) {
            throw PostgresError(
                .server, "config \"\(config)\": there is no config \"\(missing)\"")
        }
        let list = excluded.isEmpty ? nil : excluded.compactMap { ids[$0] }.arrayLiteral
        _ = try await id(
            Statements.linkConfig, [config, list, onFailure.flatMap { ids[$0] }.map { "\($0)" }])
    }
}

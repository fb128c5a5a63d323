/// Base tasks, chains and configs as a database has them, with their ids.
public struct StoredJobs: Equatable, Sendable {
    public struct BaseTask: Equatable, Sendable {
        public var id: Int64
        public var task: JobSet.BaseTask
        /// How many elements have it.
        public var uses: Int64
    }

    public struct Element: Equatable, Sendable {
        public var id: Int64
        public var element: JobSet.Element
    }

    /// A row of parameters; `order` is its `order_id`.
    public struct Row: Equatable, Sendable {
        public var order: Int64
        public var value: JSON
        public var isSecret: Bool
    }

    public struct Config: Equatable, Sendable {
        public var id: Int64
        public var chain: Int64?
        /// Without parameters: those are in `rows`.
        public var config: JobSet.Config
        public var origin: String?
        /// By the element's id.
        public var rows: [Int64: [Row]] = [:]
    }

    public var tasks: [String: BaseTask] = [:]
    /// By their heads, in the order in which they run.
    public var chains: [Int64: [Element]] = [:]
    /// By `chain_name`.
    public var configs: [String: Config] = [:]
    /// The names of all configs of a chain, also of those that are not in `configs`.
    public var users: [Int64: Set<String>] = [:]
    public var connections: [(id: Int64, string: ConnectString)] = []

    public static func == (left: StoredJobs, right: StoredJobs) -> Bool {
        left.tasks == right.tasks && left.chains == right.chains
            && left.configs == right.configs && left.users == right.users
            && left.connections.elementsEqual(right.connections, by: ==)
    }

    public init() {}

    /// The rows of the tables as JSON, each with all its columns.
    public struct Tables: Sendable {
        public var tasks: [JSON] = []
        /// With `head` and `position` in their chain.
        public var elements: [JSON] = []
        public var configs: [JSON] = []
        public var parameters: [JSON] = []
        public var connections: [JSON] = []
        /// `chain_execution_config`, `chain_name`, `chain_id` of all configs that are named by
        /// others or share their chains.
        public var names: [JSON] = []

        public init() {}
    }

    public init(_ tables: Tables) {
        for row in tables.connections {
            guard let id = row["database_connection"]?.integer,
                let text = row["connect_string"]?.text
            else { continue }
            connections.append((id, ConnectString(text)))
        }
        var taskNames: [Int64: String] = [:]
        for row in tables.tasks {
            guard let id = row["task_id"]?.integer, let name = row["name"]?.text,
                let kind = row["kind"]?.text.flatMap(JobSet.Kind.init), let script = row["script"]
            else { continue }
            taskNames[id] = name
            tasks[name] = BaseTask(
                id: id, task: JobSet.BaseTask(kind, script.text ?? ""),
                uses: row["uses"]?.integer ?? 0)
        }
        let strings = Dictionary(connections.map { ($0.id, $0.string) }) { first, _ in first }
        for row in tables.elements {
            guard let id = row["chain_id"]?.integer, let head = row["head"]?.integer,
                let task = row["task_id"]?.integer, let name = taskNames[task]
            else { continue }
            var element = JobSet.Element(name)
            element.runUID = row["run_uid"]?.text
            element.connection = row["database_connection"]?.integer.flatMap { strings[$0] }
            element.ignoreError = row["ignore_error"]?.boolean ?? false
            element.autonomous = row["autonomous"]?.boolean ?? false
            element.timeout = row["timeout"]?.text.flatMap { Span($0) }
            chains[head, default: []].append(Element(id: id, element: element))
        }
        var names: [Int64: String] = [:]
        for row in tables.names + tables.configs {
            guard let id = row["chain_execution_config"]?.integer,
                let name = row["chain_name"]?.text
            else { continue }
            names[id] = name
            if let chain = row["chain_id"]?.integer { users[chain, default: []].insert(name) }
        }
        let parameters = Dictionary(grouping: tables.parameters) {
            $0["chain_execution_config"]?.integer
        }
        for row in tables.configs { add(row, names, parameters) }
    }

    private mutating func add(
        _ row: JSON, _ names: [Int64: String], _ parameters: [Int64?: [JSON]]
    ) {
        guard let id = row["chain_execution_config"]?.integer, let name = row["chain_name"]?.text
        else { return }
        var config = JobSet.Config(name)
        for column in ConfigColumn.all {
            let value = column.stored(row[column.name])
            if let value, value != column.standard { config.columns[column.name] = value }
        }
        config.excluded = (row["excluded_execution_configs"]?.array ?? [])
            .compactMap { $0.integer.flatMap { names[$0] } }
        config.onFailure = row["on_failure"]?.integer.flatMap { names[$0] }
        var stored = Config(
            id: id, chain: row["chain_id"]?.integer, config: config, origin: row["origin"]?.text)
        for row in parameters[id] ?? [] {
            guard let element = row["chain_id"]?.integer, let order = row["order_id"]?.integer
            else { continue }
            stored.rows[element, default: []].append(
                Row(
                    order: order, value: row["value"] ?? .null,
                    isSecret: row["secret"]?.boolean ?? false))
        }
        configs[name] = stored
    }

    /// What a file says of them: without ids, without secrets.
    ///
    /// Chains in the order of their first config's name; configs without a chain are left out.
    public func jobs() -> (jobs: JobSet, left: [String]) {
        var result = JobSet()
        var left: [String] = []
        var byChain: [Int64: [Config]] = [:]
        for config in configs.values.sorted(by: { $0.config.name < $1.config.name }) {
            if let chain = config.chain, chains[chain] != nil {
                byChain[chain, default: []].append(config)
            } else {
                left.append(config.config.name)
            }
        }
        let ordered = byChain.sorted {
            ($0.value.first?.config.name ?? "") < ($1.value.first?.config.name ?? "")
        }
        for (head, configs) in ordered {
            let elements = chains[head] ?? []
            for element in elements {
                guard let task = tasks[element.element.task] else { continue }
                let isItself =
                    task.task.kind == .builtIn && task.task.script == element.element.task
                if !isItself { result.tasks[element.element.task] = task.task }
            }
            result.chains.append(
                JobSet.Chain(
                    elements.map { stored in
                        var element = stored.element
                        element.connection = element.connection.map { ConnectString($0.redacted) }
                        return element
                    },
                    configs.map { stored in
                        var config = stored.config
                        for (position, element) in elements.enumerated() {
                            let rows = stored.rows[element.id] ?? []
                            if rows.isEmpty { continue }
                            config.parameters[position] = rows.map {
                                Secrets.redacted($0.value, isSecret: $0.isSecret)
                            }
                        }
                        return config
                    }))
        }
        return (result, left)
    }
}

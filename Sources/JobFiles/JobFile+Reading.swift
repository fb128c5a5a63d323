public import Jobs
internal import Scheduling

extension JobFile {
    /// The jobs that a file says. What it does not know is a mistake, never passed over.
    public static func read(_ yaml: String) throws(Mistake) -> JobSet {
        try read(Array(yaml.utf8))
    }

    /// The same, of text in UTF-8 that nobody has looked at yet.
    public static func read(_ yaml: [UInt8]) throws(Mistake) -> JobSet {
        guard let root = try Composer.root(of: yaml) else {
            throw Mistake(.start, "the file is empty: \(shape)")
        }
        let top = try Fields(root, "the file", ["carillon", "tasks", "chains"])
        guard let version = top["carillon"] else { throw at(root, shape) }
        guard try scalar(version, "the number of the form") == form else {
            throw at(version, "this carillon knows the form \(form) only")
        }
        var reader = Reader()
        if let tasks = top["tasks"] { try reader.readTasks(tasks) }
        if let chains = top["chains"] {
            for chain in try list(chains, "chains: a list is expected") {
                try reader.readChain(chain)
            }
        }
        return reader.jobs
    }

    private static let shape = "it has to begin with \"carillon: \(form)\", then tasks and chains"

    fileprivate static func at(_ node: Node, _ text: String) -> Mistake {
        Mistake(node.place, text)
    }

    fileprivate static func list(
        _ node: Node, _ expected: String
    ) throws(Mistake) -> [Node] {
        guard let sequence = node.sequence else { throw at(node, expected) }
        return sequence
    }

    fileprivate static func scalar(_ node: Node, _ what: String) throws(Mistake) -> String {
        guard let scalar = node.scalar else { throw at(node, "\(what) has to be a single value") }
        return scalar
    }
}

/// The pairs of a mapping whose keys are known.
private struct Fields {
    private var values: [String: Node] = [:]

    init(_ node: Node, _ what: String, _ known: [String]) throws(JobFile.Mistake) {
        for (key, value) in try Self.pairs(node, what) {
            let name = try JobFile.scalar(key, "a key of \(what)")
            guard known.contains(name) else {
                throw JobFile.at(
                    key,
                    "\(name) is no key of \(what); these are: \(known.joined(separator: ", "))")
            }
            values[name] = value
        }
    }

    static func pairs(_ node: Node, _ what: String) throws(JobFile.Mistake) -> [(
        key: Node, value: Node
    )] {
        guard let mapping = node.mapping else {
            throw JobFile.at(node, "\(what) has to be a mapping, lines of \"key: value\"")
        }
        return mapping.map { ($0.key, $0.value) }
    }

    subscript(key: String) -> Node? { values[key] }
}

private struct Reader {
    var jobs = JobSet()
    private var names: Set<String> = []

    mutating func readTasks(_ node: Node) throws(JobFile.Mistake) {
        for (key, value) in try Fields.pairs(node, "tasks") {
            let name = try JobFile.scalar(key, "the name of a base task")
            let fields = try Fields(value, "a base task", JobFile.kinds.map(\.key))
            let found = JobFile.kinds.compactMap { kind in
                fields[kind.key].map { (kind.kind, $0) }
            }
            guard found.count == 1, let (kind, script) = found.first else {
                throw JobFile.at(value, "a base task has one of sql, program, built_in")
            }
            jobs.tasks[name] = JobSet.BaseTask(kind, try JobFile.scalar(script, "its script"))
        }
    }

    mutating func readChain(_ node: Node) throws(JobFile.Mistake) {
        let fields = try Fields(node, "a chain", ["elements", "configs"])
        guard let elements = fields["elements"], let configs = fields["configs"] else {
            throw JobFile.at(node, "a chain has elements and configs")
        }
        var chain = JobSet.Chain([], [])
        for element in try JobFile.list(elements, "elements: a list is expected") {
            chain.elements.append(try Self.element(element))
        }
        guard !chain.elements.isEmpty else {
            throw JobFile.at(elements, "a chain has at least one element")
        }
        for (key, value) in try Fields.pairs(configs, "configs") {
            let name = try JobFile.scalar(key, "the name of a config")
            guard names.insert(name).inserted else {
                throw JobFile.at(key, "there is a config \(name) above already")
            }
            chain.configs.append(try Self.config(name, value, chain.elements))
        }
        guard !chain.configs.isEmpty else {
            throw JobFile.at(configs, "a chain has at least one config")
        }
        jobs.chains.append(chain)
    }

    private static func element(_ node: Node) throws(JobFile.Mistake) -> JobSet.Element {
        if let name = node.scalar { return JobSet.Element(name) }
        let fields = try Fields(
            node, "an element",
            [
                "task", "run_uid", "database_connection", "ignore_error", "autonomous", "timeout",
            ])
        guard let task = fields["task"] else {
            throw JobFile.at(node, "an element names its base task: \"task: NAME\"")
        }
        var element = JobSet.Element(try JobFile.scalar(task, "task"))
        element.runUID = try fields["run_uid"].map { node throws(JobFile.Mistake) in
            try JobFile.scalar(node, "run_uid")
        }
        element.connection = try fields["database_connection"].map {
            node throws(JobFile.Mistake) in
            ConnectString(try JobFile.scalar(node, "database_connection"))
        }
        element.ignoreError = try flag(fields, "ignore_error")
        element.autonomous = try flag(fields, "autonomous")
        if let timeout = fields["timeout"] {
            guard let span = Span(try JobFile.scalar(timeout, "timeout")) else {
                throw JobFile.at(timeout, "timeout: a length of time such as 10 minutes")
            }
            element.timeout = span
        }
        return element
    }

    private static func flag(_ fields: Fields, _ key: String) throws(JobFile.Mistake) -> Bool {
        guard let node = fields[key] else { return false }
        let text = try JobFile.scalar(node, key)
        guard text == "true" || text == "false" else {
            throw JobFile.at(node, "\(key): true or false is expected, not \(text)")
        }
        return text == "true"
    }

    private static func config(
        _ name: String, _ node: Node, _ elements: [JobSet.Element]
    ) throws(JobFile.Mistake) -> JobSet.Config {
        let known = ConfigColumn.all.map(\.name) + ["excluded", "on_failure", "parameters"]
        let fields = try Fields(node, "a config", known)
        var config = JobSet.Config(name, ["live": "true"])
        for column in ConfigColumn.all {
            guard let node = fields[column.name] else { continue }
            config.columns[column.name] = try value(node, column)
        }
        if let schedule = fields["schedule"] { try check(schedule) }
        if let excluded = fields["excluded"] {
            for node in try JobFile.list(excluded, "excluded: a list of names is expected") {
                config.excluded.append(try JobFile.scalar(node, "the name of a config"))
            }
        }
        config.onFailure = try fields["on_failure"].map { node throws(JobFile.Mistake) in
            try JobFile.scalar(node, "on_failure")
        }
        if let parameters = fields["parameters"] {
            try read(parameters, elements, into: &config)
        }
        return config
    }

    /// Nil for what the table has by default.
    private static func value(
        _ node: Node, _ column: ConfigColumn
    ) throws(JobFile.Mistake) -> String? {
        let text = try JobFile.scalar(node, column.name)
        guard let value = column.canonical(text) else {
            throw JobFile.at(
                node, "\(column.name): \(column.expectation) is expected, not \(text)")
        }
        return value == column.standard ? nil : value
    }

    private static func check(_ node: Node) throws(JobFile.Mistake) {
        do throws(ScheduleSyntaxError) {
            _ = try Schedule(parsing: node.scalar ?? "", hashSeed: 0)
        } catch {
            throw JobFile.at(node, "schedule: \(error.message)")
        }
    }

    private static func read(
        _ node: Node, _ elements: [JobSet.Element], into config: inout JobSet.Config
    ) throws(JobFile.Mistake) {
        let keys = JobFile.keys(elements)
        for (key, value) in try Fields.pairs(node, "parameters") {
            let name = try JobFile.scalar(key, "the name of an element")
            let number = Int(name).flatMap { elements.indices.contains($0 - 1) ? $0 - 1 : nil }
            guard let position = keys.firstIndex(of: name) ?? number else {
                throw JobFile.at(
                    key,
                    "\(name) is no element of this chain; these are: "
                        + keys.joined(separator: ", "))
            }
            guard config.parameters[position] == nil else {
                throw JobFile.at(key, "\(name): its parameters are above already")
            }
            var rows: [JSON] = []
            for row in try JobFile.list(
                value, "a list of rows is expected, each one invocation: [[\"a\"], [\"b\"]]")
            {
                rows.append(try json(row, depth: 0))
            }
            config.parameters[position] = rows.isEmpty ? nil : rows
        }
    }

    private static func json(_ node: Node, depth: Int) throws(JobFile.Mistake) -> JSON {
        guard depth < 100 else { throw JobFile.at(node, "nested deeper than 100") }
        if let sequence = node.sequence {
            var values: [JSON] = []
            for value in sequence { values.append(try json(value, depth: depth + 1)) }
            return .array(values)
        }
        if let mapping = node.mapping {
            var members: [JSON.Member] = []
            for pair in mapping {
                let key = try JobFile.scalar(pair.key, "a key")
                let value = try json(pair.value, depth: depth + 1)
                members.append(JSON.Member(key: key, value: value))
            }
            return .object(members)
        }
        guard case .scalar(let text, isPlain: true) = node.content else {
            return .text(node.scalar ?? "")
        }
        switch text {
        case "", "~", "null": return .null
        case "true": return .boolean(true)
        case "false": return .boolean(false)
        default: return isNumber(text) ? .number(text) : .text(text)
        }
    }

    /// RFC 8259, section 6.
    private static func isNumber(_ text: String) -> Bool {
        text.wholeMatch(of: /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/) != nil
    }
}

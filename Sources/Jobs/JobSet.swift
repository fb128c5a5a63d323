/// Base tasks, chains and configs as they are meant to be, without the ids of any database.
///
/// A config is known by its `chain_name`, a base task by its name; a chain belongs to the configs
/// that run it and has no name of its own.
public struct JobSet: Equatable, Sendable {
    /// By their names. Elements may also name one that is not here: it has to exist.
    public var tasks: [String: BaseTask] = [:]
    public var chains: [Chain] = []

    public init() {}

    public enum Kind: String, Equatable, Sendable {
        case sql = "SQL"
        case program = "SHELL"
        case builtIn = "BUILTIN"
    }

    /// A base task without its name.
    public struct BaseTask: Equatable, Sendable {
        public var kind: Kind
        public var script: String

        public init(_ kind: Kind, _ script: String) {
            (self.kind, self.script) = (kind, script)
        }
    }

    public struct Element: Equatable, Sendable {
        /// The name of its base task.
        public var task: String
        public var runUID: String?
        public var connection: ConnectString?
        public var ignoreError = false
        public var autonomous = false
        public var timeout: Span?

        public init(_ task: String) {
            self.task = task
        }
    }

    public struct Chain: Equatable, Sendable {
        public var elements: [Element]
        public var configs: [Config]

        public init(_ elements: [Element], _ configs: [Config]) {
            (self.elements, self.configs) = (elements, configs)
        }
    }

    public struct Config: Equatable, Sendable {
        public var name: String
        /// Columns that differ from their defaults, as `ConfigColumn` writes them.
        public var columns: [String: String] = [:]
        /// The names of the configs of `excluded_execution_configs`.
        public var excluded: [String] = []
        /// The name of the config of `on_failure`.
        public var onFailure: String?
        /// Rows of parameters by the position of their element, from 0.
        public var parameters: [Int: [JSON]] = [:]

        public init(_ name: String, _ columns: [String: String] = [:]) {
            (self.name, self.columns) = (name, columns)
        }
    }

    public var configs: [Config] { chains.flatMap(\.configs) }
}

/// Something about a source that its reader should know, and where.
public struct Remark: Equatable, Sendable {
    public enum Weight: Equatable, Sendable {
        /// It means something else here.
        case difference
        /// It is not brought over.
        case left
    }

    public var weight: Weight
    /// `line 4`, `job 7 (nightly)`; nil: the whole source.
    public var place: String?
    public var text: String

    public init(_ weight: Weight, _ place: String?, _ text: String) {
        (self.weight, self.place, self.text) = (weight, place, text)
    }

    public var line: String {
        place.map { "\($0): \(text)" } ?? text
    }
}

/// What a reader made of a source.
public struct Imported: Equatable, Sendable {
    public var jobs = JobSet()
    public var remarks: [Remark] = []
    private var taken: Set<String> = []

    public init() {}

    /// A name that no other job of this source has: `wanted`, or `wanted (2)` and so on.
    mutating func name(_ wanted: String) -> String {
        var name = wanted
        var number = 1
        while !taken.insert(name).inserted {
            number += 1
            name = "\(wanted) (\(number))"
        }
        return name
    }

    public mutating func remark(_ weight: Remark.Weight, _ place: String?, _ text: String) {
        let remark = Remark(weight, place, text)
        if !remarks.contains(remark) { remarks.append(remark) }
    }
}

internal import Postgres

/// One run of a chain: what was claimed, with the chain and the parameters as they were then.
struct Run: Sendable, Equatable {
    /// An attempt that was taken from us may still be ending when we claim the next one.
    struct Key: Hashable {
        let run: Int64
        let attempt: Int32
    }

    let id: Int64
    let config: Int64
    let chain: Int64
    let selfDestruct: Bool
    /// `@after`: all daemons have to hear of its end.
    var wakesConfig = false
    /// From 1; more when it is tried again.
    var attempt: Int32 = 1
    /// How long it may take.
    var timeLimit: Duration?
    /// The planned instant as PostgreSQL writes it; nil when it was asked for.
    var scheduledFor: String?
    /// The run whose failure asked for this one.
    var failedRun: Int64?
    var elements: [Element] = []
    /// Why it can't be run at all.
    var malformed: String?

    var key: Key { Key(run: id, attempt: attempt) }
}

/// One element of a chain with its base task.
struct Element: Sendable, Equatable {
    enum Kind: String, Sendable {
        case sql = "SQL"
        case program = "SHELL"
        case builtIn = "BUILTIN"
    }

    let id: Int64
    let task: Int64
    let name: String
    let kind: Kind
    var script: String
    var runUID: String?
    let connectString: String?
    let ignoreError: Bool
    let autonomous: Bool
    /// How long one invocation may take.
    let timeLimit: Duration?
    /// One invocation each; a single nil when there are no parameters.
    var parameters: [Parameter?]

    /// Whether it needs a session: SQL, and the built-ins that copy.
    var usesDatabase: Bool {
        kind == .sql || (kind == .builtIn && CopyBuiltIn(rawValue: script) != nil)
    }
}

/// One row of parameters.
struct Parameter: Sendable, Equatable {
    /// As JSON.
    let json: String
    /// `array`, `object`, `string`, …: jsonb_typeof().
    let type: String
    /// The values of an array as text; nil for JSON null, and when it is no array.
    let values: [String?]?
    /// Whether all of it is to be kept out of records and logs.
    var isSecret = false
}

extension Run {
    /// The runs in the rows of `Statements.claimedWork`, by id.
    static func read(_ rows: Rows) -> [Int64: Run] {
        var runs: [Int64: Run] = [:]
        for row in 0..<rows.count {
            guard let id = rows.integer(row, 0), let config = rows.integer(row, 1),
                let chain = rows.integer(row, 2)
            else { continue }
            var run =
                runs.removeValue(forKey: id)
                ?? Run(
                    id: id, config: config, chain: chain,
                    selfDestruct: rows.boolean(row, 3) ?? false)
            run.wakesConfig = rows.boolean(row, 20) ?? false
            run.attempt = Int32(clamping: rows.integer(row, 21) ?? 1)
            run.timeLimit = rows.integer(row, 22).map { .microseconds($0) }
            run.scheduledFor = rows.text(row, 23)
            run.failedRun = rows.integer(row, 24)
            if let malformed = rows.text(row, 18) {
                run.malformed = "the parameters are no array of rows: \(malformed)"
            }
            run.add(Element.read(rows, row), Parameter.read(rows, row), rows, row)
            runs[id] = run
        }
        return runs
    }

    private mutating func add(
        _ element: Element?, _ parameter: Parameter?, _ rows: Rows, _ row: Int
    ) {
        let position = rows.integer(row, 4) ?? 0
        guard let element else {
            let id = rows.integer(row, 5) ?? 0
            malformed =
                malformed
                ?? "element \(id) of its chain has no base task, or one without name, kind or "
                + "script"
            return
        }
        malformed = malformed ?? flaw(of: element, at: position)
        if let last = elements.indices.last, elements[last].id == element.id {
            elements[last].parameters.append(parameter)
        } else {
            elements.append(element)
            elements[elements.count - 1].parameters = [parameter]
        }
    }

    /// What no constraint lets in, and would do harm.
    private func flaw(of element: Element, at position: Int64) -> String? {
        if position > 1, element.id == elements.first?.id {
            return "its chain runs in a circle: element \(element.id) follows again"
        }
        if position >= Self.elementLimit {
            return "its chain has \(Self.elementLimit) elements or more"
        }
        if element.usesDatabase, element.connectString?.isEmpty == true {
            return "the database_connection of element \(element.id) does not exist or is empty"
        }
        if let limit = element.timeLimit, limit <= .zero {
            return "the timeout of element \(element.id) is not positive"
        }
        if let limit = timeLimit, limit <= .zero { return "its timeout is not positive" }
        return nil
    }

    /// As in `Statements.claimedWork`.
    private static let elementLimit: Int64 = 10_000
}

extension Element {
    fileprivate static func read(_ rows: Rows, _ row: Int) -> Element? {
        guard let id = rows.integer(row, 5), let task = rows.integer(row, 6),
            let name = rows.text(row, 7), let kind = rows.text(row, 8).flatMap(Kind.init),
            let script = rows.text(row, 9)
        else { return nil }
        return Element(
            id: id, task: task, name: name, kind: kind, script: script,
            runUID: rows.text(row, 10), connectString: rows.text(row, 11),
            ignoreError: rows.boolean(row, 12) ?? false, autonomous: rows.boolean(row, 13) ?? false,
            timeLimit: rows.integer(row, 14).map { .microseconds($0) }, parameters: [])
    }
}

extension Parameter {
    fileprivate static func read(_ rows: Rows, _ row: Int) -> Parameter? {
        guard let json = rows.text(row, 15) else { return nil }
        return Parameter(
            json: json, type: rows.text(row, 16) ?? "null",
            values: rows.text(row, 17).flatMap(parseArrayLiteral),
            isSecret: rows.boolean(row, 25) == true)
    }
}

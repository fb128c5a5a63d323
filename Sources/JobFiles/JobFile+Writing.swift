public import Jobs
internal import Yams

extension JobFile {
    /// The file, the same for the same jobs: what has its default is left out.
    ///
    /// Throws when the emitter can't write a text: it has characters that YAML does not.
    public static func text(_ jobs: JobSet) throws -> String {
        var pairs: [(Node, Node)] = [(plain("carillon"), plain(form))]
        if !jobs.tasks.isEmpty {
            pairs.append(
                (
                    plain("tasks"),
                    mapping(
                        jobs.tasks.sorted { $0.key < $1.key }.map { name, task in
                            let kind = kinds.first { $0.kind == task.kind }?.key ?? "sql"
                            return (
                                key(name, isName: true), mapping([(plain(kind), text(task.script))])
                            )
                        })
                ))
        }
        pairs.append((plain("chains"), sequence(jobs.chains.map(node))))
        let yaml = try Yams.serialize(
            node: mapping(pairs), indent: 2, width: -1, allowUnicode: true)
        return "# Jobs of Carillon. \"carillon apply\" brings a database to what this file says.\n"
            + yaml
    }

    private static func node(_ chain: JobSet.Chain) -> Node {
        let keys = keys(chain.elements)
        return mapping([
            (plain("elements"), sequence(chain.elements.map(node))),
            (
                plain("configs"),
                mapping(chain.configs.map { (key($0.name, isName: true), node($0, keys)) })
            ),
        ])
    }

    private static func node(_ element: JobSet.Element) -> Node {
        var pairs = [(plain("task"), text(element.task))]
        func add(_ key: String, _ value: String?) {
            if let value { pairs.append((plain(key), text(value))) }
        }
        add("run_uid", element.runUID)
        add("database_connection", element.connection?.text)
        if element.ignoreError { pairs.append((plain("ignore_error"), plain("true"))) }
        if element.autonomous { pairs.append((plain("autonomous"), plain("true"))) }
        add("timeout", element.timeout?.description)
        return pairs.count == 1 ? text(element.task) : mapping(pairs)
    }

    private static func node(_ config: JobSet.Config, _ keys: [String]) -> Node {
        var pairs: [(Node, Node)] = []
        for column in ConfigColumn.all {
            if column.name == "live" {
                // Who writes a job into a file means it to run.
                if config.columns["live"] != "true" {
                    pairs.append((plain("live"), plain("false")))
                }
            } else if let value = config.columns[column.name] {
                let node = column.kind == .text ? text(value) : plain(value)
                pairs.append((plain(column.name), node))
            }
        }
        if !config.excluded.isEmpty {
            pairs.append(
                (plain("excluded"), sequence(config.excluded.sorted().map { text($0) })))
        }
        if let name = config.onFailure { pairs.append((plain("on_failure"), text(name))) }
        let parameters = config.parameters.filter { !$0.value.isEmpty && $0.key < keys.count }
        if !parameters.isEmpty {
            pairs.append(
                (
                    plain("parameters"),
                    mapping(
                        parameters.sorted { $0.key < $1.key }.map { position, rows in
                            (key(keys[position]), sequence(rows.map { value($0) }))
                        })
                ))
        }
        return mapping(pairs)
    }

    // MARK: Nodes

    private static func plain(_ text: String) -> Node {
        .scalar(Node.Scalar(text, Tag(.implicit), .plain))
    }

    /// A key; numbers are those of elements, unless it is a name.
    private static func key(_ text: String, isName: Bool = false) -> Node {
        if text.unicodeScalars.contains("\n") {
            return .scalar(Node.Scalar(text, Tag(.implicit), .doubleQuoted))
        }
        return Int(text) == nil || isName ? self.text(text) : plain(text)
    }

    private static func mapping(_ pairs: [(Node, Node)]) -> Node {
        .mapping(Node.Mapping(pairs, Tag(.implicit), pairs.isEmpty ? .flow : .block))
    }

    private static func sequence(_ nodes: [Node], isFlow: Bool = false) -> Node {
        .sequence(
            Node.Sequence(nodes, Tag(.implicit), isFlow || nodes.isEmpty ? .flow : .block))
    }

    /// A text: plain where nobody takes it for something else, several lines as they are.
    private static func text(_ text: String) -> Node {
        let style: Node.Scalar.Style
        if text.unicodeScalars.contains("\n") {
            style = .literal
        } else if isUnmistakable(text) {
            style = .plain
        } else {
            style = .doubleQuoted
        }
        return .scalar(Node.Scalar(text, Tag(.implicit), style))
    }

    private static let words: Set<String> = [
        "true", "false", "null", "yes", "no", "on", "off", "y", "n",
    ]

    /// Whether every reader of YAML takes it for a text, when it may stand without quotes at all.
    private static func isUnmistakable(_ text: String) -> Bool {
        guard let first = text.first, !words.contains(text.lowercased()) else { return false }
        // A schedule is no number, for all its digits.
        return first.isLetter || first == "/" || first == "_"
            || first.isNumber && text.contains(" ")
    }

    /// JSON is YAML: in a line, but where a text has several lines.
    private static func value(_ value: JSON) -> Node {
        let isFlow = !hasLines(value)
        switch value {
        case .null: return plain("null")
        case .boolean, .number: return plain(value.scalar ?? "null")
        case .text(let text):
            return text.unicodeScalars.contains("\n")
                ? .scalar(Node.Scalar(text, Tag(.implicit), .literal))
                : .scalar(Node.Scalar(text, Tag(.implicit), .doubleQuoted))
        case .array(let values):
            return sequence(values.map { self.value($0) }, isFlow: isFlow)
        case .object(let members):
            return .mapping(
                Node.Mapping(
                    members.map {
                        (
                            .scalar(Node.Scalar($0.key, Tag(.implicit), .doubleQuoted)),
                            self.value($0.value)
                        )
                    }, Tag(.implicit), isFlow ? .flow : .block))
        }
    }

    private static func hasLines(_ value: JSON) -> Bool {
        switch value {
        case .text(let text): text.unicodeScalars.contains("\n")
        case .array(let values): values.contains(where: hasLines)
        case .object(let members): members.contains { hasLines($0.value) }
        case .null, .boolean, .number: false
        }
    }
}

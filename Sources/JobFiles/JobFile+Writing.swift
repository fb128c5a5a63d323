public import Jobs

extension JobFile {
    /// The file, the same for the same jobs: what has its default is left out.
    public static func text(_ jobs: JobSet) -> String {
        var pairs: [Block.Pair] = [Block.Pair("carillon", .line(form))]
        if !jobs.tasks.isEmpty {
            pairs.append(
                Block.Pair(
                    "tasks",
                    .mapping(
                        jobs.tasks.sorted { $0.key < $1.key }.map { name, task in
                            let kind = kinds.first { $0.kind == task.kind }?.key ?? "sql"
                            return Block.Pair(
                                Scalar.text(name), .mapping([Block.Pair(kind, text(task.script))]))
                        })
                ))
        }
        pairs.append(Block.Pair("chains", sequence(jobs.chains.map(block))))
        return "# Jobs of Carillon. \"carillon apply\" brings a database to what this file says.\n"
            + Block.mapping(pairs).document
    }

    private static func block(_ chain: JobSet.Chain) -> Block {
        let keys = keys(chain.elements)
        return .mapping([
            Block.Pair("elements", sequence(chain.elements.map(block))),
            Block.Pair(
                "configs",
                mapping(chain.configs.map { Block.Pair(Scalar.text($0.name), block($0, keys)) })),
        ])
    }

    private static func block(_ element: JobSet.Element) -> Block {
        var pairs = [Block.Pair("task", text(element.task))]
        func add(_ key: String, _ value: String?) {
            if let value { pairs.append(Block.Pair(key, text(value))) }
        }
        add("run_uid", element.runUID)
        add("database_connection", element.connection?.text)
        if element.ignoreError { pairs.append(Block.Pair("ignore_error", .line("true"))) }
        if element.autonomous { pairs.append(Block.Pair("autonomous", .line("true"))) }
        add("timeout", element.timeout?.description)
        return pairs.count == 1 ? text(element.task) : .mapping(pairs)
    }

    private static func block(_ config: JobSet.Config, _ keys: [String]) -> Block {
        var pairs: [Block.Pair] = []
        for column in ConfigColumn.all {
            if column.name == "live" {
                // Who writes a job into a file means it to run.
                if config.columns["live"] != "true" {
                    pairs.append(Block.Pair("live", .line("false")))
                }
            } else if let value = config.columns[column.name] {
                pairs.append(
                    Block.Pair(
                        column.name,
                        column.kind == .text ? text(value) : .line(Scalar.bare(value))
                    ))
            }
        }
        if !config.excluded.isEmpty {
            pairs.append(Block.Pair("excluded", .sequence(config.excluded.sorted().map(text))))
        }
        if let name = config.onFailure { pairs.append(Block.Pair("on_failure", text(name))) }
        let parameters = config.parameters.filter { !$0.value.isEmpty && $0.key < keys.count }
        if !parameters.isEmpty {
            pairs.append(
                Block.Pair(
                    "parameters",
                    .mapping(
                        parameters.sorted { $0.key < $1.key }.map { position, rows in
                            Block.Pair(key(keys[position]), .sequence(rows.map(value)))
                        })
                ))
        }
        return mapping(pairs)
    }

    // MARK: Blocks

    /// Of an element: its number, or a name.
    private static func key(_ text: String) -> String {
        Int(text) == nil ? Scalar.text(text) : Scalar.bare(text)
    }

    private static func mapping(_ pairs: [Block.Pair]) -> Block {
        pairs.isEmpty ? .line("{}") : .mapping(pairs)
    }

    private static func sequence(_ values: [Block]) -> Block {
        values.isEmpty ? .line("[]") : .sequence(values)
    }

    private static func text(_ text: String) -> Block {
        Scalar.isLiteral(text) ? .literal(text) : .line(Scalar.text(text))
    }

    /// JSON is YAML: in a line, but where a text has several lines.
    private static func value(_ value: JSON) -> Block {
        guard hasLines(value) else { return .line(flow(value)) }
        switch value {
        case .text(let text): return .literal(text)
        case .array(let values): return .sequence(values.map { self.value($0) })
        case .object(let members):
            return .mapping(members.map { Block.Pair(Scalar.quoted($0.key), self.value($0.value)) })
        case .null, .boolean, .number: return .line(flow(value))
        }
    }

    private static func flow(_ value: JSON) -> String {
        switch value {
        case .null: "null"
        case .boolean(let flag): flag ? "true" : "false"
        case .number(let digits): Scalar.bare(digits)
        case .text(let text): Scalar.quoted(text)
        case .array(let values): "[" + values.map(flow).joined(separator: ", ") + "]"
        case .object(let members):
            "{" + members.map(flow).joined(separator: ", ") + "}"
        }
    }

    private static func flow(_ member: JSON.Member) -> String {
        let key = Scalar.quoted(member.key)
        let mark = Scalar.isShort(key) ? "" : "? "
        return "\(mark)\(key): \(flow(member.value))"
    }

    private static func hasLines(_ value: JSON) -> Bool {
        switch value {
        case .text(let text): Scalar.isLiteral(text)
        case .array(let values): values.contains(where: hasLines)
        case .object(let members): members.contains { hasLines($0.value) }
        case .null, .boolean, .number: false
        }
    }
}

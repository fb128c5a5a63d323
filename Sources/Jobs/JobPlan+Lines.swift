extension JobPlan {
    /// What is done, for people: `+` is made, `~` is changed, `-` is removed. No secret is in it.
    public func lines(_ jobs: JobSet) -> [String] {
        var new: Set<String> = []
        for case .config(let config, _, _, nil) in changes { new.insert(config.name) }
        return changes.flatMap { Self.lines(of: $0, jobs, new) }
    }

    private static func lines(
        of change: Change, _ jobs: JobSet, _ new: Set<String>
    ) -> [String] {
        switch change {
        case .task(let name, let task, let was):
            // What is new is told with the config that it is new for.
            return was.map { lines(name, task, $0.task) } ?? []
        case .chain(let number, let elements, let was):
            if was.isEmpty, jobs.chains[number].configs.allSatisfy({ new.contains($0.name) }) {
                return []
            }
            let names = jobs.chains[number].configs.map(\.name.quoted)
            return lines(
                "chain of \(names.joined(separator: ", "))", elements, was.map(\.element))
        case .config(let config, let chain, let columns, let was):
            return lines(config, chain, columns, was)
                + (was == nil ? elements(of: config, chain, jobs) : [])
        case .parameters(let config, _, let position, let rows, let was):
            if new.contains(config) { return [] }
            let before = was.map { Secrets.redacted($0.value, isSecret: $0.isSecret).rendered }
            let after = rows.enumerated().map { index, row in
                Secrets.redacted(row, isSecret: index < was.count && was[index].isSecret).rendered
            }
            let what = before == after ? "a secret in the parameters" : "parameters"
            return ["~ config \(config.quoted): \(what) of element \(position + 1)"]
                + difference(before, after)
        case .links(let config, let excluded, let onFailure, let was):
            var parts: [String] = []
            if Set(excluded) != Set(was?.excluded ?? []) {
                let names = excluded.map(\.quoted).joined(separator: ", ")
                parts.append("excluded \(names.isEmpty ? "none" : names)")
            }
            if onFailure != was?.onFailure {
                parts.append("on_failure \(onFailure?.quoted ?? "none")")
            }
            return ["~ config \(config.quoted): \(parts.joined(separator: ", "))"]
        case .removal(let config, _): return ["- config \(config.quoted)"]
        }
    }

    /// What a new config runs, with which parameters.
    private static func elements(
        of config: JobSet.Config, _ chain: Int?, _ jobs: JobSet
    ) -> [String] {
        guard let chain else { return [] }
        return jobs.chains[chain].elements.enumerated().flatMap { position, element in
            let task = jobs.tasks[element.task]
            let what = task.map { ": \($0.kind.rawValue) \($0.script.inOneLine)" } ?? ""
            let rows = (config.parameters[position] ?? []).map { row in
                "        \(Secrets.redacted(row).rendered)"
            }
            return ["    \(description(element))\(what)"] + rows
        }
    }

    private static func lines(
        _ name: String, _ task: JobSet.BaseTask, _ was: JobSet.BaseTask
    ) -> [String] {
        var lines = ["~ base task \(name.quoted)"]
        if was.kind != task.kind {
            lines[0] += ": \(was.kind.rawValue) → \(task.kind.rawValue)"
        }
        func parts(_ text: String) -> [String] {
            text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        }
        return lines + difference(parts(was.script), parts(task.script))
    }

    private static func lines(
        _ what: String, _ elements: [JobSet.Element], _ was: [JobSet.Element]
    ) -> [String] {
        let after = elements.map(description)
        if was.isEmpty { return ["+ \(what): \(after.joined(separator: ", "))"] }
        return ["~ \(what)"] + difference(was.map(description), after)
    }

    private static func description(_ element: JobSet.Element) -> String {
        var options: [String] = []
        if let user = element.runUID { options.append("run_uid \(user)") }
        if let connection = element.connection { options.append("in \(connection.redacted)") }
        if element.autonomous { options.append("autonomous") }
        if element.ignoreError { options.append("ignore_error") }
        if let timeout = element.timeout { options.append("timeout \(timeout)") }
        let task = element.task.quoted
        return options.isEmpty ? task : "\(task) (\(options.joined(separator: ", ")))"
    }

    private static func lines(
        _ config: JobSet.Config, _ chain: Int?, _ columns: [String: String?],
        _ was: StoredJobs.Config?
    ) -> [String] {
        let parts = ConfigColumn.all.compactMap { column -> String? in
            guard let after = columns[column.name] else { return nil }
            let text = after ?? "none"
            guard let was else { return "\(column.name) \(text)" }
            let before = was.config.columns[column.name] ?? column.standard ?? "none"
            return "\(column.name) \(before) → \(text)"
        }
        guard was != nil else {
            return ["+ config \(config.name.quoted): \(parts.joined(separator: ", "))"]
        }
        let moved = chain == nil ? [] : ["another chain"]
        return ["~ config \(config.name.quoted): \((parts + moved).joined(separator: ", "))"]
    }

    /// The lines that differ, indented: first what was, then what is, each in its place.
    private static func difference(_ before: [String], _ after: [String]) -> [String] {
        after.difference(from: before).sorted { left, right in
            (place(left), isInsertion(left) ? 1 : 0) < (place(right), isInsertion(right) ? 1 : 0)
        }.map { change in
            switch change {
            case .remove(_, let line, _): "    - \(line)"
            case .insert(_, let line, _): "    + \(line)"
            }
        }
    }

    private static func place(_ change: CollectionDifference<String>.Change) -> Int {
        switch change {
        case .remove(let offset, _, _), .insert(let offset, _, _): offset
        }
    }

    private static func isInsertion(_ change: CollectionDifference<String>.Change) -> Bool {
        if case .insert = change { return true }
        return false
    }
}

extension String {
    var quoted: String { JSON.text(self).rendered }

    var inOneLine: String {
        let words = split(whereSeparator: \.isWhitespace).joined(separator: " ")
        return words.count <= 100 ? words : words.prefix(99) + "…"
    }
}

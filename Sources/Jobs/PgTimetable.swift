internal import Scheduling

/// Reads the chains of pg_timetable 4 to 7, from rows of its tables as JSON.
///
/// Of a chain: its columns, and `interval_microseconds`, the length of its `@every` or `@after`.
/// Of a task: its columns; with those of `command`, where its schema is the first of version 4.
public struct PgTimetable {
    public var server: SourceServer
    public var clocks: ClockChanges
    public var prefix: String

    public init(server: SourceServer, clocks: ClockChanges, prefix: String = "") {
        (self.server, self.clocks, self.prefix) = (server, clocks, prefix)
    }

    private static let builtIns: Set<String> = [
        "NoOp", "Sleep", "Log", "SendMail", "Download", "CopyFromFile", "CopyToFile",
        "CopyFromProgram", "CopyToProgram", "Shutdown",
    ]

    /// `tasks` are in the order in which they run.
    public func read(chains: [JSON], tasks: [JSON], parameters: [JSON]) -> Imported {
        var imported = Imported()
        let tasks = Dictionary(grouping: tasks) { $0["chain_id"]?.integer }
        let parameters = Dictionary(grouping: parameters) { $0["task_id"]?.integer }
        for chain in chains {
            guard let id = chain["chain_id"]?.integer, let own = chain["chain_name"]?.text else {
                imported.remark(.left, nil, "a row of chain without a chain_id and a chain_name")
                continue
            }
            let place = "chain \(id) (\(own))"
            do throws(Reason) {
                try add(chain, tasks[id] ?? [], parameters, place, &imported)
            } catch {
                imported.remark(.left, place, error.text)
            }
        }
        let strays = tasks[nil] ?? []
        if !strays.isEmpty {
            imported.remark(.left, nil, "\(strays.count) tasks that belong to no chain")
        }
        return imported
    }

    private struct Reason: Error { let text: String }

    private func add(
        _ chain: JSON, _ tasks: [JSON], _ parameters: [Int64?: [JSON]], _ place: String,
        _ imported: inout Imported
    ) throws(Reason) {
        let own = chain["chain_name"]?.text ?? ""
        guard !tasks.isEmpty else { throw Reason(text: "it has no tasks") }
        let columns = try self.columns(chain, place, &imported)
        let name = imported.name(prefix + own)
        var config = JobSet.Config(name, columns)
        var elements: [JobSet.Element] = []
        for (position, task) in tasks.enumerated() {
            // In the first schema of version 4 two chains may share a task.
            let rows = (parameters[task["task_id"]?.integer] ?? []).filter { row in
                row["chain_id"] == nil || row["chain_id"] == chain["chain_id"]
            }
            let values = rows.compactMap { $0["value"] }
            if !values.isEmpty { config.parameters[position] = values }
            let label =
                tasks.count == 1
                ? name
                : "\(name): "
                    + (task["task_name"]?.text
                        ?? task["name"]?.text ?? "task \(position + 1)")
            elements.append(try element(task, label, place, &imported))
        }
        if let script = chain["on_error"]?.text, !script.isEmpty {
            let handler = imported.name("\(name): on error")
            imported.jobs.tasks[handler] = JobSet.BaseTask(.sql, script)
            imported.jobs.chains.append(
                JobSet.Chain(
                    [JobSet.Element(handler)],
                    [JobSet.Config(handler, ["schedule": "@manual", "live": "true"])]))
            config.onFailure = handler
            imported.remark(
                .difference, place,
                "on_error has become the config \"\(handler)\", asked for when a run has failed; "
                    + "it reads current_setting('timetable.failed_run'), not "
                    + "pg_timetable.current_chain_id")
        }
        imported.jobs.chains.append(JobSet.Chain(elements, [config]))
    }

    private func columns(
        _ chain: JSON, _ place: String, _ imported: inout Imported
    ) throws(Reason) -> [String: String] {
        var columns: [String: String] = [:]
        columns["schedule"] = try schedule(chain, place, &imported)
        let zone = chain["run_at_time_zone"]?.text ?? server.zone
        if let schedule = columns["schedule"], !schedule.hasPrefix("@") {
            columns["time_zone"] = zone
            imported.compareClocks(
                place, schedule, zone, clocks, source: "pg_timetable", inGap: "skips it",
                whenRepeated: "fires both times")
        }
        for column in ["live", "self_destruct", "exclusive_execution"]
        where chain[column]?.boolean == true {
            columns[column] = "true"
        }
        columns["live"] = columns["live"] ?? "false"
        columns["max_instances"] = chain["max_instances"]?.scalar
        columns["client_name"] = chain["client_name"]?.text
        columns["timeout"] = Self.timeout(chain)?.description
        return columns
    }

    /// In milliseconds there, 0 for none.
    private static func timeout(_ row: JSON) -> Span? {
        guard let milliseconds = row["timeout"]?.integer, milliseconds > 0 else { return nil }
        return Span(microseconds: milliseconds * 1_000)
    }

    private func schedule(
        _ chain: JSON, _ place: String, _ imported: inout Imported
    ) throws(Reason) -> String {
        guard let text = chain["run_at"]?.text else { return "* * * * *" }
        var result = text
        var words = text.split(separator: " ").map(String.init)
        if let length = chain["interval_microseconds"]?.integer {
            let kind = text.hasPrefix("@after") ? "@after" : "@every"
            result = "\(kind) \(Span(microseconds: length))"
            if kind == "@every" {
                imported.remark(
                    .difference, place,
                    "@every fires at multiples of its length, not from the start of a daemon on")
            }
        } else if text == "@reboot" {
            imported.remark(
                .difference, place, "@reboot fires once for each daemon that becomes ready")
        } else if words.count == 5, !words[2].hasPrefix("*"), !words[4].hasPrefix("*") {
            // There both days have to match; here, as in cron, either does, but for the plus.
            words[4] = "+" + words[4]
            result = words.joined(separator: " ")
            imported.remark(
                .difference, place,
                "both the day and the day of week have to match in pg_timetable: the schedule is "
                    + "\(result), for without + either day would do")
        }
        do throws(ScheduleSyntaxError) {
            _ = try Schedule(parsing: result, hashSeed: 0)
        } catch {
            throw Reason(text: "its schedule \(text): \(error.message)")
        }
        return result
    }

    private func element(
        _ task: JSON, _ label: String, _ place: String, _ imported: inout Imported
    ) throws(Reason) -> JobSet.Element {
        let command = task["command"]?.text ?? task["script"]?.text ?? ""
        var element: JobSet.Element
        switch task["kind"]?.text {
        case "BUILTIN":
            guard Self.builtIns.contains(command) else {
                throw Reason(text: "there is no built-in \(command) here")
            }
            element = JobSet.Element(command)
        case "PROGRAM", "SHELL":
            element = JobSet.Element(imported.name(task: label))
            imported.jobs.tasks[element.task] = JobSet.BaseTask(.program, command)
        case "SQL":
            element = JobSet.Element(imported.name(task: label))
            imported.jobs.tasks[element.task] = JobSet.BaseTask(.sql, command)
            element.runUID = task["run_as"]?.text
            element.autonomous = task["autonomous"]?.boolean == true
            if let text = task["database_connection"]?.text, !text.isEmpty {
                let connection = ConnectString(text)
                element.connection = ConnectString(connection.identity)
                if connection.hasPassword {
                    imported.remark(
                        .difference, place,
                        "the password of its database connection is left out: put it into the "
                            + "daemon's password file (~/.pgpass)")
                }
            }
        default: throw Reason(text: "it has a task of an unknown kind")
        }
        if task["kind"]?.text != "SQL", task["run_as"]?.text != nil {
            imported.remark(
                .difference, place,
                "run_as of what is no SQL had no effect in pg_timetable, and is left out")
        }
        element.ignoreError = task["ignore_error"]?.boolean == true
        element.timeout = Self.timeout(task)
        return element
    }
}

extension Imported {
    /// A name that no other base task of this source has.
    func name(task wanted: String) -> String {
        var name = wanted
        var number = 1
        while jobs.tasks[name] != nil {
            number += 1
            name = "\(wanted) (\(number))"
        }
        return name
    }
}

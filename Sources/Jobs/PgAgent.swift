internal import Scheduling

/// Reads the jobs of pgAgent 4, from rows of its tables as JSON.
///
/// A job becomes a chain of its steps, each of its schedules a config of that chain.
public struct PgAgent {
    public var server: SourceServer
    public var clocks: ClockChanges
    public var prefix: String

    public init(server: SourceServer, clocks: ClockChanges, prefix: String = "") {
        (self.server, self.clocks, self.prefix) = (server, clocks, prefix)
    }

    /// `steps` are in the order in which they run; `exceptions` with their schedule's `jexscid`.
    public func read(
        jobs: [JSON], steps: [JSON], schedules: [JSON], exceptions: [JSON]
    ) -> Imported {
        var imported = Imported()
        let steps = Dictionary(grouping: steps) { $0["jstjobid"]?.integer }
        let schedules = Dictionary(grouping: schedules) { $0["jscjobid"]?.integer }
        let exceptions = Dictionary(grouping: exceptions) { $0["jexscid"]?.integer }
        for job in jobs {
            let id = job["jobid"]?.integer
            let own = job["jobname"]?.text ?? ""
            let place = "job \(id ?? 0) (\(own))"
            do throws(Reason) {
                let name = imported.name(prefix + own)
                let enabled = try enabled(steps[id] ?? [], place, &imported)
                let elements = try self.elements(enabled, name, place, &imported)
                var configs = self.configs(
                    job, schedules[id] ?? [], exceptions, name, place, &imported)
                for (position, step) in enabled.enumerated()
                where step["jstkind"]?.text == "b" {
                    let code = step["jstcode"]?.text ?? ""
                    for index in configs.indices {
                        configs[index].parameters[position] = [.array([.text("-c"), .text(code)])]
                    }
                }
                imported.jobs.chains.append(JobSet.Chain(elements, configs))
            } catch {
                imported.remark(.left, place, error.text)
            }
        }
        return imported
    }

    private struct Reason: Error { let text: String }

    // MARK: Steps

    private func enabled(
        _ steps: [JSON], _ place: String, _ imported: inout Imported
    ) throws(Reason) -> [JSON] {
        let enabled = steps.filter { $0["jstenabled"]?.boolean == true }
        guard !enabled.isEmpty else { throw Reason(text: "it has no enabled step") }
        for step in steps where step["jstenabled"]?.boolean != true {
            imported.remark(
                .left, place, "the step \(step["jstname"]?.text ?? "") is disabled")
        }
        return enabled
    }

    private func elements(
        _ enabled: [JSON], _ name: String, _ place: String, _ imported: inout Imported
    ) throws(Reason) -> [JobSet.Element] {
        var made: [(JobSet.Element, JobSet.BaseTask)] = []
        for step in enabled {
            let own = step["jstname"]?.text ?? ""
            let label = enabled.count == 1 ? name : "\(name): \(own)"
            let task = try task(step, own)
            var element = JobSet.Element(label)
            // Each step was committed by itself there.
            let code = step["jstcode"]?.text ?? ""
            let isSQL = step["jstkind"]?.text == "s"
            element.autonomous =
                isSQL && (enabled.count > 1 || !SQLText.isTransactional(code))
            element.ignoreError = step["jstonerror"]?.text != "f"
            if isSQL { connect(&element, step, place, &imported) }
            made.append((element, task))
        }
        return made.map { element, task in
            var element = element
            element.task = imported.name(task: element.task)
            imported.jobs.tasks[element.task] = task
            return element
        }
    }

    private func connect(
        _ element: inout JobSet.Element, _ step: JSON, _ place: String,
        _ imported: inout Imported
    ) {
        if let text = step["jstconnstr"]?.text, !text.isEmpty {
            let connection = ConnectString(text)
            element.connection = ConnectString(connection.identity)
            if connection.hasPassword {
                imported.remark(
                    .difference, place,
                    "the password of its connection string is left out: put it into the daemon's "
                        + "password file (~/.pgpass)")
            }
        } else {
            let database = step["jstdbname"]?.text ?? ""
            element.connection = server.connection(to: database, as: server.user)
        }
        imported.remark(
            .difference, nil,
            "SQL ran as the role that pgAgent logged in as; in this database it runs as the "
                + "daemon's role: set run_uid where it needs another")
    }

    /// A batch step is a script: its interpreter with the script as an argument.
    private func task(_ step: JSON, _ own: String) throws(Reason) -> JobSet.BaseTask {
        let code = step["jstcode"]?.text ?? ""
        switch step["jstkind"]?.text {
        case "s": return JobSet.BaseTask(.sql, code)
        case "b":
            guard code.hasPrefix("#!") else { return JobSet.BaseTask(.program, "/bin/sh") }
            let line = code.prefix { !$0.isNewline }.dropFirst(2)
            let words = line.split(separator: " ").map(String.init)
            guard words.count == 1, let path = words.first,
                Self.shells.contains(where: {
                    path.hasSuffix("/\($0)")
                })
            else {
                throw Reason(
                    text: "its step \(own) is a script for \(line): put it into a file, and let a "
                        + "SHELL task run that")
            }
            return JobSet.BaseTask(.program, path)
        default: throw Reason(text: "its step \(own) is of an unknown kind")
        }
    }

    private static let shells = ["sh", "bash", "dash", "zsh", "ksh"]

    // MARK: Schedules

    private func configs(
        _ job: JSON, _ schedules: [JSON], _ exceptions: [Int64?: [JSON]], _ name: String,
        _ place: String, _ imported: inout Imported
    ) -> [JobSet.Config] {
        var columns = ["max_instances": "1", "live": "true"]
        if job["jobenabled"]?.boolean != true { columns["live"] = "false" }
        if let host = job["jobhostagent"]?.text, !host.isEmpty {
            columns["client_name"] = host
            imported.remark(
                .difference, place,
                "only the agent of the host \(host) ran it: here the worker of that name does")
        }
        var configs: [JobSet.Config] = []
        for schedule in schedules {
            let own = schedule["jscname"]?.text ?? ""
            let label = schedules.count == 1 ? name : "\(name): \(own)"
            let place = "\(place), schedule \(own)"
            var columns = columns
            if schedule["jscenabled"]?.boolean != true { columns["live"] = "false" }
            guard set(schedule, &columns, place, &imported) else { continue }
            let dates = exceptions[schedule["jscid"]?.integer] ?? []
            if !dates.isEmpty {
                let texts = dates.map { exception in
                    [exception["jexdate"]?.text, exception["jextime"]?.text]
                        .compactMap { $0 }.joined(separator: " ")
                }
                imported.remark(
                    .left, place,
                    "its exceptions (\(texts.joined(separator: ", "))): it fires at these times too"
                )
            }
            let taken = schedules.count == 1 ? label : imported.name(label)
            configs.append(JobSet.Config(taken, columns))
        }
        if configs.isEmpty {
            columns["schedule"] = "@manual"
            imported.remark(.difference, place, "it has no schedule: it runs when asked for")
            configs.append(JobSet.Config(name, columns))
        }
        // However many schedules, a job ran once at a time.
        for index in configs.indices where configs.count > 1 {
            configs[index].excluded = configs.map(\.name).filter { $0 != configs[index].name }
        }
        return configs
    }

    private func set(
        _ schedule: JSON, _ columns: inout [String: String], _ place: String,
        _ imported: inout Imported
    ) -> Bool {
        let text = cron(schedule, place, &imported)
        do throws(ScheduleSyntaxError) {
            _ = try Schedule(parsing: text, hashSeed: 0)
        } catch {
            imported.remark(.left, place, "\(text): \(error.message)")
            return false
        }
        columns["schedule"] = text
        columns["time_zone"] = server.zone
        let instants = ConfigColumn.named("starts_at")
        let start = instants?.stored(schedule["jscstart"])
        // One that is over bounds nothing any more.
        if let start, start > clocks.now.iso8601 { columns["starts_at"] = start }
        columns["ends_at"] = instants?.stored(schedule["jscend"])
        if let start, let end = columns["ends_at"], end <= start {
            imported.remark(.left, place, "it ends before it starts")
            return false
        }
        imported.compareClocks(
            place, text, server.zone, clocks, source: "pgAgent", inGap: "fires as much later",
            whenRepeated: "fires the second time")
        return true
    }

    private static let days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

    /// Five fields from arrays of booleans, where none that is true means all.
    private func cron(_ schedule: JSON, _ place: String, _ imported: inout Imported) -> String {
        func chosen(_ column: String) -> [Int] {
            let values = schedule[column]?.array ?? []
            let chosen = values.indices.filter { values[$0].boolean == true }
            return chosen.count == values.count ? [] : chosen
        }
        var monthDays = chosen("jscmonthdays")
        var day = "*"
        if monthDays == [31] {
            day = "L"
        } else {
            if monthDays.last == 31 {
                monthDays.removeLast()
                imported.remark(
                    .difference, place,
                    "the last day of the month has no effect beside other days in pgAgent, and is "
                        + "left out: add L to the days if you meant it")
            }
            if monthDays.count < 31 { day = Self.list(monthDays) { "\($0 + 1)" } }
        }
        var weekday = Self.list(chosen("jscweekdays")) { Self.days[$0] }
        // Both have to match there.
        if day != "*", weekday != "*" { weekday = "+" + weekday }
        return [
            Self.list(chosen("jscminutes")) { "\($0)" }, Self.list(chosen("jschours")) { "\($0)" },
            day, Self.list(chosen("jscmonths")) { "\($0 + 1)" }, weekday,
        ].joined(separator: " ")
    }

    /// `1-5,7` for numbers in order, of which three and more in a row are a range.
    static func list(_ numbers: [Int], _ text: (Int) -> String) -> String {
        if numbers.isEmpty { return "*" }
        var parts: [String] = []
        var index = 0
        while index < numbers.count {
            var end = index
            while end + 1 < numbers.count, numbers[end + 1] == numbers[end] + 1 { end += 1 }
            if end - index >= 2 {
                parts.append("\(text(numbers[index]))-\(text(numbers[end]))")
            } else {
                for place in index...end { parts.append(text(numbers[place])) }
            }
            index = end + 1
        }
        return parts.joined(separator: ",")
    }
}

internal import Scheduling

/// Reads the jobs of pg_cron, from rows of `cron.job` as JSON.
///
/// `server.zone` is its `cron.timezone`, GMT where there is no such setting.
public struct PgCron {
    public var server: SourceServer
    public var prefix: String

    public init(server: SourceServer, prefix: String = "") {
        (self.server, self.prefix) = (server, prefix)
    }

    public func read(_ rows: [JSON]) -> Imported {
        var imported = Imported()
        for row in rows { add(row, &imported) }
        return imported
    }

    private func add(_ row: JSON, _ imported: inout Imported) {
        let id = row["jobid"]?.scalar ?? "?"
        let own = row["jobname"]?.text
        let place = "job \(id)" + (own.map { " (\($0))" } ?? "")
        guard let text = row["schedule"]?.text, let command = row["command"]?.text,
            let database = row["database"]?.text, let user = row["username"]?.text
        else {
            imported.remark(.left, place, "its row is none of pg_cron's")
            return
        }
        var columns = ["live": row["active"]?.boolean == false ? "false" : "true"]
        columns["max_instances"] = "1"
        do throws(Reason) {
            columns["schedule"] = try schedule(text, place, &columns, &imported)
        } catch {
            imported.remark(.left, place, "its schedule \(text): \(error.text)")
            return
        }
        let name = imported.name(prefix + (own ?? "pg_cron job \(id)"))
        var element = JobSet.Element(name)
        element.autonomous = !SQLText.isTransactional(command)
        connect(&element, row, database: database, user: user, place, &imported)
        imported.jobs.tasks[name] = JobSet.BaseTask(.sql, command)
        imported.jobs.chains.append(JobSet.Chain([element], [JobSet.Config(name, columns)]))
    }

    private struct Reason: Error { let text: String }

    private func schedule(
        _ text: String, _ place: String, _ columns: inout [String: String],
        _ imported: inout Imported
    ) throws(Reason) -> String {
        var words = text.split { $0 == " " || $0 == "\t" }.map(String.init)
        if words.count == 2, let seconds = Int(words[0]), (1...59).contains(seconds),
            ["second", "seconds"].contains(words[1].lowercased())
        {
            imported.remark(
                .difference, place,
                "@every fires at multiples of its length, not that long after the last start")
            return "@every \(seconds) \(seconds == 1 ? "second" : "seconds")"
        }
        columns["time_zone"] = server.zone
        // At most one run at a time; one that is due meanwhile is begun then.
        columns["overlap"] = "WAIT"
        if words.first == "@restart" { words[0] = "@reboot" }
        if words.first?.hasPrefix("@") == true { words = [words[0]] }
        let plain = words.enumerated().map { index, word in
            index == 2
                ? word.split(separator: "$", omittingEmptySubsequences: false)
                    .joined(separator: "31") : word
        }
        if let mistake = VixieSchedule.mistake(Array(plain.prefix(5))) {
            throw Reason(text: "pg_cron would not run it: \(mistake)")
        }
        guard words.count == 1 || words.count >= 5 else {
            throw Reason(text: "pg_cron would not run it: five times are needed")
        }
        if words[0] == "@reboot" {
            columns["time_zone"] = nil
            imported.remark(
                .difference, place,
                "@reboot fires whenever a daemon becomes ready, not when PostgreSQL starts")
        } else if words.count > 2 {
            words[2] = words[2].split(separator: "$", omittingEmptySubsequences: false)
                .joined(separator: "L")
        }
        let schedule = words.prefix(5).joined(separator: " ")
        do throws(ScheduleSyntaxError) {
            _ = try Schedule(parsing: schedule, hashSeed: 0)
        } catch {
            throw Reason(text: error.message)
        }
        return schedule
    }

    private func connect(
        _ element: inout JobSet.Element, _ row: JSON, database: String, user: String,
        _ place: String, _ imported: inout Imported
    ) {
        var there = server
        let node = row["nodename"]?.text ?? ""
        if !["localhost", "127.0.0.1", "::1", ""].contains(node), !node.hasPrefix("/") {
            there.host = node
            there.port = row["nodeport"]?.scalar ?? server.port
            there.ours = nil
        }
        element.connection = there.connection(to: database, as: user)
        if element.connection == nil {
            element.runUID = user
        } else {
            imported.remark(
                .difference, place,
                "it runs in the database \(database): the daemon logs in there as \(user), so its "
                    + "password file or pg_hba.conf has to let it")
        }
    }
}

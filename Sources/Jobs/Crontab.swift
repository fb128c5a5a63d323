internal import Scheduling

/// Reads a crontab: each line that cron would run becomes a chain of one program.
///
/// A line is a command for a shell, so the program is that shell with `-c` and the line.
public struct Crontab {
    /// Where each config's time zone comes from when the file says nothing.
    public var zone: String
    /// Whether lines name a user, as in /etc/crontab and /etc/cron.d.
    public var isSystem: Bool
    /// The user of all lines of a crontab that names none; nil: the daemon's.
    public var user: String?
    /// What the names of all configs begin with.
    public var prefix: String

    public init(zone: String, isSystem: Bool, user: String? = nil, prefix: String = "") {
        (self.zone, self.isSystem, self.user, self.prefix) = (zone, isSystem, user, prefix)
    }

    /// What the lines above an entry set for it.
    private struct Setting {
        var shell = "/bin/sh"
        var home: String?
        var zone: String
        /// In their order, for the command.
        var variables: [(name: String, value: String)] = []

        /// Makes the same variables in the shell, and goes where cron goes.
        var preamble: String {
            var lines = variables.map { "export \($0.name)=\($0.value.shellQuoted)\n" }
            if home != nil { lines.append("cd \"$HOME\" || exit\n") }
            return lines.joined()
        }
    }

    public func read(_ text: String) -> Imported {
        var imported = Imported()
        var setting = Setting(zone: zone)
        // A line end of Windows is one character for Swift.
        let lines = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
        for (number, line) in zip(1..., lines) {
            let place = "line \(number)"
            switch CrontabLine(String(line), isSystem: isSystem) {
            case .nothing: break
            case .variable(let name, let value):
                set(name, value, place, &setting, &imported)
            case .entry(let entry): add(entry, setting, place, &imported)
            case .mistake(let reason):
                imported.remark(.left, place, "cron would not run it: \(reason)")
            }
        }
        return imported
    }

    private func set(
        _ name: String, _ value: String, _ place: String, _ setting: inout Setting,
        _ imported: inout Imported
    ) {
        switch name {
        case "SHELL": setting.shell = value
        case "CRON_TZ":
            setting.zone = value
            imported.remark(
                .difference, place,
                "the lines below it fire by the clock of \(value), as in cronie; "
                    + "Debian's cron ignores CRON_TZ")
        case "MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING":
            if name == "MAILTO", !value.isEmpty {
                imported.remark(
                    .difference, place,
                    "output is not mailed to \(value): it is kept in timetable.execution_log; for "
                        + "mail about failures give on_failure a config with SendMail")
            }
        case "RANDOM_DELAY":
            imported.remark(
                .left, place, "RANDOM_DELAY: set the jitter of the configs below it")
        case "LOGNAME", "USER":
            imported.remark(.left, place, "\(name) is the user's name, in cron as here")
        default:
            guard name.isShellName else {
                imported.remark(.left, place, "\(name) is no name of a variable for a shell")
                return
            }
            if name == "HOME" { setting.home = value }
            if name == "TZ" {
                imported.remark(
                    .difference, place,
                    "TZ is for the commands below it; they fire by the clock of \(setting.zone)")
            }
            setting.variables.removeAll { $0.name == name }
            setting.variables.append((name, value))
        }
    }

    private func add(
        _ entry: CrontabLine.Entry, _ setting: Setting, _ place: String,
        _ imported: inout Imported
    ) {
        do throws(ScheduleSyntaxError) {
            _ = try Schedule(parsing: entry.schedule, hashSeed: 0)
        } catch {
            imported.remark(.left, place, error.message)
            return
        }
        let name = imported.name(prefix + Self.name(of: entry.command))
        var element = JobSet.Element(name)
        element.runUID = entry.user ?? user
        if entry.schedule == "@reboot" {
            imported.remark(
                .difference, place,
                "@reboot fires whenever a daemon becomes ready, not only when the host starts")
        }
        if entry.user != nil {
            imported.remark(
                .difference, nil,
                "programs run as the users that the lines name: the daemon has to be root for that")
        }
        var command = setting.preamble + entry.command
        if let input = entry.input {
            command = Self.feeding(input, to: command)
            imported.remark(
                .difference, place,
                "what stands behind % is given to the command by a here-document of its shell")
        }
        var config = JobSet.Config(name, ["schedule": entry.schedule, "live": "true"])
        if entry.schedule != "@reboot" { config.columns["time_zone"] = setting.zone }
        config.parameters[0] = [.array([.text("-c"), .text(command)])]
        imported.jobs.tasks[name] = JobSet.BaseTask(.program, setting.shell)
        imported.jobs.chains.append(JobSet.Chain([element], [config]))
    }

    /// A here-document whose end no line of the input is.
    private static func feeding(_ input: [String], to command: String) -> String {
        var end = "END"
        while input.contains(end) { end += "_" }
        return "{ \(command)\n} <<'\(end)'\n" + input.map { $0 + "\n" }.joined() + "\(end)\n"
    }

    /// A name that tells the command: its words without folders before it, without what becomes
    /// of the output.
    static func name(of command: String) -> String {
        var words = command.split { $0.isWhitespace }.map(String.init)
        if let output = words.firstIndex(where: { word in
            [">", "1>", "2>", "&>"].contains { word.hasPrefix($0) }
        }), output > 0 {
            words.removeSubrange(output...)
        }
        if let first = words.first, first.hasPrefix("/"), let slash = first.lastIndex(of: "/") {
            let file = String(first[first.index(after: slash)...])
            if !file.isEmpty { words[0] = file }
        }
        let name = words.joined(separator: " ").filter { !$0.isNewline && $0 != "\0" }
        return name.count <= 60 ? name : name.prefix(59) + "…"
    }
}

extension String {
    var shellQuoted: String {
        "'" + replacingEach("'", with: #"'\''"#) + "'"
    }

    private func replacingEach(_ character: Character, with text: String) -> String {
        reduce(into: "") { $0 += $1 == character ? text : String($1) }
    }

    var isShellName: Bool {
        guard let first, first == "_" || first.isASCII && first.isLetter else { return false }
        return allSatisfy { $0 == "_" || $0.isASCII && ($0.isLetter || $0.isNumber) }
    }
}

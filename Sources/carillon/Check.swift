internal import ArgumentParser
internal import Terminal
internal import Timetable

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say what can't work, without running anything: configs, tasks, daemons.",
        usage: "carillon check [<name>] [<options>]",
        discussion: """
            Of a config, or of all: schedule, zone, limits, the SQL of its tasks (the server \
            analyses it and runs nothing), programs and users on this host, parameters, roles, \
            connections. Without a name also the installation: daemons, whether they hear, clocks, \
            connections left, retention. It writes nothing. What can't be judged from here is said \
            as a note. It reads all tables, so use the role of a daemon, the schema's owner or \
            timetable_admin.

            Exit codes: 0 no errors; 20 errors; 21 with --strict, warnings; 1 another failure; 2 \
            to 6 as for serve; 64 bad options, no such config.
            """)

    @Argument(help: ArgumentHelp("Only this config: its name or id.", valueName: "name"))
    var name: String?

    @Flag(help: "Warnings let it fail too.")
    var strict = false

    @Option(
        help: ArgumentHelp(
            "Leave out findings of this code, such as schedule-far; may be repeated.",
            valueName: "code"))
    var ignore: [String] = []

    @Flag(help: "List all codes with their usual severity, and check nothing.")
    var codes = false

    @Flag(help: "Print an array of JSON objects, one a line, with all there is to know.")
    var json = false

    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    mutating func validate() throws {
        for code in ignore where FindingCode(rawValue: code) == nil {
            throw ValidationError("--ignore: there is no code '\(code)'; --codes lists them")
        }
    }

    mutating func run() throws {
        if codes {
            emit(FindingCode.allCases.map { "\($0.severity.rawValue) \($0.rawValue)" })
            return
        }
        let (name, strict, json) = (name, strict, json)
        let ignored = Set(ignore)
        try connection.asking("check") { reports in
            let findings = try await reports.check(name).filter { finding in
                !ignored.contains(finding.code.rawValue)
            }
            if json {
                emit([JSONText.lines(findings.map(\.object))])
            } else {
                Self.show(findings)
            }
            if findings.contains(where: { $0.severity == .error }) { return 20 }
            return strict && findings.contains { $0.severity == .warning } ? 21 : 0
        }
    }

    private static func show(_ findings: [Finding]) {
        let screen = Screen.output
        guard let width = screen.width else {
            var table = Table([
                .text("SEVERITY"), .text("WHAT"), .text("WHERE"), .text("MESSAGE"),
            ])
            for finding in findings {
                table.add([
                    Table.Cell(finding.severity.rawValue), Table.Cell(finding.code.rawValue),
                    Table.Cell(finding.place.text), Table.Cell(finding.told),
                ])
            }
            return end(table.lines(on: screen), findings)
        }
        // Sentences need a line of their own there.
        var lines: [String] = []
        for finding in findings {
            let severity = screen.paint(finding.severity.rawValue, finding.severity.colour)
            lines.append("\(severity) \(finding.code.rawValue): \(Plain.line(finding.place.text))")
            for text in [finding.message, finding.advice] where !text.isEmpty {
                lines += Plain.line(text).wrapped(to: width - 4).map { "    \($0)" }
            }
        }
        end(lines, findings)
    }

    private static func end(_ lines: [String], _ findings: [Finding]) {
        emit(lines)
        let counts = Finding.Severity.allCases.reversed().map { severity in
            let count = findings.count { $0.severity == severity }
            return "\(count) \(severity.rawValue)\(count == 1 ? "" : "s")"
        }
        say(counts.joined(separator: ", "))
    }
}

extension Finding {
    fileprivate var told: String { advice.isEmpty ? message : "\(message); \(advice)" }

    fileprivate var object: JSONText {
        .object([
            ("severity", .text(severity.rawValue)), ("code", .text(code.rawValue)),
            ("where", .text(place.text)), ("config", .of(place.config)),
            ("element", .of(place.element)), ("message", .text(message)),
            ("advice", advice.isEmpty ? .null : .text(advice)),
        ])
    }
}

extension Finding.Severity {
    fileprivate var colour: Screen.Colour {
        switch self {
        case .error: .red
        case .warning: .yellow
        case .note: .faint
        }
    }
}

extension String {
    /// In lines of so many columns, parted at blanks where there are any.
    fileprivate func wrapped(to width: Int) -> [String] {
        var lines: [String] = []
        for word in split(separator: " ") {
            if let last = lines.last, Plain.width(last) + 1 + Plain.width(String(word)) <= width {
                lines[lines.count - 1] = "\(last) \(word)"
            } else {
                lines.append(Plain.fit(String(word), max(1, width)))
            }
        }
        return lines
    }
}

internal import ArgumentParser
internal import Reactor
internal import Scheduling
internal import Terminal
internal import Timetable
internal import Timing

struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List configs: when each fires next, and how its last run ended.",
        usage: "carillon list [<name>] [<options>]",
        discussion: """
            What is next comes first. A name may hold * and ?, in quotes for the shell. LEFT and \
            PASSED count from now; LATENESS is the start of the last run less its fire time; its \
            OUTCOME is STARTED while it is under way. A narrow terminal shows \
            fewer columns.

            For example: carillon list 'backup*' --all

            Exit codes: 0; 1 no such config; 2 to 6 as for serve; 64 bad options.
            """)

    @Argument(help: ArgumentHelp("Only configs of this name or id.", valueName: "name"))
    var name: String?

    @Flag(help: "Only those whose last run failed, timed out, died, was cancelled or missed.")
    var failed = false

    @Flag(name: .shortAndLong, help: "Also those that are not live, paused, or @manual.")
    var all = false

    @OptionGroup(title: "Output") var output: OutputOptions
    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    mutating func run() throws {
        let (name, failed, all, output) = (name, failed, all, output)
        try connection.asking("list") { reports in
            let now = WallInstant.now()
            let found = try await reports.configs(name, now: now)
            if let name, found.isEmpty {
                complain("there is no config \"\(name)\"")
                return 1
            }
            let isExact = name.map { !$0.contains("*") && !$0.contains("?") } ?? false
            let shown = found.filter { config in
                failed
                    ? config.lastRun?.hasFailed == true : all || isExact || config.isScheduled
            }
            if output.json {
                emit([JSONText.lines(shown.map { $0.object(inUTC: output.utc) })])
                return 0
            }
            let screen = Screen.output
            emit(Self.table(shown, now, inUTC: output.utc, screen).lines(on: screen))
            for config in shown { if let pause = config.pause(inUTC: output.utc) { say(pause) } }
            let hidden = found.count - shown.count
            if hidden > 0, !failed {
                say("\(hidden) more: not live, paused, without chain or @manual; --all shows them")
            }
            if let missing = try await reports.missingDaemon() { say("nothing fires: \(missing)") }
            if hidden == 0 || failed, shown.isEmpty {
                say(
                    failed
                        ? "no last run has failed"
                        : "there is no config yet; carillon add makes one")
            }
            return 0
        }
    }

    static func table(
        _ configs: [ConfigReport], _ now: WallInstant, inUTC: Bool, _ screen: Screen
    ) -> Table {
        // Where it is narrow, names need the room more than what others say already.
        let width = screen.width ?? .max
        let columns: [(column: Table.Column, from: Int)] = [
            (.text("NEXT"), 0), (.right("LEFT"), 0), (.text("LAST"), 66), (.right("PASSED"), 100),
            (.right("LATENESS"), 76), (.text("OUTCOME"), 44), (.text("NAME", least: 6), 0),
        ]
        func shown<Part>(_ parts: [Part]) -> [Part] {
            zip(parts, columns).filter { $0.1.from <= width }.map(\.0)
        }
        var table = Table(shown(columns.map(\.column)))
        for config in configs {
            let zone = inUTC ? nil : config.zone
            let last = config.lastRun
            let next = config.next.map { Table.Cell(screen.time($0, in: zone)) }
            table.add(
                shown([
                    next ?? Table.Cell(config.whyNot, .faint),
                    Table.Cell(
                        config.next.map { Span.words(microseconds: $0.microseconds(since: now)) }),
                    Table.Cell(last?.time.map { screen.time($0, in: zone) }),
                    Table.Cell(
                        last?.time.map { Span.words(microseconds: now.microseconds(since: $0)) }),
                    Table.Cell(last?.latenessMicroseconds.map { Span.words(microseconds: $0) }),
                    last.map { outcome($0.state) } ?? Table.Cell(nil),
                    Table.Cell(config.name),
                ]))
        }
        return table
    }
}

extension ConfigReport {
    /// By whom looks at a paused one.
    func pause(inUTC: Bool) -> String? {
        guard let pausedUntil else { return nil }
        let end =
            isPausedForGood ? "it is resumed" : pausedUntil.shown(in: inUTC ? nil : zone)
        let note = pauseNote.map { ": \($0)" } ?? ""
        return "\(name) is paused until \(end)\(note)"
    }

    /// Why there is no next fire.
    var whyNot: String {
        if problem != nil { return "bad schedule" }
        if !isLive { return "not live" }
        if !hasChain { return "no chain" }
        if pausedUntil != nil { return "paused" }
        switch schedule.split(separator: " ").first?.lowercased() {
        case "@manual": return "by request"
        case "@reboot": return "at start"
        case "@after": return lastRun == nil ? "at once" : "after its run"
        default: return "never again"
        }
    }

    func object(inUTC: Bool) -> JSONText {
        func time(_ instant: WallInstant?) -> JSONText {
            .of(instant?.rfc3339(in: inUTC ? nil : zone))
        }
        return .object([
            ("id", .number(id)), ("name", .text(name)), ("schedule", .text(schedule)),
            ("in_words", .of(words)), ("zone", .text(zone.name)), ("live", .boolean(isLive)),
            ("has_chain", .boolean(hasChain)),
            (
                "paused_until",
                isPausedForGood ? .text("infinity") : time(pausedUntil)
            ),
            ("pause_note", .of(pauseNote)), ("worker", .of(worker)), ("next", time(next)),
            ("problem", .of(problem)), ("last_run", .of(lastRun?.id)),
            ("last_outcome", .of(lastRun?.state)),
            ("last_scheduled_for", time(lastRun?.scheduledFor)),
            ("last_started", time(lastRun?.started)), ("last_finished", time(lastRun?.finished)),
            ("last_lateness_us", .of(lastRun?.latenessMicroseconds)),
            ("last_reason", .of(lastRun?.reason)),
        ])
    }
}

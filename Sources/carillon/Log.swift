internal import ArgumentParser
internal import Glibc
internal import Reactor
internal import Scheduling
internal import Terminal
internal import Timetable
internal import Timing

struct Log: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what daemons logged, or what the runs of a config did.",
        usage: "carillon log [<name>] [<options>]",
        discussion: """
            Without a name: the lines of timetable.log. With one: beginnings and ends of its runs \
            and the output and error of each task.

            For example: carillon log --follow --level error, or carillon log report --since 2h

            Exit codes: 0, also after Ctrl-C with --follow; 2 to 6 as for serve; 64 bad options, \
            no such config.
            """)

    @Argument(help: ArgumentHelp("A config by its chain_name or id.", valueName: "name"))
    var name: String?

    @Flag(name: .shortAndLong, help: "Go on with what comes, until Ctrl-C; nothing is polled.")
    var follow = false

    @Option(help: "Least level of lines: debug, info, notice, error.")
    var level = LogLevel.debug

    @Option(
        help: ArgumentHelp(
            "Since then: 2h or 3d ago, today, yesterday, or 2026-03-28 12:00.", valueName: "when"))
    var since: String?

    @Option(
        name: [.customShort("n"), .long], help: "How many lines or runs at most, 0 to 100000.")
    var limit = 50

    @OptionGroup(title: "Output") var output: OutputOptions
    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    mutating func validate() throws {
        guard (0...100_000).contains(limit) else {
            throw ValidationError("--limit must be from 0 to 100000")
        }
        if follow, output.json {
            throw ValidationError("--json is an array, which --follow would never end")
        }
    }

    mutating func run() throws {
        if follow { Signals.block([SIGINT, SIGTERM]) }
        let command = self
        try connection.asking("log") { reports in
            let following = command.follow ? try await reports.follow() : nil
            let since = try command.since.map { try reports.past($0, "--since") }
            if let name = command.name {
                let config = try await reports.config(named: name)
                var log = RunsLog(reports, config.id, command.output)
                try await log.begin(since: since, limit: command.limit)
                guard let following else { return 0 }
                return try await command.goOn(following) { try await log.add($0) }
            }
            var log = LinesLog(reports, command.level.upwards, command.output)
            try await log.begin(since: since, limit: command.limit)
            guard let following else { return 0 }
            return try await command.goOn(following) { try await log.add($0) }
        }
    }

    /// Until Ctrl-C, or the connection is lost.
    @LoopActor
    private func goOn(
        _ following: Following, _ add: (News) async throws -> Void
    ) async throws -> Int32 {
        var isInterrupted = false
        let signals = try Signals([SIGINT, SIGTERM]) { _ in
            isInterrupted = true
            following.wake()
        }
        defer { signals.cancel() }
        while true {
            let news = try await following.next()
            if isInterrupted { return 0 }
            try await add(news)
        }
    }
}

extension LogLevel {
    /// The labels of `timetable.log_type` from this level on.
    var upwards: [String] {
        let all = ["DEBUG", "LOG", "NOTICE", "USER", "ERROR", "PANIC"]
        switch self {
        case .debug: return all
        case .info: return Array(all.dropFirst())
        case .notice: return Array(all.dropFirst(2))
        case .error: return Array(all.dropFirst(4))
        }
    }
}

/// The lines of `timetable.log`.
@LoopActor
private struct LinesLog {
    /// Two daemons may commit their lines in another order than that of their ids.
    private static let lookBack: Int64 = 1_000

    private let reports: Reports
    private let levels: [String]
    private let output: OutputOptions
    private let screen = Screen.output
    private var seen: Set<Int64> = []
    private var last: Int64 = 0

    init(_ reports: Reports, _ levels: [String], _ output: OutputOptions) {
        (self.reports, self.levels, self.output) = (reports, levels, output)
    }

    mutating func begin(since: WallInstant?, limit: Int) async throws {
        // What is there already is marked as seen, so that only what comes is new.
        let known = try await reports.logLines(
            since: nil, past: nil, levels: levels, limit: Int(Self.lookBack))
        note(known)
        let lines = try await reports.logLines(
            since: since, past: nil, levels: levels, limit: limit)
        note(lines)
        if output.json {
            emit([JSONText.lines(lines.map(object))])
        } else {
            emit(lines.flatMap(text))
        }
    }

    mutating func add(_ news: News) async throws {
        guard news.lines || news.all else { return }
        let lines = try await reports.logLines(
            since: nil, past: last - Self.lookBack, levels: levels, limit: 100_000
        ).filter { !seen.contains($0.id) }
        note(lines)
        emit(lines.flatMap(text))
    }

    private mutating func note(_ lines: [LogEntry]) {
        seen.formUnion(lines.map(\.id))
        last = max(last, lines.map(\.id).max() ?? 0)
        if seen.count > 4 * Int(Self.lookBack) {
            seen = seen.filter { $0 > last - Self.lookBack }
        }
    }

    private func text(_ line: LogEntry) -> [String] {
        let time = line.time?.shown(in: output.utc ? nil : reports.zone) ?? "-"
        let colour: Screen.Colour? =
            switch line.level {
            case "ERROR", "PANIC": .red
            case "NOTICE": .yellow
            case "DEBUG": .faint
            default: nil
            }
        let head = "\(time) \(Plain.line(line.worker ?? "-")) \(line.level)"
        let lines = screen.block(line.message).split(
            separator: "\n", omittingEmptySubsequences: false)
        return lines.enumerated().map { index, part in
            screen.paint(index == 0 ? "\(head): \(part)" : "    \(part)", colour)
        }
    }

    private func object(_ line: LogEntry) -> JSONText {
        .object([
            ("id", .number(line.id)),
            ("time", .of(line.time?.rfc3339(in: output.utc ? nil : reports.zone))),
            ("worker", .of(line.worker)), ("level", .text(line.level)),
            ("message", .text(line.message)),
        ])
    }
}

/// What the runs of one config did.
@LoopActor
private struct RunsLog {
    private let reports: Reports
    private let config: Int64
    private let output: OutputOptions
    private let screen = Screen.output
    /// Of each run under way, how many tasks have been shown.
    private var shownTasks: [Int64: Int] = [:]
    /// Runs whose end has been told; the latest of them.
    private var told: Set<Int64> = []
    private static let mostTold = 10_000
    /// The latest run that was there when we began.
    private var begun: Int64 = 0

    init(_ reports: Reports, _ config: Int64, _ output: OutputOptions) {
        (self.reports, self.config, self.output) = (reports, config, output)
    }

    mutating func begin(since: WallInstant?, limit: Int) async throws {
        let runs = try await reports.runs(
            config: config, failedOnly: false, since: since, limit: max(1, limit))
        begun = runs.first?.id ?? 0
        guard output.json else {
            for run in runs.prefix(limit).reversed() { try await show(run, isComplete: true) }
            return
        }
        var objects: [JSONText] = []
        for run in runs.prefix(limit).reversed() {
            let tasks = try await reports.tasks(of: run.id)
            objects.append(run.object(inUTC: output.utc, tasks: tasks))
        }
        emit([JSONText.lines(objects)])
    }

    mutating func add(_ news: News) async throws {
        var runs: [RunReport] = []
        if news.all {
            runs = try await reports.runs(
                config: config, failedOnly: false, since: nil, limit: 1_000
            ).filter { $0.id > begun || shownTasks[$0.id] != nil }
        } else {
            for id in news.runs.sorted() {
                if let run = try await reports.run(id), run.config == config { runs.append(run) }
            }
        }
        for run in runs.sorted(by: { $0.id < $1.id }) {
            // An end is told once. Runs of two workers are not told of in the order of their ids.
            guard !told.contains(run.id) else { continue }
            // The end is committed a moment before the log of its tasks.
            try await show(run, isComplete: news.all || news.ended.contains(run.id))
        }
    }

    private mutating func show(_ run: RunReport, isComplete: Bool) async throws {
        let zone = output.utc ? nil : run.zone
        func line(_ time: WallInstant?, _ text: String, _ colour: Screen.Colour? = nil) {
            let stamp = time?.shown(in: zone) ?? "-"
            emit([screen.paint("\(stamp) \(Plain.line(text))", colour)])
        }
        if shownTasks[run.id] == nil, run.started != nil {
            line(run.started, "run \(run.id) began on \(run.worker ?? "a worker")")
        }
        let tasks = try await reports.tasks(of: run.id)
        for task in tasks.dropFirst(shownTasks[run.id] ?? 0) {
            emit(task.lines(on: screen, in: zone))
        }
        shownTasks[run.id] = run.hasEnded && isComplete ? nil : tasks.count
        guard run.hasEnded, isComplete else { return }
        line(run.finished ?? run.time, run.ending, run.state == "CHAIN_DONE" ? .green : .red)
        told.insert(run.id)
        if told.count > Self.mostTold { told = Set(told.sorted().suffix(Self.mostTold / 2)) }
    }
}

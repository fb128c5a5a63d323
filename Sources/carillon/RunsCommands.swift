internal import ArgumentParser
internal import Reactor
internal import Scheduling
internal import Terminal
internal import Timetable
internal import Timing

struct Runs: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List runs, the latest first, and fires that did not run.",
        usage: "carillon runs [<name>] [<options>]",
        discussion: """
            carillon show RUN tells all of one.

            For example: carillon runs --failed --since yesterday

            Exit codes: 0; 2 to 6 as for serve; 64 bad options, no such config.
            """)

    @Argument(help: ArgumentHelp("Only of this config: its name or id.", valueName: "name"))
    var name: String?

    @Flag(help: "Only those that failed, timed out, died, were cancelled or missed.")
    var failed = false

    @Option(
        help: ArgumentHelp(
            "Since then: 2h or 3d ago, today, yesterday, or 2026-03-28 12:00.", valueName: "when"))
    var since: String?

    @Option(name: [.customShort("n"), .long], help: "How many at most, 1 to 100000.")
    var limit = 50

    @OptionGroup(title: "Output") var output: OutputOptions
    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    mutating func validate() throws {
        guard (1...100_000).contains(limit) else {
            throw ValidationError("--limit must be from 1 to 100000")
        }
    }

    mutating func run() throws {
        let (name, failed, since, limit) = (name, failed, since, limit)
        let output = output
        try connection.asking("runs") { reports in
            var config: Int64?
            if let name { config = try await reports.config(named: name).id }
            let runs = try await reports.runs(
                config: config, failedOnly: failed,
                since: try since.map { try reports.past($0, "--since") }, limit: limit)
            if output.json {
                emit([JSONText.lines(runs.map { $0.object(inUTC: output.utc) })])
                return 0
            }
            let screen = Screen.output
            emit(Self.table(runs, inUTC: output.utc, screen).lines(on: screen))
            if runs.isEmpty {
                say(name == nil && since == nil && !failed ? "no run yet" : "there is no such run")
            }
            return 0
        }
    }

    static func table(_ runs: [RunReport], inUTC: Bool, _ screen: Screen) -> Table {
        var table = Table([
            .right("RUN"), .text("NAME", least: 8), .text("STARTED"), .right("TOOK"),
            .right("LATENESS"), .text("OUTCOME"), .text("REASON", least: 6),
        ])
        for run in runs {
            table.add([
                Table.Cell("\(run.id)"), Table.Cell(run.shownName),
                Table.Cell(run.time.map { screen.time($0, in: inUTC ? nil : run.zone) }),
                Table.Cell(run.tookMicroseconds.map { Span.words(microseconds: $0) }),
                Table.Cell(run.latenessMicroseconds.map { Span.words(microseconds: $0) }),
                outcome(run.state), Table.Cell(run.shownReason),
            ])
        }
        return table
    }
}

struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show a run: each task with its times, parameters, output and error.",
        usage: "carillon show <run> [<options>]",
        discussion: """
            Parameters are shown as they were logged, without what is secret.

            Exit codes: 0; 1 no such run; 2 to 6 as for serve; 64 bad options.
            """)

    @Argument(
        help: ArgumentHelp("The number of a run, as carillon runs lists it.", valueName: "run"))
    var number: Int64

    @OptionGroup(title: "Output") var output: OutputOptions
    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    mutating func run() throws {
        let (id, output) = (number, output)
        try connection.asking("show") { reports in
            guard let run = try await reports.run(id) else {
                complain("there is no run \(id); carillon runs lists them")
                return 1
            }
            let tasks = try await reports.tasks(of: id)
            if output.json {
                emit([JSONText.lines([run.object(inUTC: output.utc, tasks: tasks)])])
                return 0
            }
            let screen = Screen.output
            emit(run.facts(on: screen, inUTC: output.utc))
            for task in tasks {
                emit([""] + task.lines(on: screen, in: output.utc ? nil : run.zone))
            }
            return 0
        }
    }
}

internal import ArgumentParser
internal import Glibc
internal import Reactor
internal import Scheduling
internal import Terminal
internal import Timetable

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a config now, whether it is live or not.",
        usage: "carillon run <name> [<options>]",
        discussion: """
            Asks for a run by timetable.run and prints the number of the request. It is kept while \
            no daemon serves. With --wait: prints the output of each task when it has ended, and \
            its error on stderr, until the run has ended, retries included. Ctrl-C ends the \
            waiting, not the run.

            For example: carillon run report --wait

            Exit codes: 0 asked for, with --wait: done; 10 failed; 11 timed out; 12 cancelled; 13 \
            its daemon died; 14 it did not run; 130 Ctrl-C; 2 to 6 as for serve; 64 bad options, \
            no such config, parameters that don't fit.
            """)

    @Argument(help: ArgumentHelp("A config by its chain_name or id.", valueName: "name"))
    var name: String

    @Option(
        help: ArgumentHelp(
            """
            Instead of its own: rows for a chain of one element, '[["a", 1], ["b", 2]]', or for \
            each element by its chain_id, '{"7": [["a", 1]]}'.
            """, valueName: "json"))
    var parameters: String?

    @Flag(name: .shortAndLong, help: "Follow the run, and exit with its outcome.")
    var wait = false

    @OptionGroup(title: "Output") var output: OutputOptions
    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    mutating func run() throws {
        // Before any thread is started, so that all of them inherit it.
        if wait { Signals.block([SIGINT, SIGTERM]) }
        let (name, parameters, wait, output) = (name, parameters, wait, output)
        try connection.asking("run") { reports in
            let config = try await reports.config(named: name)
            // Heard from here on, so that nothing of the run is missed.
            let following = wait ? try await reports.follow() : nil
            let request = try await reports.requestRun(of: config.id, parameters: parameters)
            guard let following else {
                return try await Self.asked(request, config, reports, output)
            }
            return try await Watch(reports, following, request, config.name, output).follow()
        }
    }

    @LoopActor
    private static func asked(
        _ request: Int64, _ config: (id: Int64, name: String), _ reports: Reports,
        _ output: OutputOptions
    ) async throws -> Int32 {
        if output.json {
            emit([
                JSONText.lines([
                    .object([
                        ("request", .number(request)), ("config", .number(config.id)),
                        ("name", .text(config.name)),
                    ])
                ])
            ])
        } else {
            emit(["request \(request) of \(Plain.line(config.name))"])
        }
        if let state = try await reports.state(ofRequest: request), let why = state.reason {
            say("it waits: \(why)")
        }
        return 0
    }
}

/// Follows the run of a request until it has ended.
@LoopActor
private final class Watch {
    private let reports: Reports
    private let following: Following
    private let request: Int64
    private let name: String
    private let output: OutputOptions
    private let screen = Screen.output
    private var run: RunReport?
    private var shownTasks = 0
    private var isInterrupted = false
    /// All of the run can be read: its worker has said so.
    private var isComplete = false
    /// What had ended before we knew which run is ours.
    private var ended: Set<Int64> = []
    private var patience: EventLoop.TimerID?
    private var said: String?

    init(
        _ reports: Reports, _ following: Following, _ request: Int64, _ name: String,
        _ output: OutputOptions
    ) {
        (self.reports, self.following, self.request) = (reports, following, request)
        (self.name, self.output) = (Plain.line(name), output)
    }

    func follow() async throws -> Int32 {
        let signals = try Signals([SIGINT, SIGTERM]) { [self] _ in
            isInterrupted = true
            following.wake()
        }
        defer { signals.cancel() }
        var mayHaveChanged = true
        while true {
            if mayHaveChanged, let code = try await look() { return code }
            let news: News
            do {
                news = try await following.next()
            } catch {
                say(howToGoOn)
                throw error
            }
            if isInterrupted {
                say(howToGoOn)
                return 130
            }
            mayHaveChanged = run.map { news.concerns($0.id) || isComplete } ?? true
            if let run {
                if news.ended.contains(run.id) { isComplete = true }
            } else {
                ended.formUnion(news.ended)
            }
        }
    }

    private var howToGoOn: String {
        guard let run else {
            return "request \(request) stays: carillon runs \(name) shows its run when it begins"
        }
        return "run \(run.id) goes on: carillon show \(run.id), or carillon cancel \(run.id)"
    }

    /// Shows what is new; the exit code when the run has ended.
    private func look() async throws -> Int32? {
        guard let run = try await reports.run(ofRequest: request) else {
            return try await lookAtRequest()
        }
        if ended.contains(run.id) { isComplete = true }
        ended = []
        if self.run == nil { say("run \(run.id) of \(name) began on \(run.worker ?? "a worker")") }
        self.run = run
        let tasks = try await reports.tasks(of: run.id)
        if !output.json {
            for task in tasks.dropFirst(shownTasks) { show(task) }
            shownTasks = max(shownTasks, tasks.count)
        }
        sayOnce(
            run.state == "WAITING"
                ? run.retryAt.map {
                    "attempt \(run.attempt) has failed; the next is at "
                        + $0.shown(in: output.utc ? nil : run.zone)
                } : nil)
        guard run.hasEnded else {
            isComplete = false
            return nil
        }
        // The end is committed with the work of the chain, a moment before the log of its tasks.
        guard isComplete else {
            waitForTheLog()
            return nil
        }
        if output.json {
            emit([JSONText.lines([run.object(inUTC: output.utc, tasks: tasks)])])
        }
        say(run.ending)
        return run.exitCode
    }

    /// Its worker may have died in this moment: then what there is has to do.
    private func waitForTheLog() {
        guard patience == nil else { return }
        patience = EventLoop.shared.after(.seconds(2)) { [self] in
            isComplete = true
            following.wake()
        }
    }

    private func lookAtRequest() async throws -> Int32? {
        guard let state = try await reports.state(ofRequest: request) else {
            say("request \(request) is gone: somebody has deleted it")
            return 14
        }
        if state.isTaken, state.isConfigGone {
            say("request \(request) was not run: its config is gone")
            return 14
        }
        sayOnce(state.reason.map { "it waits: \($0)" })
        return nil
    }

    private func sayOnce(_ message: String?) {
        guard let message, message != said else { return }
        said = message
        say(message)
    }

    private func show(_ task: TaskReport) {
        if let output = task.output, !output.isEmpty {
            emit([withoutLastLineEnd(screen.block(output))])
        }
        if let error = task.error, !error.isEmpty {
            say("\(Plain.line(task.name)): \(withoutLastLineEnd(error))")
        }
    }
}

private func withoutLastLineEnd(_ text: String) -> String {
    text.hasSuffix("\n") ? String(text.dropLast()) : text
}

extension RunReport {
    /// How it ended, in one line.
    var ending: String {
        let took = tookMicroseconds.map { " after \(Span.words(microseconds: $0))" } ?? ""
        let why = shownReason.map { ": \($0)" } ?? ""
        let words =
            switch state {
            case "CHAIN_DONE": "done"
            case "CHAIN_FAILED": "failed"
            case "TIMED_OUT": "timed out"
            case "CANCELLED": "was cancelled"
            case "DEAD": "is dead"
            default: "is \(state)"
            }
        return "run \(id) \(words)\(took)\(why)"
    }

    var exitCode: Int32 {
        switch state {
        case "CHAIN_DONE": 0
        case "CHAIN_FAILED": 10
        case "TIMED_OUT": 11
        case "CANCELLED": 12
        case "DEAD": 13
        default: 14
        }
    }
}

struct Cancel: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Cancel a run that is under way or waits for its next attempt.",
        usage: "carillon cancel <run> [<options>]",
        discussion: """
            Statements are cancelled, programs are ended, and the run is recorded as CANCELLED \
            with who asked for it and why.

            For example: carillon cancel 42 --reason 'it blocks the release'

            Exit codes: 0 asked for; 1 the run had ended already; 2 to 6 as for serve; 64 bad \
            options, no such run.
            """)

    @Argument(
        help: ArgumentHelp("The number of a run, as carillon runs lists it.", valueName: "run"))
    var number: Int64

    @Option(help: ArgumentHelp("Why, for the record.", valueName: "text"))
    var reason: String?

    @OptionGroup(title: "Output") var output: OutputOptions
    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    mutating func run() throws {
        let (number, reason, output) = (number, reason, output)
        try connection.asking("cancel") { reports in
            let isAsked = try await reports.cancel(number, reason: reason)
            let run = try await reports.run(number)
            if output.json {
                emit([JSONText.lines([run].compactMap { $0?.object(inUTC: output.utc) })])
            }
            guard isAsked else {
                complain(run.map { "\($0.ending), before it could be cancelled" } ?? "it has ended")
                return 1
            }
            if !output.json { emit(["run \(number) is being cancelled"]) }
            return 0
        }
    }
}

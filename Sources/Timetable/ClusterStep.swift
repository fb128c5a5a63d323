internal import Glibc
internal import Programs
internal import Reactor

/// A program on the way to a running private server: it has a limit, and ends when we stop.
struct ClusterStep: Sendable {
    /// How long a program may take to end after SIGTERM.
    private static let stopGrace: Duration = .seconds(5)

    let invocation: Invocation
    let limit: Duration

    init(_ program: String, _ arguments: [String], limit: Duration = .seconds(10)) {
        // Nothing of ours leads the programs to another cluster, and all of them speak English.
        var environment = ["LC_ALL=C"]
        let standard = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment.append("PATH=" + (ProcessID.variable("PATH").map { $0 + ":" } ?? "") + standard)
        // The zone that a new cluster gets for its own.
        if let zone = ProcessID.variable("TZ") { environment.append("TZ=\(zone)") }
        invocation = Invocation(program: program, arguments: arguments, environment: environment)
        self.limit = limit
    }

    /// Starts it, to be watched by the caller.
    @LoopActor
    func start() throws(StartFailure) -> Program {
        do throws(SpawnError) {
            return try Program.start(invocation)
        } catch {
            throw StartFailure(.other, "\(error)")
        }
    }

    /// Runs it to its end. Throws when it takes too long or when `stopping` opens.
    @LoopActor
    func run(until stopping: Gate) async throws(StartFailure) -> Completion {
        let program = try start()
        let stop = stopping.whenOpen { program.stop(grace: Self.stopGrace) }
        var isLate = false
        let timer = EventLoop.shared.after(limit) {
            isLate = true
            program.stop(grace: Self.stopGrace)
        }
        let completion = await program.completion()
        EventLoop.shared.cancelTimer(timer)
        stopping.forget(stop)
        if stopping.isOpen { throw .stopped }
        if isLate {
            throw StartFailure(
                .other, "\(invocation.program) did not end within \(limit) and was stopped")
        }
        return completion
    }

    /// The same for a step that must succeed: else the failure begins with `what` and ends with
    /// what the program said last.
    @LoopActor
    @discardableResult
    func succeed(
        _ what: String, until stopping: Gate
    ) async throws(StartFailure) -> Completion {
        let completion = try await run(until: stopping)
        guard completion.ending == .exited(code: 0) else {
            throw StartFailure(.other, "\(what): \(completion.lastWords)")
        }
        return completion
    }
}

extension StartFailure {
    /// No failure at all: we were told to stop before we had begun.
    static let stopped = StartFailure(.other, "stopped while it was starting")
}

extension Completion {
    /// How it ended and why, in one line: what a server calls fatal, else its last lines.
    var lastWords: String {
        let how =
            switch ending {
            case .exited(let code): "exit code \(code)"
            case .signalled(let signal): "ended by signal \(signal)"
            case .lost: "nobody knows how"
            }
        let lines = error.text.split(whereSeparator: \.isNewline)
        let serious = lines.filter { line in Self.isSerious(line) }
        let words = (serious.isEmpty ? lines : serious).suffix(3).map(Self.withoutPrefix)
        return ([how] + (words.isEmpty ? [] : [words.joined(separator: "; ")]))
            .joined(separator: ", ")
    }

    /// What stands before the text of a message: time, process and severity are of no use here.
    private static let severities = ["FATAL:  ", "PANIC:  ", "LOG:  ", "error: "]

    private static func isSerious(_ line: Substring) -> Bool {
        // What is wrong in postgresql.conf comes as LOG, before a FATAL that does not say it.
        let isSetting = [
            "invalid value for parameter", "unrecognized configuration", "syntax error",
        ]
        .contains { line.contains($0) }
        return isSetting || severities.contains { $0 != "LOG:  " && line.contains($0) }
    }

    private static func withoutPrefix(_ line: Substring) -> Substring {
        for severity in severities {
            if let range = line.firstRange(of: severity) { return line[range.upperBound...] }
        }
        return line
    }
}

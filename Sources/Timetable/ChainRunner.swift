internal import Logging
internal import Postgres
internal import Programs
internal import Reactor
internal import Timing

/// What a chain runner needs of its daemon.
@LoopActor
struct RunContext {
    let worker: String
    let pool: SessionPool
    let log: RunLog
    let logger: Logger
    let settings: Settings
}

/// Runs one chain from its first element to its recorded end.
@LoopActor
final class ChainRunner {
    let run: Run
    let context: RunContext

    /// The session of the chain's transaction, from its first SQL task on.
    var session: Connection?
    /// Set when CHAIN_DONE was committed with the chain's own work.
    var isRecorded = false
    private(set) var cancelReason: String?
    private var hasEnded = false
    /// Stops what is under way right now.
    var stopCurrent: (@LoopActor () -> Void)?

    init(_ run: Run, _ context: RunContext) {
        self.run = run
        self.context = context
    }

    /// Runs the chain; returns the state that its run has in the end.
    func execute() async -> String? {
        context.logger.debug("executing chain with id: \(run.chain)", metadata: metadata)
        var end = RunEnd(run: run.id, status: .done)
        do throws(TaskFailure) {
            if let malformed = run.malformed { throw TaskFailure(malformed) }
            for (index, element) in run.elements.enumerated() {
                try await perform(element, isLast: index == run.elements.count - 1)
            }
            try await commitIfOpen()
        } catch {
            await abandonTransaction()
            end = failedEnd(error)
        }
        hasEnded = true
        giveBackSession()
        if isRecorded, end.status == .done { return RunEnd.Status.done.rawValue }
        let state = await context.log.end(end)
        report(end, state)
        return state
    }

    /// Ends the run early: the statement is cancelled, the program's group is stopped.
    func cancel(_ reason: String) {
        guard cancelReason == nil else { return }
        cancelReason = reason
        insist()
    }

    /// A cancel may come between two statements and hit nothing: so until the run has ended.
    private func insist() {
        guard !hasEnded else { return }
        stopCurrent?()
        _ = EventLoop.shared.after(.milliseconds(500)) { [weak self] in self?.insist() }
    }

    var isCancelled: Bool { cancelReason != nil }

    var metadata: Logger.Metadata { ["run": "\(run.id)", "config": "\(run.config)"] }

    private func failedEnd(_ failure: TaskFailure) -> RunEnd {
        var end = RunEnd(run: run.id, status: .failed)
        end.error = failure.message
        end.sqlstate = failure.sqlstate
        if let cancelReason {
            end.status = .cancelled
            end.error = cancelReason
        }
        return end
    }

    private func report(_ end: RunEnd, _ state: String?) {
        guard end.status != .done else { return }
        if state == RunEnd.Status.done.rawValue {
            // The connection was lost after its COMMIT had happened.
            context.logger.info("the run is done; only the answer was lost", metadata: metadata)
            return
        }
        context.logger.error(
            "chain \(run.chain) failed: \(end.error ?? "")", metadata: metadata)
    }

    // MARK: Elements

    private func perform(_ element: Element, isLast: Bool) async throws(TaskFailure) {
        try element.checkSupported()
        var firstFailure: TaskFailure?
        for (index, parameter) in element.parameters.enumerated() {
            if let cancelReason { throw TaskFailure(cancelReason) }
            let isFinal = isLast && index == element.parameters.count - 1
            do throws(TaskFailure) {
                try await invoke(element, parameter, isFinal: isFinal)
            } catch {
                if error.isUncertain || isCancelled { throw error }
                // A failed SQL statement without a savepoint has failed the transaction too.
                if element.kind == .sql, !element.ignoreError { throw error }
                firstFailure = firstFailure ?? error
            }
        }
        if let firstFailure, !element.ignoreError { throw firstFailure }
    }

    private func invoke(
        _ element: Element, _ parameter: Parameter?, isFinal: Bool
    ) async throws(TaskFailure) {
        context.logger.debug(
            "executing task: \(element.name) \(element.kind.rawValue) \(parameter?.redacted ?? "[]")",
            metadata: metadata)
        var execution = Execution(
            run: run.id, config: run.config, element: element, parameter: parameter, began: .now(),
            ended: .now())
        do throws(TaskFailure) {
            switch element.kind {
            case .sql:
                try await runSQL(element, parameter, isFinal: isFinal, &execution)
            case .program:
                try await runProgram(element, parameter, &execution)
            case .builtIn:
                try await runBuiltIn(element, parameter, &execution)
            }
            execution.returnCode = execution.returnCode ?? 0
            execution.ended = .now()
            context.log.add(execution)
            context.logger.debug("task executed successfully: \(element.name)", metadata: metadata)
        } catch {
            execution.ended = .now()
            execution.error = execution.error.map { "\(error.message)\n\($0)" } ?? error.message
            execution.sqlstate = error.sqlstate
            execution.returnCode = error.returnCode ?? execution.returnCode ?? 1
            context.log.add(execution)
            if element.ignoreError {
                context.logger.notice(
                    "task \(element.name) failed, and is told to be ignored: \(error.message)",
                    metadata: metadata)
            }
            throw error
        }
    }
}

extension Element {
    /// Throws for what later versions will do: it must not be done wrongly.
    fileprivate func checkSupported() throws(TaskFailure) {
        let missing = [
            runUID == nil ? nil : "run_uid",
            connectString == nil ? nil : "database_connection",
            autonomous ? "autonomous" : nil,
            timeoutMicroseconds == nil ? nil : "timeout",
        ].compactMap(\.self)
        guard missing.isEmpty else {
            throw TaskFailure(
                "task '\(name)' uses what this version does not do yet: "
                    + missing.joined(separator: ", "))
        }
    }
}

internal import Logging
internal import Postgres
internal import Programs
internal import Reactor
internal import Timing

/// What a chain runner needs of its daemon.
@LoopActor
struct RunContext {
    let worker: String
    let pools: SessionPools
    let log: RunLog
    let logger: Logger
    let settings: Settings
    /// Whether the ends of a config's runs have to be told to all: by now, since it may have become
    /// `@after` after the claim.
    let wakes: @LoopActor (Int64) -> Bool
    /// Asks the daemon to end, after the runs under way.
    let shutDown: @LoopActor () -> Void
    /// What to wait for while nobody knows whether our runs are still ours; nil: they are.
    let doubt: @LoopActor () -> Gate?
}

/// Runs one chain from its first element to its recorded end.
@LoopActor
final class ChainRunner {
    let run: Run
    let context: RunContext

    /// What is held in the databases of the chain, from its first SQL task on.
    var databases: [ChainDatabase] = []
    /// Set when CHAIN_DONE was committed with the chain's own work.
    var isRecorded = false
    /// What the server said during the invocation under way.
    var notices: CapturedOutput
    /// Stops what is under way right now; called again until it has ended.
    var stopCurrent: (@LoopActor () -> Void)?

    /// Why the whole run is to end early.
    private var stopOfRun: StopReason?
    /// Why the invocation under way is to end early.
    private var stopOfTask: StopReason?
    private var hasEnded = false

    init(_ run: Run, _ context: RunContext) {
        self.run = run
        self.context = context
        notices = CapturedOutput(limit: context.settings.outputLimit)
    }

    /// Runs the chain; returns the state that its run has in the end.
    func execute() async -> String? {
        context.logger.debug("executing chain with id: \(run.chain)", metadata: metadata)
        let limit = run.timeLimit.map { limit in
            EventLoop.shared.after(limit) { [weak self] in self?.stop(.timedOut(after: limit)) }
        }
        var end = RunEnd(run: run.id, attempt: run.attempt, status: .done)
        do throws(TaskFailure) {
            if let malformed = run.malformed { throw TaskFailure(malformed) }
            for (index, element) in run.elements.enumerated() {
                try await perform(element, isLast: index == run.elements.count - 1)
            }
            try await commitAll()
        } catch {
            await abandonTransactions()
            end = failedEnd(error)
        }
        hasEnded = true
        if let limit { EventLoop.shared.cancelTimer(limit) }
        giveBackDatabases()
        if isRecorded, end.status == .done { return RunEnd.Status.done.rawValue }
        let state = await context.log.end(end)
        report(end, state)
        return state
    }

    var metadata: Logger.Metadata {
        var fields: Logger.Metadata = ["run": "\(run.id)", "config": "\(run.config)"]
        // 0: it can't be read.
        if run.chain != 0 { fields["chain"] = "\(run.chain)" }
        return fields
    }

    /// With the base task that a line is about.
    func metadata(of element: Element?, sqlstate: String? = nil) -> Logger.Metadata {
        var fields = metadata
        fields["task"] = element.map { "\($0.task)" }
        return fields.adding(sqlstate: sqlstate)
    }

    private func failedEnd(_ failure: TaskFailure) -> RunEnd {
        var end = RunEnd(
            run: run.id, attempt: run.attempt, status: failure.isTimeOut ? .timedOut : .failed)
        end.error = failure.message
        end.sqlstate = failure.sqlstate
        end.element = failure.element
        if let stopOfRun {
            end.status = stopOfRun.status
            end.error = stopOfRun.message
        }
        return end
    }

    private func report(_ end: RunEnd, _ state: String?) {
        guard end.status != .done else { return }
        let metadata = metadata(
            of: run.elements.first { $0.id == end.element }, sqlstate: end.sqlstate)
        switch state {
        case RunEnd.Status.done.rawValue:
            // The connection was lost after its COMMIT had happened.
            context.logger.info("the run is done; only the answer was lost", metadata: metadata)
        case RunEnd.Status.dead.rawValue, RunEnd.Status.taken.rawValue:
            context.logger.error(
                "run \(run.id) was given up: this daemon had been declared dead during it",
                metadata: metadata)
        case RunEnd.Status.waiting.rawValue:
            context.logger.error(
                "attempt \(run.attempt) of chain \(run.chain) failed, and it will be tried again: \(end.error ?? "")",
                metadata: metadata)
        default:
            context.logger.error(
                "chain \(run.chain) failed: \(end.error ?? "")", metadata: metadata)
        }
    }

    // MARK: Stopping

    /// Ends the run early: the statement is cancelled, the program's group is stopped.
    func stop(_ reason: StopReason) {
        guard stopOfRun == nil, !hasEnded else { return }
        stopOfRun = reason
        insist { [weak self] in self?.hasEnded ?? true }
    }

    /// A cancel may come between two statements and hit nothing: so again, until all is over.
    private func insist(until isOver: @escaping @LoopActor () -> Bool) {
        guard !isOver() else { return }
        stopCurrent?()
        _ = EventLoop.shared.after(.milliseconds(200)) { [weak self] in
            self?.insist(until: isOver)
        }
    }

    /// Has `stop` end what is under way from now on: at once when it is to end already.
    func canStop(_ stop: @escaping @LoopActor () -> Void) {
        stopCurrent = stop
        if isStopping { stop() }
    }

    /// Whether what is under way is to end at once.
    var isStopping: Bool { (stopOfRun ?? stopOfTask) != nil }

    /// How long a program that is stopped may take to end by itself.
    var stopGrace: Duration { (stopOfRun ?? stopOfTask)?.grace ?? .zero }

    /// Begins to count the time that one invocation of a task may take.
    private func startTimeLimit(of element: Element) -> EventLoop.TimerID? {
        guard let limit = element.timeLimit else { return nil }
        return EventLoop.shared.after(limit) { [weak self] in
            guard let self else { return }
            stopOfTask = .timedOut(after: limit)
            insist { [weak self] in self?.stopOfTask == nil }
        }
    }

    // MARK: Elements

    /// A daemon that was frozen or cut off may have been declared dead: what goes on in the chain's
    /// transaction would come to nothing, but not a program that is started now.
    func untilUndoubted() async {
        while stopOfRun == nil, let doubt = context.doubt() {
            let end = Gate()
            let id = doubt.whenOpen { end.open() }
            await untilStopped(end)
            doubt.forget(id)
        }
    }

    private func perform(_ element: Element, isLast: Bool) async throws(TaskFailure) {
        var firstFailure: TaskFailure?
        let count = element.parameters.count
        for (index, parameter) in element.parameters.enumerated() {
            await untilUndoubted()
            if let stopOfRun { throw TaskFailure(stopOfRun.message) }
            let isFinal = isLast && index == count - 1
            do throws(TaskFailure) {
                try await invoke(element, parameter, isFinal: isFinal)
            } catch {
                var failure = error
                failure.element = element.id
                if count > 1 { failure.message += "\nWith row \(index + 1) of \(count)" }
                if failure.isUncertain || stopOfRun != nil { throw failure }
                // A failed SQL statement without a savepoint has failed the transaction too.
                if element.usesDatabase, !element.ignoreError { throw failure }
                firstFailure = firstFailure ?? failure
            }
        }
        if let firstFailure, !element.ignoreError { throw firstFailure }
    }

    private func invoke(
        _ element: Element, _ parameter: Parameter?, isFinal: Bool
    ) async throws(TaskFailure) {
        context.logger.debug(
            "executing task: \(element.name) \(element.kind.rawValue) \(parameter?.redacted ?? "[]")",
            metadata: metadata(of: element))
        var execution = execution(of: element, parameter)
        notices = CapturedOutput(limit: context.settings.outputLimit)
        let limit = startTimeLimit(of: element)
        defer {
            if let limit { EventLoop.shared.cancelTimer(limit) }
            stopOfTask = nil
        }
        do throws(TaskFailure) {
            switch element.kind {
            case .sql:
                try await runSQL(element, parameter, isFinal: isFinal, &execution)
            case .program:
                try await runProgram(element, parameter, &execution)
            case .builtIn:
                try await runBuiltIn(element, parameter, &execution)
            }
            execution.succeed(notices: notices.text)
            context.log.add(execution)
            context.logger.debug(
                "task executed successfully: \(element.name)", metadata: metadata(of: element))
        } catch {
            let failure = explained(error)
            execution.fail(failure, notices: notices.text)
            context.log.add(execution)
            if element.ignoreError, stopOfRun == nil {
                context.logger.notice(
                    "task \(element.name) failed, and is told to be ignored: \(failure.message)",
                    metadata: metadata(of: element, sqlstate: failure.sqlstate))
            }
            throw failure
        }
    }

    /// A failure that only follows from our stopping it is told as what it is.
    private func explained(_ failure: TaskFailure) -> TaskFailure {
        guard let stop = stopOfRun ?? stopOfTask, !failure.isUncertain else { return failure }
        var explained = failure
        explained.message = stop.message
        explained.isTimeOut = stop.status == .timedOut
        return explained
    }

    private func execution(of element: Element, _ parameter: Parameter?) -> Execution {
        Execution(
            run: run.id, config: run.config, attempt: run.attempt, element: element,
            parameter: parameter, began: .now(), ended: .now())
    }

    /// A step that is ours and no element's, recorded with the element that it belongs to.
    func execution(of element: Element?, script: String) -> Execution? {
        guard var element else { return nil }
        element.script = script
        return execution(of: element, nil)
    }
}

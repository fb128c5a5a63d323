internal import DequeModule
internal import Logging
internal import Postgres
internal import Reactor
internal import Scheduling
internal import Systemd

extension Daemon {
    /// Starts what is claimed, as many at once as the settings allow.
    func startReady() {
        while active.count < settings.maxRuns, let run = ready.popFirst() {
            begin(run)
        }
        updateStatus()
    }

    @discardableResult
    private func begin(_ run: Run) -> ChainRunner {
        let runner = ChainRunner(
            run,
            RunContext(
                worker: settings.name, pools: pools, log: log, logger: logger, settings: settings,
                wakes: { [unowned self] in planner.isAfter($0) },
                shutDown: { [unowned self] in
                    logger.notice(
                        "run \(run.id) shuts this worker down",
                        metadata: ["run": "\(run.id)", "config": "\(run.config)"])
                    stop()
                },
                doubt: { [unowned self] in currentDoubt() }))
        active[run.key] = runner
        log.changed(run: run.id, hasEnded: false)
        start { await self.execute(runner) }
        return runner
    }

    private func execute(_ runner: ChainRunner) async {
        _ = await runner.execute()
        active[runner.run.key] = nil
        log.changed(run: runner.run.id, hasEnded: true)
        handle(.ended(config: runner.run.config))
        startReady()
        countEnd()
        if stopping.isOpen, active.isEmpty, ready.isEmpty { drained.open() }
    }

    /// All that we claimed and that has not ended.
    var knownRuns: [Int64] { active.values.map(\.run.id) + ready.map(\.id) }

    // MARK: Cancelling

    /// Somebody asked to cancel a run: when it is ours, the database tells whether he may.
    func cancelAsked(_ payload: String) {
        guard let run = Int64(payload) else { return }
        changes.add(cancel: run)
        readChanges()
    }

    /// Stops those of these runs for which a cancel is written down.
    func lookForCancels(_ runs: [Int64]) {
        guard let link, !runs.isEmpty else {  // connecting looks at all
            changes.isReadingCancels = false
            return
        }
        link.claims.send(
            [Command(Statements.cancelRequests, [runs.arrayLiteral])],
            deadline: Self.claimDeadline
        ) { [weak self] outcome in
            guard let self, let rows = answer(outcome, of: "cancels", link)?.first else { return }
            changes.isReadingCancels = false
            defer { readChanges() }
            for row in 0..<rows.count {
                guard let run = rows.integer(row, 0) else { continue }
                cancel(run, rows.text(row, 1) ?? "cancelled")
            }
        }
    }

    private func cancel(_ id: Int64, _ reason: String) {
        logger.notice("cancelling run \(id): \(reason)", metadata: ["run": "\(id)"])
        let running = active.values.filter { $0.run.id == id }
        guard running.isEmpty else {
            for runner in running { runner.stop(.cancelled(reason)) }
            return
        }
        guard let index = ready.firstIndex(where: { $0.id == id }) else { return }
        // It has its turn at once, to be recorded as cancelled.
        begin(ready.remove(at: index)).stop(.cancelled(reason))
    }

    // MARK: Stopping

    /// No new claims; what runs may end, up to the drain timeout; then all is cancelled.
    public func stop() {
        guard !stopping.isOpen else { return }
        stopping.open()
        handle(.stopped)
        sayStopping()
        start { await self.drain() }
    }

    private func drain() async {
        if active.isEmpty, ready.isEmpty {
            drained.open()
        } else {
            logger.info("stopping: waiting for \(active.count + ready.count) runs to end")
        }
        let timer = EventLoop.shared.after(settings.drainTimeout) { [weak self] in
            self?.cancelAll("the daemon stopped, and the run did not end in time")
        }
        await drained.waitUninterrupted()
        EventLoop.shared.cancelTimer(timer)
        logger.info("stopped")
        finish()
    }

    /// Ends every run now: statements are cancelled, programs stopped, and both recorded.
    func cancelAll(_ reason: String) {
        logger.notice("cancelling \(active.count + ready.count) runs: \(reason)")
        for runner in active.values { runner.stop(.shutDown(reason)) }
        // Those that wait for their turn get it, to be recorded as cancelled.
        for run in ready {
            begin(run).stop(.shutDown(reason))
        }
        ready.removeAll()
        // Longer than any kill sequence: then whatever hangs is left to the operating system.
        _ = EventLoop.shared.after(.seconds(15)) { [weak self] in
            self?.drained.open()
        }
    }
}

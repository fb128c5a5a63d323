internal import DequeModule
internal import Logging
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
                worker: settings.name, pool: pool, log: log, logger: logger, settings: settings))
        active[run.id] = runner
        start { await self.execute(runner) }
        return runner
    }

    private func execute(_ runner: ChainRunner) async {
        _ = await runner.execute()
        active[runner.run.id] = nil
        handle(.ended(config: runner.run.config))
        startReady()
        if stopping.isOpen, active.isEmpty, ready.isEmpty { drained.open() }
    }

    // MARK: Stopping

    /// No new claims; what runs may end, up to the drain timeout; then all is cancelled.
    func stop() {
        guard !stopping.isOpen else { return }
        stopping.open()
        handle(.stopped)
        notifier.stopping()
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
        for runner in active.values { runner.cancel(reason) }
        // Those that wait for their turn get it, to be recorded as cancelled.
        for run in ready {
            begin(run).cancel(reason)
        }
        ready.removeAll()
        // Longer than any kill sequence: then whatever hangs is left to the operating system.
        _ = EventLoop.shared.after(.seconds(15)) { [weak self] in
            self?.drained.open()
        }
    }
}

internal import Logging
internal import Reactor
internal import Scheduling
internal import Systemd
internal import Timing

/// What the service manager is told, sd_notify(3): how we are, and that we need longer.
extension Daemon {
    /// How much longer a start or a stop may take, asked for again before that has passed.
    private static let moreTime: Duration = .seconds(15)
    /// How much of the last problem is shown.
    private static let problemLength = 160

    // MARK: Watchdog

    /// Tells it as often as it wants, while we are well; cancelled by its owner.
    func startWatchdog() -> Repeating? {
        guard let interval = notifier.watchdogInterval else { return nil }
        let half = Duration.microseconds(Int64(clamping: interval / 2))
        return Repeating(every: max(half, .milliseconds(10))) { [weak self] in
            guard let self else { return }
            if health.isWell(at: .now(), isConnected: link != nil) {
                notifier.watchdog()
            } else {
                logger.critical("not well: \(stateText)")
            }
        }
    }

    // MARK: Start and stop

    /// The listener stands and all is read, or we stand by.
    func sayReady() {
        isReady = true
        notifier.ready(status: statusText)
    }

    /// Asks for more time until we are ready, as long as connecting makes progress (the database
    /// may be away), and again while we stop, within the bounds of all that is waited for then.
    func startExtending() -> Repeating {
        needLonger()
        return Repeating(every: Self.moreTime / 3) { [weak self] in
            guard let self else { return }
            if let stopDeadline {
                if MonotonicInstant.now() < stopDeadline { needLonger() }
            } else if !isReady, isInLongStep || health.isWell(at: .now(), isConnected: false) {
                needLonger()
            }
        }
    }

    /// The service manager is told that we stop, and when we have to have.
    func sayStopping() {
        notifier.stopping()
        notifier.status(statusText)
        // Runs that hang 15 s, the log 10 s, the peers 5 s, a private server 75 s.
        let rest: Duration = settings.embeddedDirectory == nil ? .seconds(30) : .seconds(105)
        stopDeadline = .now().advanced(by: settings.drainTimeout + rest)
        needLonger()
    }

    private func needLonger() {
        notifier.extendTimeout(by: Self.moreTime)
    }

    // MARK: Reload

    /// SIGHUP: settings, time zones and configs are read anew.
    func reload() {
        logger.info("SIGHUP: reading settings, time zones and all configs anew")
        // Else the end of it would be taken for that of the start.
        if isReady {
            notifier.reloading()
            isReloading = true
        }
        reloadSettings()
        zones.forgetAll()
        changes.everything = true
        // Connecting reads everything anyway.
        if link == nil { reloaded() } else { readChanges() }
    }

    /// All is read: ends a reload, if one is under way.
    func reloaded() {
        guard isReloading else { return }
        isReloading = false
        notifier.ready(status: statusText)
        logger.info("reloaded: \(planner.configCount) schedules")
    }

    private func reloadSettings() {
        do throws(StartFailure) {
            guard let read = try rereadSettings() else { return }
            for name in settings.takeReloadable(of: read) {
                logger.notice("\(name) is another now, which needs a restart")
            }
            levels.console = settings.logLevel
            levels.database = settings.databaseLogLevel
        } catch {
            logger.error("the settings stay as they were: \(error.message)")
        }
    }

    // MARK: Status

    /// Tells the service manager how we are, at most once a second.
    func updateStatus() {
        guard statusTimer == nil else { return }
        statusTimer = EventLoop.shared.after(.seconds(1)) { [weak self] in
            guard let self else { return }
            statusTimer = nil
            notifier.status(statusText)
        }
    }

    var statusText: String {
        guard let problem = lastProblem else { return stateText }
        let text = problem.text.prefix(Self.problemLength)
        let end = text.endIndex < problem.text.endIndex ? "…" : ""
        return "\(stateText); last problem at \(problem.at.rfc3339): \(text)\(end)"
    }

    private var stateText: String {
        guard !stopping.isOpen else { return "stopping, \(active.count + ready.count) runs left" }
        if isStandingBy { return "standing by for the worker \(settings.name)" }
        guard link != nil else { return "not connected to the database" }
        let next = planner.nextFire.map { "next fire \($0.rfc3339)" } ?? "nothing scheduled"
        return "\(planner.configCount) schedules, \(next), \(active.count) running"
    }
}

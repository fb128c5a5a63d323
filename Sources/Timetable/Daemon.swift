internal import DequeModule
internal import Glibc
internal import Logging
internal import Postgres
public import Reactor
internal import Scheduling
internal import Systemd
internal import Timing

/// One worker: joins the planner's decisions to their effects.
///
/// Everything happens on the loop. Events come from the timer, the LISTEN session, the claims and
/// the runs; each goes through the planner, whose effects are performed at once.
@LoopActor
public final class Daemon {
    typealias Job = @Sendable @LoopActor () async -> Void

    var settings: Settings
    /// Reads the settings again; nil: there is no file of them.
    let rereadSettings: () throws(StartFailure) -> Settings?
    let levels: LogLevels
    let logger: Logger
    private let form: any LogForm
    let notifier = Notifier()
    let zones = Zones()
    let channel: String

    var planner = Planner()
    var offset = ClockOffset()
    /// Microseconds by which our wall clock is ahead of the time since boot.
    private var wallAhead: Int64?
    var timer: WallTimer?
    /// Both sessions that scheduling needs; nil while there is no connection.
    var link: Link?
    /// All open sessions by server process, to tell ours from those of an earlier life.
    var backends: Set<Int32> = []
    var changes = PendingChanges()
    /// Whether our runs are still ours, and what those wait for that doubt it.
    var lease = Lease()
    var doubt: Gate?
    /// How we share what is due with our peers.
    var shares: Shares
    /// Workers that we are declaring dead.
    var burials: Set<String> = []
    /// The last session that held our name, and when its server process started.
    var formerControl: (pid: Int32, start: String)?
    var isStandingBy = false
    /// Whether sessions for tasks may ask the server to look whether we are still there.
    var serverChecksClients = false
    /// Requests that found no room when we asked: another worker's may wait for our runs.
    var waitedHere: Set<Int64> = []

    /// Runs under way, and those that wait for their turn in the order of their fire times.
    var active: [Run.Key: ChainRunner] = [:]
    var ready = Deque<Run>()
    /// Open when nothing is under way, from the moment at which we stop.
    let drained = Gate()

    /// Open from the moment at which all schedules have been read for the first time.
    let serving = Gate()
    /// Open from the moment at which we are told to stop.
    let stopping = Gate()
    var failure: StartFailure?
    var hasServed = false
    private(set) var isFinished = false

    /// The private server, when we serve one.
    private(set) var embedded: EmbeddedServer?

    let pruning = PruningState()

    /// Configs that can't be scheduled, by id, with the reason that was told.
    var problems: [Int64: String] = [:]
    private let jobs = Inbox<Job>()
    private var signals: Signals?
    var statusTimer: EventLoop.TimerID?
    var health = Health(now: .now())
    /// The last error, for the service manager's status.
    var lastProblem: (text: String, at: WallInstant)?
    /// The service manager was told so.
    var isReady = false
    var isReloading = false
    /// A step of starting with bounds of its own, above those of `Health`.
    var isInLongStep = false
    /// When all that is waited for while we stop will have ended.
    var stopDeadline: MonotonicInstant?
    private(set) lazy var log = RunLog(worker: settings.name) {
        [unowned self] () throws(PostgresError) in
        try await openSession("log")
    }
    private(set) lazy var pools = SessionPools(
        own: SessionPool(
            limit: settings.sqlConnections, idleLimit: settings.sqlIdleTimeout
        ) {
            [unowned self] () throws(PostgresError) in
            try await openSession("run", isForTasks: true)
        } forget: { [unowned self] session in
            forget(session)
        }, limit: settings.sqlConnections, idleLimit: settings.sqlIdleTimeout,
        worker: settings.name)

    /// `reread` gives the settings as they are now, when SIGHUP asks for that.
    public init(
        _ settings: Settings,
        reread: @escaping () throws(StartFailure) -> Settings? = { () throws(StartFailure) in nil }
    ) {
        self.settings = settings
        rereadSettings = reread
        shares = Shares(own: settings.name)
        channel = Self.channel(of: settings.name)
        let levels = LogLevels(console: settings.logLevel, database: settings.databaseLogLevel)
        self.levels = levels
        let sink = LogSink()
        let log = DaemonLog(
            worker: settings.name, levels: levels, format: settings.logFormat
        ) { sink.write($0, $1) }
        form = log.form
        logger = Logger(label: "carillon") { _ in log }
        sink.target = { [weak self] level, text in
            if level >= .error { self?.lastProblem = (text, .now()) }
            if level >= levels.database { self?.log.addLine(level.seedName, text) }
        }
    }

    /// Serves until a signal ends it; returns when all is written. Throws why it could not begin.
    ///
    /// SIGTERM and SIGINT drain and end, a second one cancels at once; SIGHUP reads all anew. They
    /// must have been blocked with `Signals.block` before any thread was started.
    public func serve() async throws(StartFailure) {
        do throws(StartFailure) {
            try await serveToTheEnd()
        } catch {
            await form.finish()
            throw error
        }
        await form.finish()
    }

    private func serveToTheEnd() async throws(StartFailure) {
        do throws(SystemError) {
            signals = try Signals([SIGTERM, SIGINT, SIGHUP]) { [unowned self] in received($0) }
            timer = try WallTimer { [unowned self] in timerFired($0) }
        } catch {
            throw StartFailure(.other, "the daemon can't watch signals or time: \(error)")
        }
        let watchdog = startWatchdog()
        let extending = startExtending()
        defer {
            extending.cancel()
            signals?.cancel()
            timer?.cancel()
            watchdog?.cancel()
        }
        log.onTrouble = { [unowned self] in
            logger.error(
                "ends and logs of runs wait for the database: \($0)", metadata: $0.metadata)
        }
        log.onLoss = { [unowned self] in logger.error("\($0)") }
        guard try await startEmbedded() else { return }
        watchZones()
        await withDiscardingTaskGroup { group in
            // The log outlives everything else: it is closed when all others are done.
            group.addTask { await self.log.run() }
            group.addTask { await self.keepConnected() }
            if let embedded { group.addTask { await embedded.watch(until: self.stopping) } }
            while !isFinished {
                let job = await jobs.next()
                group.addTask { await job() }
            }
        }
        pools.closeIdle()
        await sayStopped()
        link?.close()
        await embedded?.stop()
        if let failure { throw failure }
    }

    /// Starts the private server, if there is to be one; false when we were told to stop meanwhile.
    private func startEmbedded() async throws(StartFailure) -> Bool {
        guard let directory = settings.embeddedDirectory else { return true }
        isInLongStep = true
        defer { isInLongStep = false }
        do throws(StartFailure) {
            embedded = try await EmbeddedServer.start(
                in: directory, sessions: settings.sqlConnections, logger: logger, until: stopping)
            return true
        } catch {
            if stopping.isOpen { return false }
            throw error
        }
    }

    /// Runs `job` as a child of the daemon's task group.
    func start(_ job: @escaping Job) {
        jobs.send(job)
    }

    /// Lets `serve` return as soon as all children are done.
    func finish() {
        guard !isFinished else { return }
        isFinished = true
        log.close()
        jobs.send {}
    }

    // MARK: Events

    /// The database's time.
    var now: WallInstant {
        WallInstant.now().advanced(byMicroseconds: offset.microseconds)
    }

    /// Gives an event to the planner and performs what it decides.
    func handle(_ event: Planner.Event) {
        noticeStep()
        let effects = planner.handle(event, now: now)
        // Before the claims: a later claim would hide from a successor what was missed before.
        let missed = effects.compactMap { effect -> MissedFires? in
            if case .missed(let fires) = effect { fires } else { nil }
        }
        if !missed.isEmpty { record(missed) }
        for effect in effects { perform(effect) }
    }

    private func perform(_ effect: Planner.Effect) {
        switch effect {
        case .claim(let fires): claim(fires)
        case .claimRequests(let requests): claim(requests: requests)
        case .arm(let instant):
            timer?.arm(at: instant?.advanced(byMicroseconds: -offset.microseconds))
        case .lookUp(let configs): lookUpLastClaims(configs)
        case .missed: break  // recorded before
        }
    }

    private func timerFired(_ event: WallTimer.Event) {
        if event == .clockStepped {
            logger.notice("the clock of this host was set; all fire times are looked at again")
            askClock()
        }
        handle(.tick)
    }

    /// Takes back a step of our own clock, which the timer may not have told of yet: what is due
    /// by a clock that is hours off would be claimed, or recorded as missed, all at once.
    func noticeStep() {
        let boot = MonotonicInstant.sinceBoot().nanoseconds / 1_000
        let ahead = WallInstant.now().microseconds - Int64(boot)
        if let wallAhead, abs(ahead - wallAhead) >= Self.leastStep {
            offset.clockStepped(by: ahead - wallAhead)
            // Where the database's clock is ours, it was set, too.
            askClock()
        }
        wallAhead = ahead
    }

    /// Less is the time between the two readings, or made up for by the next answer.
    private static let leastStep: Int64 = 100_000

    private func watchZones() {
        zones.watch { [unowned self] names in
            guard !names.isEmpty else { return logger.debug("zone files changed, but none in use") }
            logger.notice(
                "new rules of \(names.joined(separator: ", ")); all fire times are looked at again")
            changes.everything = true
            readChanges()
        } unwatched: { [unowned self] error in
            logger.warning(
                "zone files can't be watched (\(error)); when they change, send SIGHUP")
        }
    }

    private func received(_ signal: Int32) {
        switch signal {
        case SIGHUP: reload()
        default:
            if stopping.isOpen {
                cancelAll("the daemon was told twice to stop")
            } else {
                stop()
            }
        }
    }
}

/// Takes log lines to the table from wherever they are written.
// Unchecked: set once while the daemon is made, and called on the loop only.
private final class LogSink: @unchecked Sendable {
    var target: (@LoopActor (Logger.Level, String) -> Void)?

    func write(_ level: Logger.Level, _ text: String) {
        guard let target else { return }
        LoopActor.assumeIsolated { target(level, text) }
    }
}

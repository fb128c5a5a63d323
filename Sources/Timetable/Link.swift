internal import Logging
internal import Postgres
internal import Reactor
internal import Scheduling
internal import Systemd
internal import Timing

/// The two sessions that scheduling needs, which live and end together.
@LoopActor
final class Link {
    /// Holds the name lock, LISTENs, reads configs. Never in a transaction.
    let control: Connection
    /// Claims fires and requests.
    let claims: Connection
    /// The time zone of configs that name none.
    let defaultZone: String
    let lostClaims: [LostClaim]
    /// Whether this worker turns raw notifications into requests: one of all does.
    var takesNotifications = false
    let lost = Gate()
    /// The server answered, and did not do what it was asked.
    var isRefused = false
    /// Set while a heartbeat waits for its echo.
    var awaitedEcho: String?
    /// Nil while one is under way.
    var nextBeat: EventLoop.TimerID?
    /// Somebody came or went while one was under way.
    var beatsAgain = false
    var peers = Peers()

    init(
        control: Connection, claims: Connection, defaultZone: String,
        lost: [LostClaim]
    ) {
        lostClaims = lost
        self.control = control
        self.claims = claims
        self.defaultZone = defaultZone
        for session in [control, claims] {
            let previous = session.onEnd
            session.onEnd = { [weak self] error in
                previous?(error)
                self?.close()
            }
        }
    }

    /// Claims, records and look-ups that are under way.
    private var underWay = 0
    /// Claims that others may make first.
    var heldCount = 0
    /// Told when one has been answered.
    var onAnswer: (@LoopActor () -> Void)?

    /// Whether what is only hinted at should be asked for now: a flood of hints then becomes a few
    /// questions, and keeps nothing else waiting.
    var hasRoom: Bool { underWay < 4 }

    /// Sends what was given out, for `settled` to know of.
    func ask(
        _ commands: [Command], deadline: Duration,
        answer: @escaping @LoopActor (Connection.Outcome) -> Void
    ) {
        underWay += 1
        claims.send(commands, deadline: deadline) { [weak self] outcome in
            answer(outcome)
            guard let self else { return }
            underWay -= 1
            onAnswer?()
        }
    }

    /// Up to where all that was due was claimed for sure, after a restart also: nil while some of
    /// it is under way. Instants before the year 1 count as nil.
    func settled(_ givenOutThrough: WallInstant?) -> WallInstant? {
        guard underWay == 0, heldCount == 0, let givenOutThrough,
            givenOutThrough != .distantPast
        else {
            return nil
        }
        return givenOutThrough
    }

    func close() {
        guard !lost.isOpen else { return }
        lost.open()
        control.close()
        claims.close()
    }
}

extension Daemon {
    private static let pageSize = 20_000
    private static let readDeadline: Duration = .seconds(60)
    /// With its jitter 5 s: by then the peers of a worker expect it back.
    private static let longestDelay: Duration = .milliseconds(3_300)
    private static let touchInterval: Duration = .seconds(2)

    /// Connects, serves while it lasts, and connects again, until we stop.
    func keepConnected() async {
        var delay: Duration = .milliseconds(50)
        while !stopping.isOpen {
            do throws(StartFailure) {
                let link = try await connect()
                await stopping.wait(orFor: link.lost)
                await disconnected(link)
                if !link.isRefused { delay = .milliseconds(50) }
            } catch {
                if !mayRetry(error) {
                    if !stopping.isOpen { failure = error }
                    stop()
                    return
                }
                logger.error("\(error.message); trying again")
                if !hasServed { needLonger() }
            }
            if stopping.isOpen { return }
            // Jitter, so that many workers do not come back in the same instant.
            let jitter = Int64.random(in: 0...delay.wholeMicroseconds / 2)
            await stopping.wait(atMost: delay + .microseconds(jitter))
            delay = min(delay * 2, Self.longestDelay)
        }
    }

    private func mayRetry(_ error: StartFailure) -> Bool {
        if hasServed { return error.reason != .schema && error.reason != .nameInUse }
        return settings.waitsForDatabase && error.reason != .schema && error.reason != .nameInUse
    }

    private func disconnected(_ link: Link) async {
        // When we stop, the link stays for the claims that are under way.
        guard link.lost.isOpen else { return }
        self.link = nil
        lease.disconnect(at: .sinceBoot())
        handle(.disconnected)
        let reason = link.control.ended ?? link.claims.ended
        logger.error("connection to the database lost: \(reason.map { "\($0)" } ?? "")")
        updateStatus()
    }

    // MARK: Sessions

    /// Opens a session and writes its server process down, so that a successor can end it.
    func openSession(
        _ purpose: String, isForTasks: Bool = false
    ) async throws(PostgresError) -> Connection {
        let session = try await openUnregistered(purpose, isForTasks: isForTasks)
        do throws(PostgresError) {
            _ = try await register(session)
        } catch {
            session.close()
            throw error
        }
        return session
    }

    /// Returns when its server process started.
    private func register(_ session: Connection) async throws(PostgresError) -> String {
        let rows = try await session.run(
            Statements.registerBackend, [settings.name], deadline: .seconds(10))
        guard let start = rows.text(0, 0) else {
            throw PostgresError(.connection, "this worker was declared dead meanwhile")
        }
        return start
    }

    private func openUnregistered(
        _ purpose: String, isForTasks: Bool = false
    ) async throws(PostgresError) -> Connection {
        // As options of the session they survive RESET ALL. Blanks and backslashes are escaped.
        let name = settings.name.reduce(into: "") { text, character in
            if character == " " || character == "\\" { text.append("\\") }
            text.append(character)
        }
        var options = ProcessID.variable("PGOPTIONS").map { $0 + " " } ?? ""
        options += "-c timetable.client_name=\(name)"
        // The server, too, finds out soon that we are gone: it would keep our locks for hours.
        options += " -c tcp_user_timeout=10s -c tcp_keepalives_idle=5"
        options += " -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
        if isForTasks {
            // Else a statement goes on, maybe for hours, when we are gone.
            if serverChecksClients { options += " -c client_connection_check_interval=1s" }
        } else {
            // Our own statements: planned once a session, not at each of their first five uses. By
            // index: a plan made while the tables are empty has to suit full ones.
            options += " -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off"
            // What limits a role holds for tasks; these sessions have deadlines of their own.
            options += " -c statement_timeout=0 -c lock_timeout=0"
            options += " -c idle_in_transaction_session_timeout=0"
        }
        let session = try await Connection.open(
            (embedded?.connection ?? settings.connection)
                .with("application_name", "carillon \(settings.name) \(purpose)")
                .with("options", options))
        if !isForTasks {
            do throws(PostgresError) {
                try await session.run(Statements.neverIdleOut, deadline: .seconds(10))
            } catch {
                session.close()
                throw error
            }
        }
        let backend = session.backend
        backends.insert(backend)
        session.onEnd = { [weak self] _ in self?.backends.remove(backend) }
        session.onNotice = { [weak self] severity, message in
            self?.logger.debug("\(purpose) session: \(severity): \(message)")
        }
        return session
    }

    /// A session was closed: takes its server process off the list.
    func forget(_ session: Connection) {
        link?.claims.send(
            [Command(Statements.forgetBackend, [settings.name, String(session.backend)])]
        ) { _ in }  // left on the list it does no harm: processes are known by their start too
    }

    // MARK: Connecting

    /// The whole way to serving: lock, LISTEN, then read everything, then trust notifications.
    private func connect() async throws(StartFailure) -> Link {
        let control: Connection
        health.stepped(at: .now())
        defer { health.stepped(at: .now()) }
        do throws(PostgresError) {
            control = try await openUnregistered("control")
            health.stepped(at: .now())
        } catch {
            throw StartFailure(error, doing: "no connection to the database")
        }
        do throws(StartFailure) {
            let link = try await establish(control)
            announce(link)
            return link
        } catch {
            control.close()
            throw error
        }
    }

    private func establish(_ control: Connection) async throws(StartFailure) -> Link {
        if !hasServed, try await SchemaInstaller.prepare(control) == .installed {
            logger.info("installed the schema timetable")
        }
        try await takeName(control)
        do throws(PostgresError) {
            serverChecksClients = await checksClients(control)
            let (gapStart, lost) = try await takeOver(control)
            control.onNotification = { [weak self] in self?.notified($0) }
            for name in ["timetable_config", "timetable_run", "timetable_cancel", channel] {
                try await control.run(Statements.listen(name), deadline: .seconds(10))
            }
            try await control.run(Statements.announceWorker("STARTED"), deadline: .seconds(10))
            let claims = try await openSession("claims")
            let zone = try await control.run(Statements.defaultZone, deadline: .seconds(10))
            let link = Link(
                control: control, claims: claims, defaultZone: zone.text(0, 0) ?? "UTC", lost: lost)
            // All that is read from here on is judged by the database's time.
            let sent = WallInstant.now()
            observeClock(
                try await control.run(Statements.clock, deadline: .seconds(10)), column: 0,
                sent: sent)
            try await readEverything(link, since: gapStart)
            return link
        } catch {
            throw StartFailure(error, doing: "the schedules can't be read")
        }
    }

    /// Ends what an earlier life of this worker left behind; returns until when it served, and
    /// what it claimed and never began.
    private func takeOver(
        _ control: Connection
    ) async throws(PostgresError) -> (WallInstant, lost: [LostClaim]) {
        let seen = try await control.run(
            Statements.lastSeen, [settings.name], deadline: .seconds(10)
        ).integer(0, 0)
        try await control.run(
            Statements.registerWorker,
            [settings.name, ProcessID.host, String(ProcessID.current), carillonVersion],
            deadline: .seconds(10))
        let deadline = MonotonicInstant.now().advanced(by: .seconds(20))
        while true {
            let ours = backends.map(Int64.init).arrayLiteral
            let left = try await control.run(
                Statements.endSessions, [settings.name, ours], deadline: .seconds(10))
            if left.integer(0, 0) == 0 { break }
            guard MonotonicInstant.now() < deadline else {
                throw PostgresError(
                    .timedOut, "sessions of an earlier worker of this name do not end")
            }
            await stopping.wait(atMost: .milliseconds(50))
        }
        formerControl = (control.backend, try await register(control))
        var lost: [LostClaim] = []
        if hasServed {
            try await giveUpTakenRuns(control)
            let known = knownRuns.arrayLiteral
            let rows = try await control.run(
                Statements.releaseClaims, [settings.name, known], deadline: .seconds(30))
            lost = Self.lostClaims(rows)
        } else {
            let dead = try await control.run(
                Statements.markDead, [settings.name], deadline: .seconds(30))
            reportRuns(dead, from: 0, "its daemon ended during it")
        }
        return (seen.map(WallInstant.init(microseconds:)) ?? .distantPast, lost)
    }

    /// While we were away our peers may have declared us dead.
    private func giveUpTakenRuns(_ control: Connection) async throws(PostgresError) {
        let known = active.values.map(\.run) + ready
        guard !known.isEmpty else { return }
        let rows = try await control.run(
            Statements.ownRuns,
            [
                known.map(\.id).arrayLiteral, known.map { Int64($0.attempt) }.arrayLiteral,
                settings.name,
            ], deadline: .seconds(30))
        var own: [Int64: Int32] = [:]
        for row in 0..<rows.count {
            guard let run = rows.integer(row, 0), let attempt = rows.integer(row, 1) else {
                continue
            }
            own[run] = Int32(attempt)
        }
        giveUp({ own[$0.id] != $0.attempt }, "this daemon had been declared dead meanwhile")
    }

    /// Whether the server can notice by itself that a client is gone: PostgreSQL 14 and newer, on
    /// systems that can tell.
    private func checksClients(_ control: Connection) async -> Bool {
        do throws(PostgresError) {
            return try await control.run(Statements.checkClient, deadline: .seconds(10)).count > 0
        } catch {
            return false
        }
    }

    /// Takes ourselves off the list of those who live.
    func sayStopped() async {
        guard let control = link?.control, control.ended == nil else { return }
        do throws(PostgresError) {
            try await control.run(Statements.workerStopped, [settings.name], deadline: .seconds(5))
        } catch {
            logger.error(
                "peers will find this worker dead, since it can't say that it stops: \(error)")
        }
    }

    /// LISTEN stands: from here on no change can be missed.
    private func readEverything(
        _ link: Link, since gapStart: WallInstant
    ) async throws(PostgresError) {
        changes = PendingChanges()
        handle(.connected(gapStart: gapStart))
        try await readAllConfigs(link)
        let open = try await link.control.run(
            Statements.openRequests, deadline: Self.readDeadline)
        handle(.requested(Self.requests(open)))
    }

    /// Reads all configs, page by page, so that a million rows are never in memory at once.
    func readAllConfigs(_ link: Link) async throws(PostgresError) {
        let reader = ConfigReader(zones: zones, defaultZone: link.defaultZone)
        var last: Int64 = 0
        var touched = MonotonicInstant.now()
        while true {
            health.stepped(at: .now())
            if MonotonicInstant.now().duration(since: touched) > Self.touchInterval {
                touched = .now()
                try await link.control.run(
                    Statements.touchWorker, [settings.name], deadline: .seconds(10))
            }
            let rows = try await link.control.run(
                Statements.configPage, [settings.name, String(last), String(Self.pageSize)],
                deadline: Self.readDeadline)
            guard rows.count > 0, let highest = rows.integer(rows.count - 1, 0) else { return }
            last = highest
            learn(reader.read(rows))
        }
    }

    /// Gives configs to the planner, and says of each that can't be scheduled why.
    func learn(_ read: (configs: [PlannedConfig], problems: [ConfigReader.Problem])) {
        handle(.known(read.configs))
        handle(.gone(read.problems.map(\.config)))
        if !problems.isEmpty {
            for config in read.configs { problems[config.id] = nil }
        }
        for problem in read.problems where problems[problem.config] != problem.reason {
            problems[problem.config] = problem.reason
            logger.error("config \(problem.config) (\(problem.name)): \(problem.reason)")
        }
    }

    /// Of those that are gone or changed, a problem is told again when it comes back.
    func forgetProblems(of ids: [Int64], but found: [ConfigReader.Problem]) {
        guard !problems.isEmpty else { return }
        let remaining = Set(found.map(\.config))
        for id in ids where !remaining.contains(id) { problems[id] = nil }
    }

    /// Rows of an id and an instant in microseconds.
    static func requests(_ rows: Rows) -> [(request: Int64, from: WallInstant?)] {
        (0..<rows.count).compactMap { row in
            rows.integer(row, 0).map { id in
                (id, rows.integer(row, 1).map(WallInstant.init(microseconds:)))
            }
        }
    }

    /// Rows of a run and its config.
    static func runs(_ rows: Rows) -> [(run: Int64, config: Int64)] {
        (0..<rows.count).compactMap { row in
            guard let run = rows.integer(row, 0), let config = rows.integer(row, 1) else {
                return nil
            }
            return (run, config)
        }
    }

    private func announce(_ link: Link) {
        self.link = link
        link.onAnswer = { [weak self] in self?.readChanges() }
        handle(.complete)
        adopt(link.lostClaims)
        // What was notified while all was read.
        readChanges()
        lookForCancels(knownRuns)
        scheduleHeartbeat(link, after: .zero)
        if hasServed {
            logger.info("connected to the database again; \(planner.configCount) schedules")
            reloaded()
        } else {
            hasServed = true
            logger.info("ready: \(planner.configCount) schedules")
            notifier.ready(status: statusText)
        }
        updateStatus()
    }
}

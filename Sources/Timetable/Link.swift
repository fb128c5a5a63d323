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
    /// Claims and records so far: each happens only after the one before it.
    private var number = 0
    /// Fires that others may claim first, by config.
    var held: [Int64: Fire] = [:]
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

    /// The number of the next claim or record, in the order in which they are sent.
    func nextNumber() -> String {
        number += 1
        return String(number)
    }

    /// Up to where all that was due was claimed for sure, after a restart also: nil while some of
    /// it is under way. Instants before the year 1 count as nil.
    func settled(_ givenOutThrough: WallInstant?) -> WallInstant? {
        guard underWay == 0, held.isEmpty, let givenOutThrough,
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
    /// With its jitter 5 s: by then the peers of a worker expect it back.
    private static let longestDelay: Duration = .milliseconds(3_300)

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
                logger.error(
                    "\(error.message); trying again",
                    metadata: Logger.Metadata().adding(sqlstate: error.sqlstate))
                updateStatus()
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
        logger.error(
            "connection to the database lost: \(reason.map { "\($0)" } ?? "")",
            metadata: reason?.metadata ?? [:])
        updateStatus()
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
            throw StartFailure.connecting(error, isAsked: false)
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
        if !hasServed {
            isInLongStep = true
            defer { isInLongStep = false }
            try await prepareSchema(control)
        }
        try await takeName(control)
        // We may have stood by, or been away, while somebody upgraded it.
        try await SchemaInstaller.checkVersion(control)
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
            // LISTEN stands: from here on no change can be missed.
            changes = PendingChanges()
            handle(.connected(gapStart: gapStart))
            try await readEverything(link)
            return link
        } catch {
            throw StartFailure(error, doing: "the schedules can't be read")
        }
    }

    /// A private server is the daemon's alone: nobody else could upgrade what is in it.
    private func prepareSchema(_ control: Connection) async throws(StartFailure) {
        switch try await SchemaInstaller.prepare(control, upgrades: embedded != nil) {
        case .installed: logger.info("installed the schema timetable")
        case .upgraded(let old): logger.notice("upgraded the schema timetable from version \(old)")
        case .present: break
        }
    }

    private func announce(_ link: Link) {
        self.link = link
        // Whoever came while we were away could not be heard.
        log.followerJoined()
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
            schedulePruning()
            logger.info("ready: \(planner.configCount) schedules")
            sayReady()
            serving.open()
        }
        updateStatus()
    }
}

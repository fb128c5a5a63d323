import Scheduling
import Timing

/// How a daemon begins, connects, hears of changes and ends.
extension SimulatedDaemon {
    func start() {
        guard !isRunning else { return }
        life += 1
        isRunning = true
        isStopping = false
        hasServed = false
        planner = Planner()
        offset = ClockOffset()
        knownSteps = clock.steps
        active = []
        delay = 50_000
        world.note(nil) { "\(self) starts" }
        connect()
    }

    /// kill −9: what was sent may still be done, by server processes that live on.
    func kill() {
        guard isRunning else { return }
        world.note(nil) { "\(self) is killed" }
        becomeIll()
        let isDoneByServer = world.chance(1, of: 2)
        for link in [link, connecting].compactMap(\.self) {
            if !isDoneByServer { link.cut() }
            link.close()
        }
        exit()
    }

    /// SIGTERM: no new claims, the runs end, then the process does.
    func stop() {
        guard isRunning, !isStopping else { return }
        world.note(nil) { "\(self) is told to stop" }
        becomeIll()
        isStopping = true
        handle(.stopped)
        if active.isEmpty { exit() }
    }

    func exit() {
        becomeIll()
        life += 1
        isRunning = false
        suspendedUntil = nil
        link = nil
        connecting = nil
        world.restart(self)
    }

    // MARK: Connecting

    private func connect() {
        guard link == nil, connecting == nil, !isStopping else { return }
        let attempt = SimulatedLink()
        connecting = attempt
        after(world.latency()) {
            guard self.connecting === attempt else { return }
            guard self.world.reachable(self.index) <= self.world.now else {
                self.connecting = nil
                return self.reconnect()
            }
            self.takeOver(attempt)
        }
    }

    private func reconnect() {
        let wait = max(delay, world.reachable(index) - world.now)
        delay = min(delay * 2, 5 * Length.second)
        after(wait + world.random(0...delay / 2)) { self.connect() }
    }

    private func takeOver(_ attempt: SimulatedLink) {
        call(
            attempt.control,
            { database in
                self.world.endSessions(of: self, but: attempt)
                return self.lastSeen(database)
            },
            then: { gapStart in
                let known = self.active
                let isNew = !self.hasServed
                self.call(
                    attempt.control,
                    { database in
                        // LISTEN: from here on no change is missed.
                        self.world.listeners[self.index] = attempt
                        if !isNew { return database.release(self.index, known: known) }
                        database.markDead(self.index)
                        return []
                    },
                    then: { (lost: [Int]) in
                        attempt.lostClaims = lost
                        self.askClock(attempt) { self.readEverything(attempt, gapStart) }
                    })
            })
    }

    /// All that is read is judged by the database's time.
    private func askClock(_ attempt: SimulatedLink, then: @escaping () -> Void) {
        let sent = local
        call(
            attempt.control, { $0.clock },
            then: { clock in
                self.observe(sent, clock)
                then()
            })
    }

    /// As `Statements.lastSeen`.
    private func lastSeen(_ database: SimulatedDatabase) -> WallInstant {
        // Less the time in which it may have been deaf.
        let margin = world.span.heartbeat + Length.minute / 2
        if let until = database.claimedUntil[index] {
            return WallInstant(microseconds: until - margin)
        }
        let isBound = database.ids.contains { id in
            database.configs[id].map { $0.live && $0.worker == index } ?? false
        }
        guard !isBound, let until = database.claimedUntil.values.max() else {
            return .distantPast
        }
        return WallInstant(microseconds: until - margin)
    }

    private func readEverything(_ attempt: SimulatedLink, _ gapStart: WallInstant) {
        changed = []
        rereads = false
        isReading = false
        handle(.connected(gapStart: gapStart))
        readPages(attempt, after: 0) {
            self.readRequests(attempt) { self.announce(attempt) }
        }
    }

    private func readPages(
        _ attempt: SimulatedLink, after last: Int64, then: @escaping () -> Void
    ) {
        call(
            attempt.control,
            { database in
                let page = Array(database.ids.filter { $0 > last }.prefix(self.world.pageSize))
                return (page.last, database.read(page, for: self.index))
            },
            then: { highest, rows in
                guard let highest else { return then() }
                self.learn(rows)
                self.readPages(attempt, after: highest, then: then)
            })
    }

    private func readRequests(_ attempt: SimulatedLink, then: @escaping () -> Void) {
        call(
            attempt.control,
            { database in database.requests.filter { $0.claimed == nil } },
            then: { open in
                self.handle(
                    .requested(
                        open.map {
                            (Int64($0.id), $0.runAfter.map(WallInstant.init(microseconds:)))
                        }))
                then()
            })
    }

    private func announce(_ attempt: SimulatedLink) {
        link = attempt
        connecting = nil
        delay = 50_000
        handle(.complete)
        adopt(attempt)
        hasServed = true
        readChanges()
        beat(attempt)
        healthySince = world.now
        world.served(self)
        world.note(nil) { "\(self) is connected" }
    }

    private func adopt(_ link: SimulatedLink) {
        guard !link.lostClaims.isEmpty else { return }
        let late = link.lostClaims.filter { run in
            let row = world.database.runs[run]
            return planner.mayStillRun(
                row.config, WallInstant(microseconds: row.fire ?? 0), now: now)
        }
        let missed = link.lostClaims.filter { !late.contains($0) }
        ask(
            link, { $0.adopt(late, missed: missed) },
            then: { runs in
                for run in runs { self.start(run, of: self.world.database.runs[run].config) }
            })
    }

    private func learn(_ rows: [(SimulatedConfig, lastRun: SimulatedRun?)]) {
        handle(.known(rows.compactMap { world.planned($0, $1) }))
    }

    /// The connection is gone, and the daemon has noticed.
    func lost(_ lost: SimulatedLink) {
        guard link === lost || connecting === lost else { return }
        lost.close()
        if link === lost {
            link = nil
            becomeIll()
            world.note(nil) { "\(self) has lost its connection" }
            handle(.disconnected)
        }
        connecting = nil
        reconnect()
    }

    // MARK: Changes

    func notified(_ config: Int64) {
        changed.insert(config)
        readChanges()
    }

    /// SIGHUP.
    func hangUp() {
        rereads = true
        readChanges()
    }

    func readChanges() {
        guard let link, !isReading, rereads || !changed.isEmpty else { return }
        isReading = true
        let done = {
            self.isReading = false
            self.readChanges()
        }
        if rereads {
            rereads = false
            changed = []
            handle(.rereading)
            return readPages(link, after: 0) {
                self.readRequests(link) {
                    self.handle(.complete)
                    done()
                }
            }
        }
        let ids = changed.sorted()
        changed = []
        call(
            link.control, { $0.read(ids, for: self.index) },
            then: { rows in
                self.learn(rows)
                let found = Set(rows.map { $0.0.id })
                self.handle(.gone(ids.filter { !found.contains($0) }))
                done()
            })
    }

    private func beat(_ link: SimulatedLink) {
        handle(.tick)
        let settled = link.underWay == 0 ? planner.givenOutThrough : nil
        let sent = local
        call(
            link.control,
            { database in
                if let settled, settled != .distantPast {
                    database.claimedUntil[self.index] = settled.microseconds
                }
                return database.clock
            },
            then: { clock in
                self.observe(sent, clock)
                self.after(self.world.span.heartbeat) {
                    guard self.link === link else { return }
                    self.beat(link)
                }
            })
    }
}

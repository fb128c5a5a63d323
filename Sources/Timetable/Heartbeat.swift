internal import Logging
internal import Postgres
internal import Reactor
internal import Scheduling
internal import Timing

extension Daemon {
    private static let echoPatience: Duration = .seconds(5)
    private static let intervalAlone: Duration = .seconds(30)
    private static let intervalWithPeers: Duration = .seconds(2)
    /// How long the sessions of a dead worker may take to end.
    private static let burialPatience: Duration = .seconds(20)

    /// Proves that the session hears (a half-open socket looks alive and is deaf), tells the peers
    /// that we live, and looks at them.
    func scheduleHeartbeat(_ link: Link, after delay: Duration) {
        link.nextBeat = EventLoop.shared.after(delay) { [weak self, weak link] in
            guard let self, let link, !link.lost.isOpen else { return }
            link.nextBeat = nil
            beat(link)
        }
    }

    /// A worker came or went, or we doubt ourselves: looks now.
    func beatAtOnce() {
        guard let link else { return }  // connecting looks
        guard let timer = link.nextBeat else {
            link.beatsAgain = true
            return
        }
        EventLoop.shared.cancelTimer(timer)
        link.nextBeat = nil
        beat(link)
    }

    private func beat(_ link: Link) {
        handle(.tick)
        let token = String(MonotonicInstant.now().nanoseconds)
        link.awaitedEcho = token
        _ = EventLoop.shared.after(Self.echoPatience) { [weak self, weak link] in
            guard let self, let link, link.awaitedEcho == token, !link.lost.isOpen else { return }
            logger.error("the LISTEN session does not hear its own notification")
            link.close()
        }
        let commands = [
            Command(
                Statements.heartbeat,
                [
                    settings.name, channel, token,
                    link.settled(planner.givenOutThrough).map { String($0.microseconds) },
                ]),
            Command(Statements.lockNotifications),
        ]
        // The lock is asked for once; holding it twice would need two releases, and ends with us.
        let asked = link.takesNotifications ? Array(commands.prefix(1)) : commands
        let sent = WallInstant.now()
        let sentSinceBoot = MonotonicInstant.sinceBoot()
        link.control.send(asked, deadline: Self.echoPatience) { [weak self, weak link] outcome in
            guard let self, let link, case .success(let rows) = outcome else { return }
            // Clocks drift, also where nothing is claimed for days.
            observeClock(rows[0], column: 1, sent: sent)
            if rows.count > 1 { link.takesNotifications = rows[1].boolean(0, 0) == true }
            guard rows[0].boolean(0, 0) == true else {
                logger.error("the LISTEN session listens to nothing")
                return link.close()
            }
            if let failure = SchemaInstaller.unusable(version: rows[0].integer(0, 3)) {
                end(failure)
            }
            let hasCompany = see(rows[0], sent: sentSinceBoot, link)
            let interval = hasCompany ? Self.intervalWithPeers : Self.intervalAlone
            scheduleHeartbeat(link, after: link.beatsAgain ? .zero : interval)
            link.beatsAgain = false
        }
    }

    /// Somebody upgraded the schema under us: no claim more, and what is under way is drained, with
    /// heartbeats until then.
    private func end(_ failure: StartFailure) {
        guard !stopping.isOpen else { return }
        logger.error("\(failure.message); stopping")
        self.failure = failure
        stop()
    }

    // MARK: Peers

    /// Takes what a heartbeat saw; returns whether anybody else is there.
    private func see(_ rows: Rows, sent: MonotonicInstant, _ link: Link) -> Bool {
        let peers = Peer.read(rows, column: 4)
        let hasCompany = !peers.isEmpty || rows.boolean(0, 2) == true
        lease.prove(sent: sent, hasPeers: hasCompany)
        shares = Shares(own: settings.name, peers: peers.filter(\.isConnected).map(\.name))
        doubt?.open()
        doubt = nil
        for peer in link.peers.look(peers, at: .sinceBoot()) where !stopping.isOpen {
            guard burials.insert(peer.name).inserted else { continue }
            start {
                await self.bury(peer, by: link.claims)
                self.burials.remove(peer.name)
            }
        }
        return hasCompany
    }

    /// What a run waits for before it does what can't be undone: our peers may have taken it.
    func currentDoubt() -> Gate? {
        guard !lease.isFresh(at: .sinceBoot()) else { return nil }
        if let doubt { return doubt }
        let gate = Gate()
        doubt = gate
        // After a suspend of the host the next one is as far away as before.
        beatAtOnce()
        return gate
    }

    /// Declares a worker dead, unless it came back or another was faster.
    func bury(_ peer: Peer, by session: Connection) async {
        let deadline = MonotonicInstant.now().advanced(by: Self.burialPatience)
        do throws(PostgresError) {
            while true {
                let rows = try await session.run(
                    Statements.bury, [peer.name, String(peer.seen), settings.name],
                    deadline: .seconds(10))
                switch rows.text(0, 0) {
                case "ENDING":
                    guard MonotonicInstant.now() < deadline else {
                        throw PostgresError(.timedOut, "its sessions do not end")
                    }
                    try? await EventLoop.shared.sleep(for: .milliseconds(20))
                case "DEAD": return report(dead: peer, rows)
                default: return
                }
            }
        } catch {
            logger.error(
                "worker \"\(peer.name)\" gives no sign, and can't be declared dead: \(error)",
                metadata: error.metadata)
        }
    }

    private func report(dead peer: Peer, _ rows: Rows) {
        logger.error("worker \"\(peer.name)\" is dead: it gave no sign any more")
        reportRuns(rows, from: 1, "worker \"\(peer.name)\" died during it")
    }

    /// Says what became of runs, from rows of a run and its state.
    func reportRuns(_ rows: Rows, from column: Int, _ reason: String) {
        for row in 0..<rows.count {
            guard let run = rows.text(row, column), let state = rows.text(row, column + 1) else {
                continue
            }
            logger.error("run \(run) is \(state): \(reason)", metadata: ["run": "\(run)"])
            if let id = Int64(run) { log.changed(run: id, hasEnded: true) }
        }
    }

    // MARK: Our own runs

    /// Stops runs of which nobody knows us as the runner any more.
    func giveUp(_ isTaken: (Run) -> Bool, _ reason: String) {
        ready.removeAll(where: isTaken)
        for runner in active.values where isTaken(runner.run) {
            runner.stop(.taken(reason))
        }
    }
}

extension Peer {
    /// Rows of a name, when it was last seen, and whether it is connected.
    static func read(_ rows: Rows, column: Int) -> [Peer] {
        (0..<rows.count).compactMap { row in
            guard let name = rows.text(row, column), let seen = rows.integer(row, column + 1) else {
                return nil
            }
            return Peer(
                name: name, seen: seen, isConnected: rows.boolean(row, column + 2) == true)
        }
    }
}

internal import DequeModule
internal import Logging
internal import Postgres
internal import Reactor
internal import Scheduling
internal import Timing

/// A run of this worker that an earlier connection claimed for a fire and that never began.
struct LostClaim {
    let run, config: Int64
    let instant: WallInstant
}

extension Daemon {
    /// Fires in one statement. A larger batch would make its first run wait for its last.
    static let batchSize = 250
    static let claimDeadline: Duration = .seconds(30)

    /// Claims fires: our share at once, what others may have first a little later. Those of one
    /// config in their order.
    func claim(_ fires: [Fire]) {
        guard let link else { return }  // connecting looks at what is late
        guard shares.hasPeers || !link.held.isEmpty else { return claim(sorted: fires.sorted()) }
        // The next of its config is due: no more time to wait.
        claim(sorted: fires.compactMap { link.held.removeValue(forKey: $0.config) }.sorted())
        let isBusy = !ready.isEmpty
        var ours: [Fire] = []
        var later: [Fire] = []
        for fire in fires.sorted() {
            let isOurs = shares.isOurs(fire) || planner.isBound(fire.config)
            if isOurs, !isBusy { ours.append(fire) } else { later.append(fire) }
        }
        claim(sorted: ours)
        hold(later, for: isBusy ? Shares.headStartOverBusy : Shares.headStart, link)
    }

    private func hold(_ fires: [Fire], for delay: Duration, _ link: Link) {
        guard !fires.isEmpty else { return }
        for fire in fires { link.held[fire.config] = fire }
        _ = EventLoop.shared.after(delay) { [weak self, weak link] in
            guard let self, let link, self.link === link else { return }
            let due = fires.filter { link.held[$0.config] == $0 }
            for fire in due { link.held[fire.config] = nil }
            // When we stop, the others have them.
            if !stopping.isOpen { claim(sorted: due) }
        }
    }

    /// A batch a statement, all in flight at once.
    private func claim(sorted: [Fire]) {
        for start in stride(from: 0, to: sorted.count, by: Self.batchSize) {
            claim(batch: Array(sorted[start..<min(start + Self.batchSize, sorted.count)]))
        }
    }

    private func claim(batch: [Fire]) {
        guard let link else { return }  // connecting looks at what is late
        let configs = batch.map(\.config).arrayLiteral
        let sent = WallInstant.now()
        link.ask(
            [
                Command(
                    Statements.claimFires,
                    [
                        configs, batch.map(\.instant.microseconds).arrayLiteral,
                        batch.map { Self.microseconds($0.since) }.arrayLiteral, settings.name,
                        link.nextNumber(),
                    ]),
                Command(Statements.claimedWork, [settings.name, configs]),
            ], deadline: Self.claimDeadline
        ) { [weak self] outcome in
            guard let self, let rows = answer(outcome, of: "fires", link), rows.count == 2 else {
                return
            }
            observeClock(rows[0], column: 4, sent: sent)
            claimed(batch, rows[0], Run.read(rows[1]))
        }
    }

    private func claimed(_ batch: [Fire], _ rows: Rows, _ work: [Int64: Run]) {
        var early: [Fire] = []
        var refused: [Fire] = []
        var notRun: [Int64] = []
        var won: [(instant: Int64, run: Run)] = []
        for row in 0..<rows.count {
            guard let config = rows.integer(row, 0), let instant = rows.integer(row, 1) else {
                continue
            }
            switch rows.text(row, 2) {
            case "STARTED":
                guard let id = rows.integer(row, 3) else { continue }
                won.append((instant, work[id] ?? Self.unreadable(id, config)))
            case "SKIPPED":
                let id = rows.text(row, 3) ?? ""
                logger.notice(
                    "a fire of config \(config) is skipped; the reason is in run_status \(id)",
                    metadata: ["run": "\(id)", "config": "\(config)"])
                notRun.append(config)
                // With @after the delay counts anew from here.
                changes.add(configs: [config])
            case "EARLY":
                early += batch.filter { $0.config == config }
            case "GONE":
                // Or changed. Now; when this is read it may be back already.
                refused += batch.filter { $0.config == config }
                changes.add(configs: [config])
            default:
                // TAKEN: another worker runs it; WAITING: a request resumes it.
                notRun.append(config)
                // Or it was skipped, and no end of a run will tell of it.
                if planner.isAfter(config) { changes.add(configs: [config]) }
            }
        }
        won.sort { ($0.instant, $0.run.id) < ($1.instant, $1.run.id) }
        ready.append(contentsOf: won.map(\.run))
        startReady()
        if !early.isEmpty { handle(.early(early)) }
        if !refused.isEmpty { handle(.refused(refused)) }
        if !notRun.isEmpty { handle(.notRun(notRun)) }
        if changes.hasConfigs { readChanges() }
    }

    /// Begins runs that were claimed by a connection that was lost before its answer came, as far
    /// as it is not too late for them.
    func adopt(_ lost: [LostClaim]) {
        guard let link, !lost.isEmpty else { return }
        let now = now
        var late: [LostClaim] = []
        var missed: [Int64] = []
        for claim in lost {
            if planner.mayStillRun(claim.config, claim.instant, now: now) {
                late.append(claim)
            } else {
                missed.append(claim.run)
            }
        }
        logger.notice(
            "of \(lost.count) claims lost with the connection \(late.count) are run now")
        link.ask(
            [
                Command(
                    Statements.adoptRuns,
                    [late.map(\.run).arrayLiteral, missed.arrayLiteral, settings.name]),
                Command(
                    Statements.claimedWork, [settings.name, late.map(\.config).arrayLiteral]),
            ], deadline: Self.claimDeadline
        ) { [weak self] outcome in
            guard let self, let rows = answer(outcome, of: "runs", link), rows.count == 2 else {
                return
            }
            let work = Run.read(rows[1])
            for (id, config) in Self.runs(rows[0]) {
                ready.append(work[id] ?? Self.unreadable(id, config))
            }
            startReady()
        }
    }

    /// Rows of a run, its config and its instant in microseconds.
    static func lostClaims(_ rows: Rows) -> [LostClaim] {
        (0..<rows.count).compactMap { row in
            guard let run = rows.integer(row, 0), let config = rows.integer(row, 1),
                let instant = rows.integer(row, 2)
            else { return nil }
            return LostClaim(
                run: run, config: config, instant: WallInstant(microseconds: instant))
        }
    }

    // MARK: Requests

    /// Claims requests that were made by rows.
    func claim(requests: [Int64]) {
        guard let link else { return }  // connecting reads all open requests
        for start in stride(from: 0, to: requests.count, by: Self.batchSize) {
            let end = min(start + Self.batchSize, requests.count)
            let batch = requests[start..<end].map(\.self)
            claimRequests(
                [
                    Command(Statements.claimRequests, [batch.arrayLiteral, settings.name]),
                    Command(
                        Statements.requestedWork,
                        [settings.name, batch.arrayLiteral]),
                ], taken: false, link)
        }
    }

    /// Turns payloads of NOTIFY, a batch of them, into requests and claims those.
    func claim(notified payloads: [String]) {
        guard let link else { return }  // best-effort by nature
        claimRequests(
            [
                Command(Statements.takeNotified, [payloads.map { $0 as String? }.arrayLiteral]),
                Command(Statements.claimTaken, [settings.name]),
                Command(Statements.takenWork, [settings.name]),
            ], taken: true, link)
    }

    private func claimRequests(_ commands: [Command], taken: Bool, _ link: Link) {
        let sent = WallInstant.now()
        link.ask(commands, deadline: Self.claimDeadline) { [weak self] outcome in
            guard let self, let rows = answer(outcome, of: "requests", link),
                rows.count == commands.count
            else { return }
            if taken { reportPayloads(rows[0]) }
            let claims = rows[rows.count - 2]
            observeClock(claims, column: 5, sent: sent)
            requestsClaimed(claims, Run.read(rows[rows.count - 1]), taken: taken)
        }
    }

    /// With `taken` only this worker knows of these requests: what can't start at once is told to
    /// all, who then claim it, since its time or its turn may come elsewhere.
    private func requestsClaimed(_ rows: Rows, _ work: [Int64: Run], taken: Bool) {
        var answered: [Int64] = []
        var later: [(request: Int64, from: WallInstant?)] = []
        var waiting: [(request: Int64, config: Int64?)] = []
        var told: [Int64] = []
        for row in 0..<rows.count {
            guard let request = rows.integer(row, 0) else { continue }
            let outcome = rows.text(row, 2)
            if taken, ["WAITING", "BLOCKED", "ELSEWHERE", "EARLY"].contains(outcome) {
                told.append(request)
                continue
            }
            answered.append(request)
            let hasWaited = waitedHere.remove(request) != nil
            let config = rows.integer(row, 1) ?? 0
            switch outcome {
            case "STARTED":
                guard let id = rows.integer(row, 3) else { continue }
                ready.append(work[id] ?? Self.unreadable(id, config))
            case "WAITING":
                waiting.append((request, config))
                waitedHere.insert(request)
            case "BLOCKED":
                waiting.append((request, nil))
                waitedHere.insert(request)
            case "ELSEWHERE":
                // It waited for a run of ours, maybe the last one.
                if hasWaited { told.append(request) }
            case "EARLY":
                later.append((request, rows.integer(row, 4).map(WallInstant.init(microseconds:))))
            case "GONE":
                logger.error(
                    "request \(request): config \(config) does not exist, or has no chain",
                    metadata: ["config": "\(config)"])
                log.changed(run: 0, hasEnded: true)  // whoever waits for it looks
            default:
                break  // TAKEN
            }
        }
        startReady()
        if !told.isEmpty { tell(told) }
        handle(.answered(answered, waiting: waiting))
        if !later.isEmpty { handle(.requested(later)) }
    }

    /// Tells all workers to look at these.
    private func tell(_ requests: [Int64]) {
        guard let link else { return }  // connecting reads all open requests
        link.claims.send(
            [Command(Statements.wakeRequests, [requests.arrayLiteral])],
            deadline: Self.claimDeadline
        ) { [weak self] outcome in _ = self?.answer(outcome, of: "waiting requests", link) }
    }

    private func reportPayloads(_ rows: Rows) {
        let refused = (0..<rows.count).filter { rows.text($0, 1) != "REQUESTED" }
        guard let example = refused.first else { return }
        report(refused: refused.count, rows.text(example, 0) ?? "")
    }

    // MARK: Both

    func answer(_ outcome: Connection.Outcome, of what: String, _ link: Link) -> [Rows]? {
        switch outcome {
        case .success(let rows): return rows
        case .failure(let error):
            // Hundreds may be in flight when a connection is lost, and one line tells it all.
            guard !link.lost.isOpen else { return nil }
            logger.error("\(what) can't be claimed: \(error)", metadata: error.metadata)
            // A refused claim means a schema or a right that is gone, or a full disk: read
            // everything anew, a little later each time.
            if error.kind == .server { link.isRefused = true }
            link.close()
            return nil
        }
    }

    func observeClock(_ rows: Rows, column: Int, sent: WallInstant) {
        guard rows.count > 0, let server = rows.integer(rows.count - 1, column) else { return }
        noticeStep()
        let before = offset.microseconds
        offset.observe(
            sent: sent, received: .now(), server: WallInstant(microseconds: server))
        // The timer stands where the old offset had put it.
        if offset.microseconds != before { handle(.tick) }
    }

    private static func unreadable(_ id: Int64, _ config: Int64) -> Run {
        Run(
            id: id, config: config, chain: 0, selfDestruct: false,
            malformed: "its chain has no elements that can be read")
    }
}

import Timing

/// Judges a simulation by its ledger of runs: what was due is known by brute force.
struct SimulationOracle {
    typealias Complaint = Simulation.Complaint

    let simulation: Simulation
    private let rows: [Int64: [SimulatedRun]]
    private let epochs: [Int64: [Epoch]]
    private var complaints: [Complaint] = []
    private var fires = 0

    /// Longer than all latencies on the way of a fire together, and any error of a clock.
    static let slack = 15 * Length.second

    init(_ simulation: Simulation) {
        self.simulation = simulation
        rows = Dictionary(grouping: simulation.database.runs, by: \.config)
        epochs = Dictionary(grouping: simulation.database.epochs, by: \.config.id)
    }

    private var end: Int64 { simulation.now - 2 * Self.slack }

    /// How long a daemon may act on what it has not heard of.
    private var stale: Int64 { simulation.span.heartbeat + 5 * Length.second + Self.slack }

    func verdict() -> (fires: Int, complaints: [Complaint]) {
        var judge = self
        judge.complaints = simulation.complaints
        for config in epochs.keys.sorted() { judge.judge(config) }
        judge.judgeRequests()
        judge.judgeStarts()
        return (judge.fires, judge.complaints)
    }

    private mutating func complain(_ config: Int64, _ time: Int64, _ text: String) {
        complaints.append(Complaint(config: config, time: time, text: text))
    }

    private func name(_ instant: Int64) -> String { WallInstant(microseconds: instant).text }

    // MARK: One config

    private mutating func judge(_ config: Int64) {
        let all = rows[config] ?? []
        let kept = all.filter { $0.status != .released }
        var byFire: [Int64: SimulatedRun] = [:]
        for row in kept {
            guard let fire = row.fire else { continue }
            if let other = byFire.updateValue(row, forKey: fire) {
                complain(config, fire, "\(name(fire)) has two rows: \(other) and \(row)")
            }
            if row.status != .missed, fire > row.created {
                complain(config, fire, "\(name(fire)) was claimed before it was due: \(row)")
            }
        }
        judgeLimits(config, all)
        var accounted: Set<Int> = []
        for epoch in epochs[config] ?? [] {
            if case .reboot = epoch.config.rule.kind { continue }
            if let delay = epoch.config.delay {
                judgeAfter(epoch, delay, kept, &accounted)
                continue
            }
            let last = min(epoch.end ?? end, end)
            let due = epoch.config.rule.fires(of: config, after: epoch.since, through: last)
            fires += due.count
            var ledger = EpochLedger(epoch, due, all, byFire, justResumed: justResumed)
            judge(&ledger)
            accounted.formUnion(ledger.accounted)
        }
        judgeStrangers(config, kept.filter { !accounted.contains($0.id) })
    }

    private mutating func judge(_ ledger: inout EpochLedger) {
        let id = ledger.config.id
        ledger.takeRuns()
        for row in ledger.missedRows {
            guard let problem = ledger.take(missed: row) else { continue }
            complain(id, row.created, "\(problem): \(row)")
        }
        for (index, fire) in ledger.due.enumerated() {
            if let problem = ledger.problem(of: index, healthy: isServed) {
                complain(id, fire, "\(name(fire)) \(problem)")
            }
            if let problem = lateness(ledger, index) {
                complain(id, fire, "\(name(fire)) \(problem)")
            }
        }
    }

    /// With a daemon that serves all the time, nothing is late.
    private func lateness(_ ledger: EpochLedger, _ index: Int) -> String? {
        let fire = ledger.due[index]
        let claimed = ledger.firstClaim[fire]
        guard fire - Self.slack > ledger.epoch.since,
            fire + Self.slack < ledger.epoch.end ?? Length.never,
            claimed.map({ $0 - fire > Self.slack }) ?? true
        else { return nil }
        if ledger.config.misfire == .all, index > 0 {
            // It may be making up for what was before.
            guard let before = ledger.firstClaim[ledger.due[index - 1]], before < fire else {
                return nil
            }
        }
        if let missed = ledger.cover(of: index),
            missed.created - fire > max(ledger.config.grace, Length.second),
            ledger.config.grace < Self.slack
        {
            return nil  // the way of its claim took longer than its grace
        }
        guard isServed(ledger.config, fire - Self.slack, fire + Self.slack) else { return nil }
        return "was claimed \(claimed.map { "at \(name($0))" } ?? "never"), but somebody served"
    }

    /// Whether one daemon that may run the config served from `from` to `through`.
    private func isServed(_ config: SimulatedConfig, _ from: Int64, _ through: Int64) -> Bool {
        simulation.daemons.contains { daemon in
            (config.worker.map { $0 == daemon.index } ?? true)
                && daemon.health.contains { $0.lowerBound <= from && $0.upperBound >= through }
        }
    }

    /// Rows of no fire of their time: there is none, but of @reboot and after the end.
    private mutating func judgeStrangers(_ config: Int64, _ strangers: [SimulatedRun]) {
        for row in strangers {
            guard let fire = row.fire else { continue }
            let isKnown = (epochs[config] ?? []).contains { epoch in
                if epoch.config.isReboot {
                    return row.status != .missed && epoch.since <= row.created
                        && row.created <= epoch.end ?? Length.never
                        && simulation.readies.contains { hasFired(row, epoch, at: $0) }
                }
                return epoch.end == nil && fire > end
            }
            if !isKnown { complain(config, row.created, "nothing was due for \(row)") }
        }
    }

    /// Whether a @reboot fire is one of when its worker became ready.
    private func hasFired(
        _ row: SimulatedRun, _ epoch: Epoch, at ready: (daemon: Int, life: Int, time: Int64)
    ) -> Bool {
        guard ready.daemon == row.worker, ready.time <= row.created, epoch.since <= ready.time
        else { return false }
        // A claim that came too early is made again, maybe after a sleep.
        return row.created <= ready.time + Self.slack
            || !simulation.daemons[row.worker].health.contains {
                $0.lowerBound <= ready.time && $0.upperBound >= ready.time + Self.slack
            }
    }

    private func justResumed(_ row: SimulatedRun) -> Bool {
        simulation.daemons[row.worker].resumed.contains {
            $0 <= row.created && row.created <= $0 + stale
        }
    }

    // MARK: After

    private mutating func judgeAfter(
        _ epoch: Epoch, _ delay: Int64, _ kept: [SimulatedRun], _ accounted: inout Set<Int>
    ) {
        let id = epoch.config.id
        let list = kept.filter { $0.fire != nil }.sorted { ($0.fire ?? 0) < ($1.fire ?? 0) }
        for (index, row) in list.enumerated() {
            guard let fire = row.fire, row.created >= epoch.since,
                row.created <= epoch.end ?? Length.never
            else { continue }
            var expected = epoch.since
            if index > 0 {
                guard let finished = list[index - 1].finished else {
                    complain(id, fire, "@after began before the end of the run before: \(row)")
                    continue
                }
                expected = max(expected, finished + delay)
            }
            if fire == expected {
                accounted.insert(row.id)
                fires += 1
            }
        }
        for (index, row) in ([nil] + list.map(Optional.some)).enumerated() {
            let next = index < list.count ? list[index].created : Length.never
            guard let due = row.map({ $0.finished.map { $0 + delay } }) ?? epoch.since else {
                continue
            }
            let wanted = max(due, epoch.since)
            guard next > wanted + 2 * Self.slack, next > epoch.since,
                wanted + 2 * Self.slack < min(epoch.end ?? end, end),
                isServed(epoch.config, wanted - Self.slack, wanted + 2 * Self.slack)
                    || isServed(
                        epoch.config, min(epoch.end ?? end, end, next) - 2 * Self.slack,
                        min(epoch.end ?? end, end, next))
                        && min(epoch.end ?? end, end, next) - 2 * Self.slack > wanted
            else { continue }
            complain(id, wanted, "@after was due at \(name(wanted)) and did not come in time")
        }
    }

    // MARK: Limits, requests, starts

    private mutating func judgeLimits(_ config: Int64, _ all: [SimulatedRun]) {
        let runs = all.filter { $0.status != .skipped && $0.status != .missed }
        for run in runs {
            let others = runs.filter {
                $0.id != run.id && $0.id < run.id && $0.created <= run.created
                    && $0.finished ?? Length.never > run.created
            }
            if others.count >= run.limit {
                complain(config, run.created, "max_instances \(run.limit) is exceeded by \(run)")
            }
        }
    }

    /// A request that finds room is claimed, if all daemons serve.
    private mutating func judgeRequests() {
        for request in simulation.database.requests where request.created < end {
            let from = max(request.created, request.runAfter ?? request.created)
            let claimed = request.claimed ?? end
            guard simulation.database.configs[request.config] != nil || request.claimed != nil
            else { continue }
            if request.claimed == nil, from < end - Self.slack {
                complain(request.config, from, "\(request) was never claimed")
            }
            guard let idle = idleTime(of: request.config, from, claimed) else { continue }
            complain(
                request.config, idle,
                "\(request) had to wait from \(name(idle)) on with room for it")
        }
    }

    /// The begin of a stretch in which the request could have been claimed, and all daemons served.
    private func idleTime(of config: Int64, _ from: Int64, _ through: Int64) -> Int64? {
        let runs = (rows[config] ?? []).filter { $0.status != .skipped && $0.status != .missed }
        let ends = runs.compactMap(\.finished).filter { $0 > from && $0 < through }
        // With room for one, whatever is allowed.
        for start in ([from] + ends).sorted() where start + 2 * Self.slack < through {
            let stop = start + 2 * Self.slack
            let isBusy = runs.contains { $0.created < stop && $0.finished ?? Length.never > start }
            if !isBusy,
                simulation.daemons.allSatisfy({ daemon in
                    daemon.health.contains { $0.lowerBound <= start && $0.upperBound >= stop }
                })
            {
                return start
            }
        }
        return nil
    }

    /// @reboot: once in each process that serves for a while, for each config that it finds.
    private mutating func judgeStarts() {
        for epoch in simulation.database.epochs where epoch.config.isReboot {
            let id = epoch.config.id
            for ready in simulation.readies {
                guard epoch.config.worker.map({ $0 == ready.daemon }) ?? true,
                    epoch.since < ready.time - Self.slack * 8,
                    epoch.end ?? Length.never > ready.time
                else { continue }
                let until =
                    simulation.readies.first {
                        $0.daemon == ready.daemon && $0.life > ready.life
                    }?.time ?? Length.never
                let mine = (rows[id] ?? []).filter {
                    $0.fire != nil && $0.status != .released && $0.worker == ready.daemon
                        && $0.created >= max(ready.time, epoch.since)
                        && $0.created < min(until, epoch.end ?? Length.never)
                }
                let wasWell = simulation.daemons[ready.daemon].health.contains {
                    $0.lowerBound <= ready.time && $0.upperBound >= ready.time + Self.slack
                }
                if mine.count > 1 || (wasWell && mine.isEmpty && epoch.end == nil) {
                    complain(id, ready.time, "@reboot ran \(mine.count) times: \(mine)")
                }
            }
        }
    }
}

extension Simulation {
    /// What happened near a complaint: to its config, and to all.
    func history(of complaint: Complaint) -> String {
        let near = notes.filter { $0.config == complaint.config || $0.config == nil }
        let split = near.firstIndex { $0.time > complaint.time } ?? near.count
        let first = max(0, split - 30)
        let written = near[..<first].last { $0.config != nil && $0.text.contains(" grace ") }
        let told = [written].compactMap(\.self) + near[first..<min(near.count, split + 20)]
        return told.map { time, config, text in
            "  \(time.utc) \(config.map { "config \($0): " } ?? "")\(text)"
        }.joined(separator: "\n")
    }
}

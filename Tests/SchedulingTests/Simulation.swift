import Scheduling
import Timing

/// Weeks or months of one to three daemons and their database, under a seed: the same seed gives
/// the same events.
final class Simulation {
    struct Complaint {
        let config: Int64?
        let time: Int64
        let text: String
    }

    let seed: UInt64
    let span: SimulatedSpan
    let draw: RuleDraw
    let database = SimulatedDatabase()
    private(set) var daemons: [SimulatedDaemon] = []
    private(set) var now: Int64
    private var agenda = Agenda()
    private var generator: SeededGenerator
    private(set) var complaints: [Complaint] = []

    /// Statements of claims, and pages of configs, hold so many rows.
    let batchSize: Int
    let pageSize: Int
    private let isFaulty: Bool

    /// Who has LISTENed.
    var listeners: [Int: SimulatedLink] = [:]
    private var links: [(daemon: Int, link: SimulatedLink)] = []
    private var outages: [Int: Int64] = [:]
    private var nextID: Int64 = 1
    private var rules: [Int64: (version: Int, rule: FireRule)] = [:]
    /// How often a request was claimed in the second that it was claimed in last.
    private var asks: [Int64: (second: Int64, count: Int)] = [:]
    /// When each process became ready.
    private(set) var readies: [(daemon: Int, life: Int, time: Int64)] = []

    /// What happened, kept when a seed is run again because it failed.
    var keepsNotes = false
    private(set) var notes: [(time: Int64, config: Int64?, text: String)] = []

    init(seed: UInt64) throws {
        self.seed = seed
        generator = SeededGenerator(state: seed &* 0x9E37_79B9_7F4A_7C15)
        span = SimulatedSpan(using: &generator)
        draw = try RuleDraw(span)
        now = span.begin
        database.clock = now
        batchSize = [1, 2, 250, 250].randomElement(using: &generator) ?? 250
        pageSize = [1, 3, 1000].randomElement(using: &generator) ?? 1000
        isFaulty = Int.random(in: 0..<10, using: &generator) > 0
        database.notify = { [unowned self] config in
            note(config) { "is changed, or its run ended" }
            tell(config)
        }
        for index in 0..<random(1...3) { daemons.append(SimulatedDaemon(self, index)) }
    }

    /// After this nothing new happens, and all must come to rest.
    var drain: Int64 {
        switch span.density {
        case .minutes: 4 * Length.hour
        case .hours: 12 * Length.hour
        case .days: 3 * Length.day
        }
    }

    /// Runs it all.
    func run() {
        for _ in 0..<random(4...9) { insert(since: now - random(0...span.length / 20)) }
        for daemon in daemons {
            skew(daemon)
            at(now + random(0...(Length.minute))) { daemon.start() }
        }
        plan(isFaulty ? 4...40 : 0...0) {
            $0.fault($0.daemons[$0.random(0...$0.daemons.count - 1)])
        }
        plan(0...50) { $0.change($0.target()) }
        plan(0...30) { simulation in simulation.target().map(simulation.request) }
        while let (time, action) = agenda.next(through: span.end + drain) {
            now = max(now, time)
            database.clock = now
            action()
        }
        now = span.end + drain
        for daemon in daemons { daemon.becomeIll() }
    }

    private func plan(_ count: ClosedRange<Int>, _ what: @escaping (Simulation) -> Void) {
        for _ in 0..<random(count) {
            at(now + random(0...span.length)) { [unowned self] in nearAFire { what(self) } }
        }
    }

    /// Half of what happens does so where it hurts: at the time of a fire.
    private func nearAFire(_ action: @escaping () -> Void) {
        let next = daemons[random(0...daemons.count - 1)].planner.nextFire?.microseconds
        guard chance(2, of: 3), let next, next > now, next < min(now + span.period * 3, span.end)
        else { return action() }
        at(next + random(-6_000...(chance(1, of: 3) ? 200_000 : 8_000)), action)
    }

    // MARK: Chance

    func random(_ range: ClosedRange<Int64>) -> Int64 { .random(in: range, using: &generator) }
    func random(_ range: ClosedRange<Int>) -> Int { .random(in: range, using: &generator) }
    func chance(_ cases: Int, of all: Int) -> Bool { random(1...all) <= cases }

    /// A length of time, most of them short.
    func anyLength(upTo limit: Int64) -> Int64 {
        chance(1, of: 2) ? random(1...max(1, limit / 100)) : random(1...max(1, limit))
    }

    func latency() -> Int64 {
        switch random(0...199) {
        case 0: random(0...(2 * Length.second))
        case 1...9: random(0...80_000)
        default: random(150...3_000)
        }
    }

    func runLength(_ config: Int64) -> Int64 {
        var length = random(0...(8 * Length.second))
        if database.configs[config]?.misfire != .all, chance(1, of: 5) {
            length = random(0...span.period)
        }
        // Requests that come when a run ends are the ones that may be forgotten.
        if chance(1, of: 60), now + length < span.end {
            at(now + length - random(0...5_000)) { [unowned self] in request(config) }
        }
        return length
    }

    private func skew(_ daemon: SimulatedDaemon) {
        var offset: Int64 = 0
        if chance(2, of: 3) { offset = anyLength(upTo: 3 * Length.hour) }
        if chance(1, of: 2) { offset = -offset }
        daemon.clock.step(by: offset, now: now)
        let drift = span.density == .days ? 50 : 150
        if chance(1, of: 2) { daemon.clock.drift = Double(random(-drift...drift)) }
    }

    // MARK: Events

    func at(_ time: Int64, _ action: @escaping () -> Void) {
        agenda.add(max(time, now), action)
    }

    func note(_ config: Int64?, _ text: () -> String) {
        if keepsNotes { notes.append((now, config, text())) }
    }

    /// A request that waits must not be claimed all the time.
    func asked(_ request: Int64, of config: Int64) {
        let second = now / Length.second
        var ask = asks[request] ?? (second, 0)
        ask = ask.second == second ? (second, ask.count + 1) : (second, 1)
        asks[request] = ask
        if ask.count == 100 { complain(config, "request \(request) is claimed without rest") }
    }

    func complain(_ config: Int64?, _ text: String) {
        complaints.append(Complaint(config: config, time: now, text: text))
    }

    /// From when on a daemon can reach the database.
    func reachable(_ daemon: Int) -> Int64 { max(outages[daemon] ?? 0, outages[-1] ?? 0) }

    func endSessions(of daemon: SimulatedDaemon, but link: SimulatedLink) {
        for (owner, other) in links where owner == daemon.index && other !== link {
            other.control.isServed = false
            other.claims.isServed = false
        }
        links.removeAll { $0.daemon == daemon.index }
        links.append((daemon.index, link))
    }

    private func tell(_ config: Int64) {
        for daemon in daemons {
            guard let session = listeners[daemon.index]?.control, !session.isCut, session.isServed
            else { continue }
            let life = daemon.life
            session.lastDelivery = max(session.lastDelivery, now + latency())
            at(session.lastDelivery) {
                daemon.receive(life, session) { daemon.notified(config) }
            }
        }
    }

    /// What a daemon makes of a row.
    func planned(_ row: SimulatedConfig, _ lastRun: SimulatedRun?) -> PlannedConfig? {
        if rules[row.id]?.version != row.version {
            do {
                rules[row.id] = (row.version, try row.rule.rule(config: row.id))
            } catch {
                complain(row.id, "\"\(row.rule.text)\" is refused: \(error)")
            }
        }
        guard let rule = rules[row.id]?.rule else { return nil }
        let last: PlannedConfig.LastRun =
            lastRun.map { run in
                run.finished.map { .ended(WallInstant(microseconds: $0)) } ?? .underWay
            } ?? .none
        return PlannedConfig(
            id: row.id, rule: rule, firesAtStart: row.isReboot, grace: row.grace,
            scheduledSince: WallInstant(microseconds: row.scheduledSince),
            misfire: [.skip: .skip, .once: .once, .all: .all][row.misfire] ?? .skip,
            misfireWindow: row.window, lastRun: last)
    }

    func served(_ daemon: SimulatedDaemon) {
        // Where one thing went wrong the next is not far.
        if isFaulty, chance(1, of: 5), now < span.end {
            at(now + anyLength(upTo: 3 * Length.minute)) { [unowned self] in
                if now < span.end { fault(daemon) }
            }
        }
        guard readies.last(where: { $0.daemon == daemon.index })?.life != daemon.life else {
            return
        }
        readies.append((daemon.index, daemon.life, now))
    }

    /// A process has ended: somebody starts it again.
    func restart(_ daemon: SimulatedDaemon) {
        let down = anyLength(upTo: span.period * 6)
        at(min(now + 100_000 + down, max(span.end, now + 100_000))) { daemon.start() }
    }
}

// MARK: - What users do

extension Simulation {
    func insert(since: Int64) {
        let id = nextID
        nextID += 1
        let rule = draw.rule(now: now, using: &generator)
        var config = SimulatedConfig(
            id: id, rule: rule, scheduledSince: since, misfire: .skip, window: 0, grace: 0)
        setPolicy(&config)
        if chance(1, of: 5) { config.worker = random(0...daemons.count - 1) }
        if chance(1, of: 10) { config.live = false }
        note(id) { "is written: \(rule.text) \(config)" }
        database.write(config)
    }

    private func setPolicy(_ config: inout SimulatedConfig) {
        config.misfire =
            SimulatedConfig.MisfireWord.allCases.randomElement(using: &generator) ?? .skip
        config.window = chance(1, of: 2) ? Length.day : random(0...(span.period * 20))
        config.grace = chance(1, of: 2) ? Length.minute : random(0...(10 * Length.minute))
        if chance(1, of: 12) { config.grace = 0 }
        config.maxInstances = chance(1, of: 2) ? nil : random(1...3)
    }

    fileprivate func change(_ target: Int64?) {
        guard let id = target, var config = database.configs[id], chance(7, of: 8) else {
            return insert(since: now)
        }
        switch random(0...9) {
        case 0:
            note(id) { "is deleted" }
            return database.delete(id)
        case 1...3:
            config.rule = draw.rule(now: now, using: &generator)
            config.version += 1
            schedule(&config)
            setPolicy(&config)
            if case .every = config.rule.kind, chance(1, of: 2) {
                // Due before anybody has heard of it.
                config.rule.startsAt = now + random(0...5_000)
                config.rule.endsAt = nil
            }
        case 4:
            // Due as before, and yet another schedule.
            schedule(&config)
        case 8, 9:
            pauseOrResume(&config)
        case 5:
            note(nil) { "all configs are touched" }
            for id in database.ids { database.configs[id].map { database.write($0) } }
            return
        case 6:
            config.live.toggle()
            if config.live { schedule(&config) }
        default:
            config.maxInstances = chance(1, of: 2) ? nil : random(1...3)
        }
        note(id) { "is changed: \(config.rule.text) \(config)" }
        database.write(config)
    }

    // As in the triggers note_scheduled_since and note_pause.
    private func schedule(_ config: inout SimulatedConfig) {
        let former = config.scheduledSince
        config.scheduledSince = now
        if let until = config.pausedUntil, until > now, until != Length.never {
            let since = until - random(1...998)
            config.scheduledSince = since == former ? since - 1 : since
        }
    }

    private func pauseOrResume(_ config: inout SimulatedConfig) {
        if let until = config.pausedUntil, chance(1, of: 2) {
            config.pausedUntil = nil
            if until > now { config.scheduledSince = now }
        } else if chance(1, of: 4) {
            config.pausedUntil = Length.never
        } else {
            config.pausedUntil = now + 1 + anyLength(upTo: span.period * 8)
            schedule(&config)
        }
    }

    /// A config, and rather one that fires just now.
    fileprivate func target() -> Int64? {
        let ids = database.ids
        let recent = now - 300_000...now + 300_000
        let firing = ids.filter { id in
            daemons.contains { daemon in
                daemon.planner.nextFire(of: id).map { recent.contains($0.microseconds) } ?? false
            } || database.lastClaim(id).map(recent.contains) ?? false
        }
        return chance(1, of: 2) && !firing.isEmpty
            ? firing.randomElement(using: &generator) : ids.randomElement(using: &generator)
    }

    fileprivate func request(_ id: Int64) {
        // Several at once have to wait for each other.
        for _ in 0..<(chance(1, of: 2) ? 1 : random(2...5)) {
            let from = chance(1, of: 4) ? now + anyLength(upTo: span.period) : nil
            let request = SimulatedDatabase.Request(
                id: database.requests.count, config: id, runAfter: from, created: now)
            database.requests.append(request)
            note(id) { "request \(request.id)" }
            for daemon in daemons {
                guard let session = listeners[daemon.index]?.control, !session.isCut,
                    session.isServed
                else { continue }
                let life = daemon.life
                session.lastDelivery = max(session.lastDelivery, now + latency())
                at(session.lastDelivery) {
                    daemon.receive(life, session) {
                        guard daemon.link != nil else { return }
                        daemon.handle(.requested([(Int64(request.id), nil)]))
                    }
                }
            }
        }
    }
}

// MARK: - What goes wrong

extension Simulation {
    fileprivate func fault(_ daemon: SimulatedDaemon) {
        switch random(0...11) {
        case 0, 1: daemon.kill()
        case 2: daemon.stop()
        case 3, 4: cut(daemon)
        case 5: makeDeaf(daemon)
        case 6: outage(daemons, -1)
        case 7: outage([daemon], daemon.index)
        case 8, 9: suspend(daemon)
        case 10:
            let step = anyLength(upTo: 5 * Length.hour)
            setClock(daemon, chance(1, of: 2) ? step : -step)
        default: daemon.hangUp()
        }
    }

    /// The connection ends; the daemon notices at once, or when a heartbeat stays without an echo.
    private func cut(_ daemon: SimulatedDaemon) {
        for link in [daemon.link, daemon.connecting].compactMap(\.self) {
            note(nil) { "\(daemon): connection cut" }
            daemon.becomeIll()
            link.cut()
            let delay = chance(1, of: 2) ? 10_000 : random(0...(span.heartbeat + 5_000_000))
            daemon.after(delay) { daemon.lost(link) }
        }
    }

    /// Only the LISTEN session is half open.
    private func makeDeaf(_ daemon: SimulatedDaemon) {
        guard let link = daemon.link else { return cut(daemon) }
        note(nil) { "\(daemon) is deaf" }
        daemon.becomeIll()
        link.control.isCut = true
        daemon.after(random(0...(span.heartbeat + 5_000_000))) { daemon.lost(link) }
    }

    /// A claim that came too early may be answered after a change of its config is known.
    func cameTooEarly(_ config: Int64) {
        guard chance(1, of: 100), now < span.end else { return }
        at(now + random(0...500)) { [unowned self] in change(config) }
    }

    /// What a claim led to may bring the next trouble, or show that something was not heard of.
    func claimed(_ fire: Fire, _ outcome: SimulatedDatabase.Outcome, by daemon: SimulatedDaemon) {
        switch outcome {
        case .started where now - fire.instant.microseconds > Length.minute:
            // While it makes up for what was missed.
            guard isFaulty, chance(1, of: 25) else { return }
            at(now + random(0...(2 * span.heartbeat))) { [unowned self] in
                if now < span.end { daemon.kill() }
            }
        case .gone:
            let epoch = database.epochs.last { $0.config.id == fire.config }
            let begin = now - SimulationOracle.slack
            guard let epoch, epoch.end ?? epoch.since < begin,
                let since = daemon.healthySince, since < begin
            else { return }
            complain(fire.config, "\(daemon) claims what was changed long ago")
        case .early:
            // By a clock that is hours off all that comes in these hours would be claimed.
            if fire.instant.microseconds - now > SimulationOracle.slack {
                complain(fire.config, "\(daemon) claims \(fire.instant.text) far too early")
            }
        case .started, .skipped, .taken: break
        }
    }

    private func outage(_ cutOff: [SimulatedDaemon], _ key: Int) {
        let length = anyLength(upTo: span.period * 10)
        note(nil) { "\(cutOff) can't reach the database for \(length / Length.second) s" }
        outages[key] = max(outages[key] ?? 0, min(now + length, span.end))
        for daemon in cutOff { cut(daemon) }
    }

    private func suspend(_ daemon: SimulatedDaemon) {
        guard daemon.isRunning, daemon.suspendedUntil == nil else { return }
        let until = min(now + anyLength(upTo: span.period * 6), span.end)
        guard until > now else { return }
        note(nil) { "\(daemon) is suspended until \(WallInstant(microseconds: until).text)" }
        daemon.becomeIll()
        daemon.suspendedUntil = until
        if chance(1, of: 2) { cut(daemon) }
        let life = daemon.life
        at(until) {
            guard daemon.life == life else { return }
            daemon.suspendedUntil = nil
            daemon.resumed.append(self.now)
            self.note(nil) { "\(daemon) goes on" }
            if let link = daemon.link, !link.control.isCut, !daemon.isStopping {
                daemon.healthySince = self.now
            }
            if self.chance(1, of: 2) { daemon.clockStepped() }
        }
    }

    private func setClock(_ daemon: SimulatedDaemon, _ step: Int64) {
        note(nil) { "the clock of \(daemon) is set by \(step / Length.second) s" }
        daemon.clock.step(by: step, now: now)
        guard daemon.isRunning else { return }
        daemon.after(random(0...200)) { daemon.clockStepped() }
    }
}

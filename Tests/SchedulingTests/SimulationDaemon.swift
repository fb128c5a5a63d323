import Scheduling
import Timing

/// One daemon: a planner, a clock offset, and what `Timetable`'s `Daemon` does with their effects.
final class SimulatedDaemon {
    unowned let world: Simulation
    let index: Int
    var clock = SkewedClock()

    /// Which process: whatever was meant for an earlier one is dropped.
    var life = 0
    var isRunning = false
    var suspendedUntil: Int64?
    var isStopping = false

    var planner = Planner()
    var offset = ClockOffset()
    var link: SimulatedLink?
    var connecting: SimulatedLink?
    var hasServed = false
    var delay: Int64 = 0
    var active: Set<Int> = []

    /// What notifications told to look at.
    var changed: Set<Int64> = []
    var rereads = false
    var isReading = false

    private var timer = 0
    private var armed: Int64?
    /// What the clock here had been set by when the offset was last put right.
    var knownSteps: Int64 = 0

    /// Since when it serves without a fault, and when it did before.
    var healthySince: Int64?
    var health: [ClosedRange<Int64>] = []
    /// When it went on after it had been suspended: it has not heard of anything then.
    var resumed: [Int64] = []

    init(_ world: Simulation, _ index: Int) {
        self.world = world
        self.index = index
    }

    /// The database's time, as far as it is known here.
    var now: WallInstant {
        WallInstant(microseconds: clock.read(world.now))
            .advanced(byMicroseconds: offset.microseconds)
    }

    var local: WallInstant { WallInstant(microseconds: clock.read(world.now)) }

    func becomeIll() {
        if let since = healthySince, since < world.now { health.append(since...world.now) }
        healthySince = nil
    }

    // MARK: Messages

    /// Does something in this process: not while it is suspended, not after it was killed.
    func receive(_ life: Int, _ session: SimulatedSession? = nil, _ action: @escaping () -> Void) {
        guard life == self.life, isRunning else { return }
        if let session, session.isCut || session.isClosed { return }
        if let until = suspendedUntil {
            world.at(until) { self.receive(life, session, action) }
        } else {
            action()
        }
    }

    func after(_ delay: Int64, _ action: @escaping () -> Void) {
        let life = life
        world.at(world.now + delay) { self.receive(life, nil, action) }
    }

    /// Sends a statement and takes its answer, if both arrive.
    func call<Answer>(
        _ session: SimulatedSession, _ statement: @escaping (SimulatedDatabase) -> Answer,
        then: @escaping (Answer) -> Void
    ) {
        let life = life
        session.lastArrival = max(session.lastArrival, world.now + world.latency())
        world.at(session.lastArrival) { [world] in
            guard session.isServed, !session.isCut else { return }
            let answer = statement(world.database)
            session.lastDelivery = max(session.lastDelivery, world.now + world.latency())
            world.at(session.lastDelivery) { self.receive(life, session) { then(answer) } }
        }
    }

    /// Sends what was given out on the session of the claims.
    func ask<Answer>(
        _ link: SimulatedLink, _ statement: @escaping (SimulatedDatabase) -> Answer,
        then: @escaping (Answer) -> Void
    ) {
        link.underWay += 1
        call(link.claims, statement) { answer in
            then(answer)
            link.underWay -= 1
        }
    }

    // MARK: Effects

    func handle(_ event: Planner.Event) {
        noticeStep()
        let effects = planner.handle(event, now: now)
        for case .missed(let missed) in effects { record(missed) }
        for effect in effects { perform(effect) }
    }

    private func perform(_ effect: Planner.Effect) {
        switch effect {
        case .claim(let fires): claim(fires)
        case .claimRequests(let requests): claim(requests: requests)
        case .arm(let instant):
            armed = instant?.advanced(byMicroseconds: -offset.microseconds).microseconds
            schedule()
        case .lookUp(let configs): lookUp(configs)
        case .missed: break
        }
    }

    /// Waits for the armed instant on the clock here, however often that is set.
    func schedule() {
        timer += 1
        guard let armed else { return }
        let (life, timer) = (life, timer)
        let expiry = max(world.now, clock.time(of: armed, now: world.now))
        world.at(expiry + world.random(0...200)) {
            self.receive(life) {
                guard timer == self.timer else { return }
                if self.clock.read(self.world.now) < armed { return self.schedule() }
                self.armed = nil
                self.handle(.tick)
            }
        }
    }

    /// The clock here was set: timerfd's ECANCELED.
    func clockStepped() {
        askClock()
        handle(.tick)
    }

    /// The time since boot shows a step of the clock before anybody tells of it.
    private func noticeStep() {
        guard clock.steps != knownSteps else { return }
        offset.clockStepped(by: clock.steps - knownSteps)
        knownSteps = clock.steps
        askClock()
    }

    private func askClock() {
        guard let link else { return }
        let sent = local
        call(link.claims, { $0.clock }, then: { self.observe(sent, $0) })
    }

    func observe(_ sent: WallInstant, _ server: Int64) {
        noticeStep()
        let before = offset
        offset.observe(sent: sent, received: local, server: WallInstant(microseconds: server))
        // The timer stands where the old offset had put it.
        if offset.microseconds != before.microseconds { handle(.tick) }
    }

    private func claim(_ fires: [Fire]) {
        guard let link else { return }
        if isStopping { world.complain(nil, "\(self) claims though it stops: \(fires)") }
        let sorted = fires.sorted()
        if Set(sorted.map(\.config)).count < sorted.count {
            world.complain(nil, "a config is claimed twice in one statement: \(sorted)")
        }
        for start in stride(from: 0, to: sorted.count, by: world.batchSize) {
            let batch = Array(sorted[start..<min(start + world.batchSize, sorted.count)])
            let list = batch.map { ($0.config, $0.instant.microseconds, $0.since.microseconds) }
            let sent = local
            ask(
                link,
                { database in
                    let outcomes = database.claim(list, by: self.index)
                    for (fire, (outcome, _)) in zip(batch, outcomes) where outcome == .early {
                        self.world.cameTooEarly(fire.config)
                    }
                    return (outcomes, database.clock)
                },
                then: { outcomes, clock in
                    self.observe(sent, clock)
                    self.claimed(Array(zip(batch, outcomes)))
                })
        }
    }

    private func claimed(_ answers: [(Fire, (SimulatedDatabase.Outcome, Int?))]) {
        var (early, refused, notRun): ([Fire], [Fire], [Int64]) = ([], [], [])
        for (fire, (outcome, run)) in answers {
            world.note(fire.config) {
                "\(self) claims \(fire.instant.text): \(outcome)\(run.map { " as run \($0)" } ?? "")"
            }
            world.claimed(fire, outcome, by: self)
            switch outcome {
            case .started: if let run { start(run, of: fire.config) }
            case .skipped:
                notRun.append(fire.config)
                changed.insert(fire.config)
            case .early: early.append(fire)
            case .gone:
                refused.append(fire)
                changed.insert(fire.config)
            case .taken:
                notRun.append(fire.config)
                if planner.isAfter(fire.config) { changed.insert(fire.config) }
            }
        }
        if !early.isEmpty { handle(.early(early)) }
        if !refused.isEmpty { handle(.refused(refused)) }
        if !notRun.isEmpty { handle(.notRun(notRun)) }
        readChanges()
    }

    private func claim(requests ids: [Int64]) {
        guard let link else { return }
        if isStopping { world.complain(nil, "\(self) claims requests though it stops") }
        let sent = local
        ask(
            link,
            { ($0.claim(requests: ids.map(Int.init), by: self.index), $0.clock) },
            then: { outcomes, clock in
                self.observe(sent, clock)
                self.answered(Array(zip(ids, outcomes)))
            })
    }

    private func answered(
        _ answers: [(Int64, (config: Int64, outcome: SimulatedDatabase.RequestOutcome))]
    ) {
        var later: [(request: Int64, from: WallInstant?)] = []
        var waiting: [(request: Int64, config: Int64)] = []
        for (request, (config, outcome)) in answers {
            world.note(config) { "\(self) claims request \(request): \(outcome)" }
            world.asked(request, of: config)
            switch outcome {
            case .started(let run): start(run, of: config)
            case .waiting: waiting.append((request, config))
            case .early(let from): later.append((request, WallInstant(microseconds: from)))
            case .gone, .taken: break
            }
        }
        handle(.answered(answers.map { $0.0 }, waiting: waiting))
        if !later.isEmpty { handle(.requested(later)) }
    }

    private func lookUp(_ configs: [Int64]) {
        guard let link else { return }
        let sent = local
        ask(
            link,
            { database in (configs.map { ($0, database.lastClaim($0)) }, database.clock) },
            then: { list, clock in
                self.observe(sent, clock)
                self.handle(
                    .lastClaims(list.map { ($0, $1.map(WallInstant.init(microseconds:))) }))
            })
    }

    private func record(_ missed: MissedFires) {
        guard let link else { return }
        world.note(missed.config) {
            "\(self) records \(missed.count) missed, "
                + "\(missed.first.text) to \(missed.last.text)"
        }
        let since = planner.scheduledSince(of: missed.config)?.microseconds
        ask(
            link,
            {
                $0.recordMissed(
                    missed.config, first: missed.first.microseconds,
                    last: missed.last.microseconds, count: missed.count, since: since,
                    by: self.index)
            }, then: {})
    }

    // MARK: Runs

    func start(_ run: Int, of config: Int64) {
        active.insert(run)
        after(world.runLength(config)) { self.finish(run, of: config) }
    }

    /// The end is recorded as soon as the database can be reached, and only then known here.
    private func finish(_ run: Int, of config: Int64) {
        let reachable = world.reachable(index)
        guard reachable <= world.now else {
            return after(reachable - world.now + world.latency()) {
                self.finish(run, of: config)
            }
        }
        let life = life
        let wakes = world.database.runs[run].wakes || planner.isAfter(config)
        world.at(world.now + world.latency()) { [world] in
            world.database.end(run, wakes: wakes)
            world.note(config) { "run \(run) of \(self) ends" }
            world.at(world.now + world.latency()) {
                self.receive(life) {
                    self.active.remove(run)
                    self.handle(.ended(config: config))
                    if self.isStopping, self.active.isEmpty { self.exit() }
                }
            }
        }
    }
}

extension SimulatedDaemon: CustomStringConvertible {
    var description: String { "daemon \(index)" }
}

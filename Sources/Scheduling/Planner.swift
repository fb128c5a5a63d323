public import Timing

/// Decides what is claimed and when: events in, effects out. Reads no clock and no database.
///
/// All instants are the database's time; the shell translates them for its own timer. Every config
/// has at most one place in the queue: its next fire. A fire leaves the queue when it is due and
/// its config goes back with the next one at once, so that the answer to a claim is never awaited.
public struct Planner: Sendable {
    public enum Event: Sendable {
        /// A full read begins: all that was known before may be gone. Until `gapStart` this worker
        /// was alive and connected, so that all fires up to then were claimed.
        case connected(gapStart: WallInstant)
        /// A full read begins while fires go on; requests are not touched.
        case rereading
        /// Nothing can be claimed until the next full read is complete.
        case disconnected
        /// Live configs, new or changed.
        case known([PlannedConfig])
        /// Configs that are not live any more, or not there.
        case gone([Int64])
        /// The full read is complete.
        case complete
        /// The answer to `lookUp`: the last fire of each config that was claimed or recorded.
        case lastClaims([(config: Int64, last: WallInstant?)])
        /// The timer went off, or the clock was set.
        case tick
        /// Claims that came before their instant: the clock here is ahead of the database's.
        case early([Fire])
        /// Claims that led to no run here: another worker's, or skipped.
        case notRun([Int64])
        /// Claims of configs that are not as they are known here: gone, or with another schedule.
        /// They will be known again when they have been read.
        case refused([Fire])
        /// Requests that may be claimed from an instant on; nil for at once.
        case requested([(request: Int64, from: WallInstant?)])
        /// Claims of these requests were answered, in whatever way. Those that have no room now
        /// wait for a run of their config to end; where that is nil, for any run.
        case answered([Int64], waiting: [(request: Int64, config: Int64?)])
        /// A run of a config ended.
        case ended(config: Int64)
        /// No claims from now on.
        case stopped
    }

    public enum Effect: Equatable, Sendable {
        /// To be claimed now, in order.
        case claim([Fire])
        /// Requests to be claimed now.
        case claimRequests([Int64])
        /// When the timer has to go off; nil for never.
        case arm(WallInstant?)
        /// Fires to be recorded as missed.
        case missed(MissedFires)
        /// Configs whose last claims have to be looked up, to tell what they missed.
        case lookUp([Int64])
    }

    private enum State: Sendable {
        /// Not connected, or not all is read yet: nothing is claimed.
        case waiting
        case claiming
        case stopped
    }

    private var state = State.waiting
    /// What the full read under way has named so far: all else is gone when it is complete.
    private var seen: Set<Int64>?
    var configs: [Int64: PlannedConfig] = [:]
    var fires = FireQueue<Int64, WallInstant>()
    private var requests = PlannedRequests()
    private var hasStarted = false
    /// Up to here all fires of the known configs have left the queue.
    private var takenThrough = WallInstant.distantPast
    private var gapStart = WallInstant.distantPast
    /// Configs whose last claims are being looked up: they are not in the queue.
    private var asked: Set<Int64> = []
    /// Configs that make up for missed fires one by one, with the fire claimed last: they are not
    /// in the queue until they have caught up.
    var catchingUp: [Int64: WallInstant] = [:]
    /// What the timer is known to stand at; nil when it went off or may have.
    private var armed: WallInstant??

    /// A clock that goes back by less than this, in microseconds, was set right, not stepped.
    private static let backwardStep: Int64 = 1_000_000

    public init() {}

    var isClaiming: Bool { state == .claiming }

    /// How many configs are known.
    public var configCount: Int { configs.count }

    /// The next fire of all, or nil.
    public var nextFire: WallInstant? { fires.next }

    /// The next fire of one config, or nil.
    public func nextFire(of config: Int64) -> WallInstant? { fires[config] }

    /// Up to here all that was due has been given out to be claimed, recorded or looked up; nil
    /// while nothing is.
    public var givenOutThrough: WallInstant? { isClaiming ? takenThrough : nil }

    /// Since when a known config is scheduled.
    public func scheduledSince(of config: Int64) -> WallInstant? {
        configs[config]?.scheduledSince
    }

    /// Whether no other worker may run a known config.
    public func isBound(_ config: Int64) -> Bool { configs[config]?.isBound ?? false }

    /// Whether a known config waits for the ends of its own runs.
    public func isAfter(_ config: Int64) -> Bool { configs[config]?.isAfter ?? false }

    /// Room for this many configs.
    public mutating func reserveCapacity(_ count: Int) {
        configs.reserveCapacity(count)
        fires.reserveCapacity(count)
    }

    /// Takes an event at `now` (the database's time) and says what has to be done.
    public mutating func handle(_ event: Event, now: WallInstant) -> [Effect] {
        var effects: [Effect] = []
        switch event {
        case .connected(let gapStart):
            beginAnew(gapStart)
        case .rereading:
            seen = []
        case .disconnected:
            if state != .stopped { state = .waiting }
        case .known(let list):
            for config in list { learn(config) }
        case .gone(let ids):
            for id in ids { forget(id) }
        case .complete:
            completeRead()
        case .lastClaims(let list):
            for (config, last) in list {
                asked.remove(config)
                effects += settle(config, last: last, now: now)
            }
        case .tick:
            armed = nil  // what is due is taken below
            if now.microseconds(since: takenThrough) < -Self.backwardStep { rebuild(now: now) }
        case .early(let list):
            for fire in list where isCurrent(fire) {
                fires.set(fire.config, at: min(fire.instant, fires[fire.config] ?? fire.instant))
                takenThrough = min(takenThrough, fire.instant.advanced(byMicroseconds: -1))
            }
        case .notRun(let list):
            for config in list { effects += catchUp(config, now: now) }
        case .refused(let list):
            for fire in list where isCurrent(fire) { forget(fire.config) }
        case .requested(let list):
            requests.add(list)
        case .answered(let list, let waiters):
            requests.answered(list, waiting: waiters)
        case .ended(let config):
            requests.runEnded(config)
            effects += catchUp(config, now: now)
        case .stopped:
            state = .stopped
        }
        if state == .claiming { effects += takeDue(now: now) }
        return effects + rearm()
    }

    /// Whether the schedule by which it is due is still the one that is known.
    private func isCurrent(_ fire: Fire) -> Bool {
        configs[fire.config]?.scheduledSince == fire.since
    }

    private mutating func beginAnew(_ gapStart: WallInstant) {
        if state != .stopped { state = .waiting }
        seen = []
        // The answers to the last claims may be lost: what is late is tried again.
        takenThrough = .distantPast
        self.gapStart = gapStart
        asked.removeAll()
        catchingUp.removeAll()
        requests = PlannedRequests()
    }

    private mutating func learn(_ config: PlannedConfig) {
        let known = configs.updateValue(config, forKey: config.id)
        let isNew = known == nil
        seen?.insert(config.id)
        let isChanged = known.map { $0.scheduledSince != config.scheduledSince } ?? false
        if isChanged {
            catchingUp[config.id] = nil
            fires.remove(config.id)
        }
        if config.firesAtStart {
            // Only what is there when the daemon becomes ready: see completeRead.
            if isNew, !hasStarted { fires.set(config.id, at: .distantPast) }
            return
        }
        if case .after(let delay) = config.rule.schedule {
            return learnAfter(config, delay: delay)
        }
        guard catchingUp[config.id] == nil, !asked.contains(config.id) else { return }
        fires.remove(config.id)
        let begin = max(config.scheduledSince, claimed(config, isNew, isChanged))
        if let first = config.rule.next(after: begin) { fires.set(config.id, at: first) }
    }

    /// Up to where all fires of a config were claimed, for all that is known here.
    private func claimed(_ config: PlannedConfig, _ isNew: Bool, _ isChanged: Bool) -> WallInstant {
        // Nobody can have claimed what a change brought before it was heard of.
        if isChanged { return .distantPast }
        guard isNew else { return takenThrough }
        // Whoever was alive may still have been busy making up for what was missed before.
        return config.misfire == .all ? .distantPast : gapStart
    }

    /// `@after`: the delay counts from the end of the last run; the first is due at once.
    private mutating func learnAfter(_ config: PlannedConfig, delay: Int64) {
        switch config.lastRun {
        case .none: fires.set(config.id, at: config.scheduledSince)
        case .underWay: fires.remove(config.id)
        case .ended(let end):
            fires.set(
                config.id, at: max(config.scheduledSince, end.advanced(byMicroseconds: delay)))
        }
    }

    /// The clock went back: nothing waits for the old time to return. What was claimed stays so.
    private mutating func rebuild(now: WallInstant) {
        takenThrough = now
        for (id, config) in configs where !config.firesAtStart && !config.isAfter {
            guard catchingUp[id] == nil, !asked.contains(id) else { continue }
            if let next = config.rule.next(after: now) {
                fires.set(id, at: next)
            } else {
                fires.remove(id)
            }
        }
    }

    private mutating func forget(_ id: Int64) {
        configs[id] = nil
        fires.remove(id)
        catchingUp[id] = nil
    }

    private mutating func completeRead() {
        guard let seen else { return }
        self.seen = nil
        if seen.count < configs.count {
            for id in configs.keys.filter({ !seen.contains($0) }) { forget(id) }
        }
        if state == .waiting { state = .claiming }
        hasStarted = true
    }

    private mutating func takeDue(now: WallInstant) -> [Effect] {
        takenThrough = max(takenThrough, now)
        var effects: [Effect] = []
        var claims: [Fire] = []
        var lookUps: [Int64] = []
        for (id, instant) in fires.popDue(now) {
            guard let config = configs[id] else { continue }
            guard !config.firesAtStart else {
                claims.append(Fire(config, now))
                continue
            }
            guard !config.isAfter else {
                // It goes back into the queue when its run has ended.
                claims.append(Fire(config, instant))
                continue
            }
            let next = config.rule.next(after: instant)
            if next.map({ $0 > now }) ?? true, now.microseconds(since: instant) <= config.grace {
                claims.append(Fire(config, instant))
                if let next { fires.set(id, at: next) }
            } else {
                // We were down or suspended, or the clock was set: others may have claimed some.
                lookUps.append(id)
            }
        }
        if !claims.isEmpty { effects.append(.claim(claims)) }
        let due = requests.popDue(now)
        if !due.isEmpty { effects.append(.claimRequests(due)) }
        if !lookUps.isEmpty {
            asked.formUnion(lookUps)
            effects.append(.lookUp(lookUps.sorted()))
        }
        return effects
    }

    private mutating func rearm() -> [Effect] {
        var next: WallInstant?
        if state == .claiming {
            next = [fires.next, requests.next].compactMap(\.self).min()
        }
        if let armed, armed == next { return [] }
        armed = .some(next)
        return [.arm(next)]
    }
}

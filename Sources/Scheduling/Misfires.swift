public import Timing

extension PlannedConfig {
    /// Whether it waits for the end of its own last run.
    var isAfter: Bool {
        if case .after = rule.schedule { return true }
        return false
    }
}

extension FireRule {
    /// What `count` counts to: some hundred milliseconds of work.
    public static let countLimit = 1_000_000

    /// How many fires lie in (after, through], at most `countLimit`.
    func count(after: WallInstant, through: WallInstant) -> Int {
        var count = 0
        var instant = after
        while count < Self.countLimit, let next = next(after: instant), next <= through {
            count += 1
            instant = next
        }
        return count
    }
}

/// What becomes of fires whose time passed while nobody could claim them.
extension Planner {
    /// The last claim of a config is known: all after it and up to now was missed, or is late.
    mutating func settle(_ id: Int64, last: WallInstant?, now: WallInstant) -> [Effect] {
        guard isClaiming, let config = configs[id], !config.firesAtStart, !config.isAfter else {
            return []
        }
        return decide(config, after: max(config.scheduledSince, last ?? .distantPast), now: now)
    }

    /// Decides about all fires in (after, now], and puts the config back into the queue.
    ///
    /// A fire late by no more than the grace still runs, the latest only. What is later is missed,
    /// and made up for as the config says: not at all, once, or one by one within its window.
    mutating func decide(
        _ config: PlannedConfig, after: WallInstant, now: WallInstant
    ) -> [Effect] {
        let rule = config.rule
        guard let first = rule.next(after: after), first <= now,
            let latest = rule.latest(after: after, through: now)
        else {
            requeue(config, after: max(after, now))
            return []
        }
        let windowStart = now.advanced(byMicroseconds: -config.misfireWindow)
        let isLate = now.microseconds(since: latest) <= config.grace
        if config.misfire == .all, latest >= windowStart, first < latest || !isLate {
            return beginCatchingUp(config, after: after, windowStart: windowStart)
        }
        requeue(config, after: now)
        let runs = isLate || (config.misfire == .once && latest >= windowStart)
        let end = runs ? latest.advanced(byMicroseconds: -1) : latest
        var effects = missed(config, after: after, through: end)
        if runs { effects.append(.claim([Fire(config, latest)])) }
        return effects
    }

    private mutating func beginCatchingUp(
        _ config: PlannedConfig, after: WallInstant, windowStart: WallInstant
    ) -> [Effect] {
        let end = windowStart.advanced(byMicroseconds: -1)
        var effects = missed(config, after: after, through: end)
        guard let start = config.rule.next(after: max(after, end)) else { return effects }
        fires.remove(config.id)
        catchingUp[config.id] = start
        effects.append(.claim([Fire(config, start)]))
        return effects
    }

    /// A run of a config ended, or its claim led to none: the next of what it makes up for.
    mutating func catchUp(_ id: Int64, now: WallInstant) -> [Effect] {
        guard isClaiming, let done = catchingUp[id], let config = configs[id] else { return [] }
        guard let next = config.rule.next(after: done), next <= now else {
            catchingUp[id] = nil
            requeue(config, after: max(done, now))
            return []
        }
        catchingUp[id] = next
        return [.claim([Fire(config, next)])]
    }

    /// Whether a fire that was claimed in time, and of which that was not known, may run at `now`:
    /// as late as its config allows, and only the latest where that is all that is made up for.
    public func mayStillRun(_ id: Int64, _ instant: WallInstant, now: WallInstant) -> Bool {
        guard let config = configs[id], config.scheduledSince <= instant else { return false }
        if config.firesAtStart || config.isAfter { return true }
        let isRecent = instant >= now.advanced(byMicroseconds: -config.misfireWindow)
        if config.misfire == .all, isRecent { return true }
        let isLatest = config.rule.next(after: instant).map { $0 > now } ?? true
        let isLate = now.microseconds(since: instant) <= config.grace
        return isLatest && (isLate || (config.misfire == .once && isRecent))
    }

    private mutating func requeue(_ config: PlannedConfig, after: WallInstant) {
        if let next = config.rule.next(after: after) {
            fires.set(config.id, at: next)
        } else {
            fires.remove(config.id)
        }
    }

    private func missed(
        _ config: PlannedConfig, after: WallInstant, through: WallInstant
    ) -> [Effect] {
        guard let first = config.rule.next(after: after), first <= through,
            let last = config.rule.latest(after: after, through: through)
        else { return [] }
        let count = config.rule.count(after: after, through: through)
        return [
            .missed(MissedFires(config: config.id, first: first, last: last, count: count))
        ]
    }
}

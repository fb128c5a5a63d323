public import Timing

/// Everything that decides when one config fires by the clock; a pure value of 72 bytes.
///
/// Two fire rules of the same content give the same instants in every process: jitter and `H` come
/// from a fixed hash. Instants lie in the years 1 to 9999.
/// Authority: design, section 6; Debian's cron(8) for clock changes.
public struct FireRule: Sendable {
    /// What becomes of a fixed local time that a clock change left out (a gap of up to 3 h).
    public enum OnGap: Sendable {
        /// It fires once, at the first instant after the gap.
        case run
        case skip
    }

    /// What becomes of a fixed local time that a clock change shows twice.
    public enum OnRepeat: Sendable {
        case first, both
    }

    public let schedule: Schedule
    public let zone: ZoneRules
    /// The config's id.
    public let config: Int64
    private let options: Options?

    /// What few configs have, out of line so that a million rules stay small.
    final class Options: Sendable {
        let onGap: OnGap
        let onRepeat: OnRepeat
        let startsAt: WallInstant?
        let endsAt: WallInstant?
        let jitterMicroseconds: Int64

        init(
            onGap: OnGap, onRepeat: OnRepeat, startsAt: WallInstant?, endsAt: WallInstant?,
            jitterMicroseconds: Int64
        ) {
            self.onGap = onGap
            self.onRepeat = onRepeat
            self.startsAt = startsAt
            self.endsAt = endsAt
            self.jitterMicroseconds = jitterMicroseconds
        }
    }

    /// - Parameters:
    ///   - startsAt: No planned time before it; also what `@every` is aligned to. Before the year 1
    ///     (`-infinity`) it counts as not given.
    ///   - endsAt: The last planned time may be this instant, none is later.
    ///   - jitterMicroseconds: Each fire is moved later by 0 to this many microseconds, always the
    ///     same, never to the next planned time nor past `endsAt`. Negative counts as 0.
    public init(
        schedule: Schedule, zone: ZoneRules, config: Int64, onGap: OnGap = .run,
        onRepeat: OnRepeat = .first, startsAt: WallInstant? = nil, endsAt: WallInstant? = nil,
        jitterMicroseconds: Int64 = 0
    ) {
        self.schedule = schedule
        self.zone = zone
        self.config = config
        let startsAt = startsAt.flatMap { $0.microseconds < Self.firstMicrosecond ? nil : $0 }
        let isDefault =
            onGap == .run && onRepeat == .first && startsAt == nil && endsAt == nil
            && jitterMicroseconds <= 0
        options =
            isDefault
            ? nil
            : Options(
                onGap: onGap, onRepeat: onRepeat, startsAt: startsAt, endsAt: endsAt,
                jitterMicroseconds: max(0, jitterMicroseconds))
    }

    /// Returns the first fire strictly after `instant`, or nil when there is none.
    ///
    /// nil also for what the clock does not decide: `@manual`, `@reboot`, `@after`. Bounded work.
    public func next(after instant: WallInstant) -> WallInstant? {
        guard let options, options.jitterMicroseconds > 0 else {
            return nominal(after: instant.microseconds).map { WallInstant(microseconds: $0) }
        }
        return jittered(after: instant.microseconds, options)
            .map { WallInstant(microseconds: $0) }
    }

    /// Returns the latest fire in (after, through], or nil when there is none.
    ///
    /// Bounded: a few calls of `next` for fires of any usual period, some hundred at the worst.
    public func latest(after: WallInstant, through: WallInstant) -> WallInstant? {
        Self.latest(after: after.microseconds, through: through.microseconds) { instant in
            self.next(after: WallInstant(microseconds: instant))?.microseconds
        }
        .map { WallInstant(microseconds: $0) }
    }
}

extension FireRule {
    /// The first planned time strictly after `instant`, jitter left out. Microseconds.
    private func nominal(after instant: Int64) -> Int64? {
        var instant = max(instant, Self.firstMicrosecond - 1)
        if let startsAt = options?.startsAt?.microseconds, startsAt > instant {
            instant = startsAt - 1
        }
        guard instant < Self.lastMicrosecond else { return nil }
        let found: Int64?
        switch schedule {
        case .cron(let cron):
            found = LocalClock(zone: zone, options: options)
                .next(cron, after: instant.floorDivided(by: 1_000_000))
                .map { $0 * 1_000_000 }
        case .every(let period):
            found = Self.aligned(
                after: instant, period: period, anchor: options?.startsAt?.microseconds ?? 0)
        case .at(let time):
            found = time.instant(in: zone, onGap: options?.onGap ?? .run)
        case .after, .manual, .reboot:
            found = nil
        }
        guard let found, found > instant, found <= Self.lastMicrosecond else { return nil }
        if let endsAt = options?.endsAt?.microseconds, found > endsAt { return nil }
        return found
    }

    private static let firstMicrosecond = CalendarRange.firstSecond * 1_000_000
    private static let lastMicrosecond = CalendarRange.lastSecond * 1_000_000 + 999_999

    /// The first anchor + n × period after `instant`.
    private static func aligned(after instant: Int64, period: Int64, anchor: Int64) -> Int64? {
        guard period > 0 else { return nil }
        let (distance, tooFar) = instant.subtractingReportingOverflow(anchor)
        guard !tooFar else { return nil }
        let into = distance - distance.floorDivided(by: period) * period
        let (next, overflow) = instant.addingReportingOverflow(period - into)
        return overflow ? nil : next
    }

    /// The first jittered fire after `instant`: the planned time before it may have been moved
    /// behind it.
    private func jittered(after instant: Int64, _ options: Options) -> Int64? {
        let jitter = options.jitterMicroseconds
        let (earliest, overflow) = instant.subtractingReportingOverflow(jitter)
        let from = overflow ? Int64.min : earliest
        if let planned = Self.latest(after: from, through: instant, next: nominal(after:)) {
            let moved = moved(planned, options)
            if moved > instant { return moved }
        }
        return nominal(after: instant).map { moved($0, options) }
    }

    /// The planned time of a fire, jitter taken off again. Microseconds.
    func planned(of fire: WallInstant) -> Int64? {
        guard let options, options.jitterMicroseconds > 0 else { return fire.microseconds }
        let from = fire.advanced(byMicroseconds: -options.jitterMicroseconds - 1).microseconds
        return Self.latest(after: from, through: fire.microseconds, next: nominal(after:))
    }

    /// A planned time with its jitter. It stays before the next planned time, so that no two fires
    /// meet and their order is kept.
    private func moved(_ planned: Int64, _ options: Options) -> Int64 {
        var room = options.jitterMicroseconds
        if let next = nominal(after: planned) { room = min(room, next - planned - 1) }
        let end = min(options.endsAt?.microseconds ?? .max, Self.lastMicrosecond)
        room = min(room, end - planned)
        guard room > 0 else { return planned }
        let hash = StableHash.mix(UInt64(bitPattern: config), UInt64(bitPattern: planned))
        return planned + Int64(hash % (UInt64(room) + 1))
    }

    /// The greatest value that `next` gives in (after, through]; `next` must be monotone.
    ///
    /// Steps back from the end, a minute, an hour, a day … until a fire is met, then halves.
    private static func latest(
        after: Int64, through: Int64, next: (Int64) -> Int64?
    ) -> Int64? {
        // Within the calendar's range no difference of two instants overflows.
        let after = max(after, firstMicrosecond - 1)
        let through = min(through, lastMicrosecond)
        guard after < through, let first = next(after), first <= through else { return nil }
        guard let second = next(first), second <= through else { return first }
        var best = second
        // No fire lies in (empty, through].
        var empty = through
        var step: Int64 = 60_000_000
        while step < Int64.max / 64 {
            let (probe, overflow) = through.subtractingReportingOverflow(step)
            guard !overflow, probe > best else { break }
            if let fire = next(probe), fire <= empty {
                best = fire
                break
            }
            empty = probe
            step *= 32
        }
        while let following = next(best), following <= empty {
            best = following
            let middle = best + (empty - best) / 2
            if let fire = next(middle), fire <= empty {
                best = fire
            } else {
                empty = middle
            }
        }
        return best
    }
}

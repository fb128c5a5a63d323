public import Timing

/// A fire that a clock change moved: its own time was left out.
public struct MovedFire: Hashable, Sendable {
    /// `02:30`, or with seconds where it has some; with its date where that is another.
    public let missing: String
    /// The date and time at which it fires instead, on the zone's clock: `29 March 2026 at 03:00`.
    public let at: String
}

extension FireRule {
    /// Why `fire`, one that `next` has given, is not at a time that its schedule names; nil when it
    /// is. Jitter is no reason.
    public func moved(_ fire: WallInstant) -> MovedFire? {
        guard let planned = planned(of: fire) else { return nil }
        let second = planned.floorDivided(by: 1_000_000)
        let segment = zone.segment(at: second)
        guard segment.start == second, segment.jump > 0 else { return nil }
        let missing: Int64
        switch schedule {
        case .cron(let cron):
            guard !cron.followsRealTime,
                cron.nextLocal(from: segment.localStart) != segment.localStart,
                let first = cron.nextLocal(from: segment.localReached)
            else { return nil }
            missing = first
        case .at(let time):
            missing = time.microseconds.floorDivided(by: 1_000_000)
        case .every, .after, .manual, .reboot: return nil
        }
        guard missing >= segment.localReached, missing < segment.localStart else { return nil }
        let day = Self.date(of: segment.localStart)
        let isSameDay = Self.date(of: missing) == day
        return MovedFire(
            missing: Self.clock(of: missing) + (isSameDay ? "" : " on \(Self.date(of: missing))"),
            at: "\(day) at \(Self.clock(of: segment.localStart))")
    }

    private static func date(of local: Int64) -> String {
        let date = CivilDate(dayNumber: local.floorDivided(by: CalendarRange.secondsPerDay))
        return "\(date.day) \(CronField.monthName(date.month)) \(date.year)"
    }

    private static func clock(of local: Int64) -> String {
        let day = local.floorDivided(by: CalendarRange.secondsPerDay)
        let rest = Int(local - day * CalendarRange.secondsPerDay)
        return Words.clock(rest / 3600, rest / 60 % 60, rest % 60 == 0 ? nil : rest % 60)
    }
}

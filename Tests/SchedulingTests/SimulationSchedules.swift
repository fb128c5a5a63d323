import Scheduling
import Timing

/// The microseconds of usual lengths.
enum Length {
    static let second: Int64 = 1_000_000
    static let minute = 60 * second
    static let hour = 60 * minute
    static let day = 24 * hour
    /// Later than all, and far enough from the end of the range for sums.
    static let never = Int64.max / 4
}

/// The offsets of a zone hour by hour, so that a scan of a year need not ask for each minute.
final class HourlyOffsets {
    let zone: ZoneRules
    private var known: [Int: Int] = [:]

    init(_ zone: ZoneRules) {
        self.zone = zone
    }

    /// Seconds east of UTC at `instant`, seconds since 1970 that begin an hour.
    func offset(atHour instant: Int) -> Int {
        if let offset = known[instant] { return offset }
        let offset = zone.offset(at: WallInstant(seconds: Int64(instant)))
        known[instant] = offset
        return offset
    }
}

/// When a config fires, known by its parts: the simulation's own knowledge, not the parser's.
struct DrawnRule {
    enum Kind {
        /// The times of `cron`, at each of these seconds of the minute.
        case cron(BruteForce, seconds: [Int])
        case every(Int64)
        case after(Int64)
        /// The local time of `cron` in one year.
        case once(BruteForce, year: Int)
        case reboot
    }

    var kind: Kind
    /// What stands in the column `schedule`.
    var text: String
    var zone: HourlyOffsets
    var onGap = FireRule.OnGap.run
    var onRepeat = FireRule.OnRepeat.first
    var startsAt: Int64?
    var endsAt: Int64?
    var jitter: Int64 = 0

    /// What the daemon makes of the row.
    func rule(config: Int64) throws -> FireRule {
        FireRule(
            schedule: try Schedule(parsing: text, hashSeed: config), zone: zone.zone,
            config: config, onGap: onGap, onRepeat: onRepeat,
            startsAt: startsAt.map(WallInstant.init(microseconds:)),
            endsAt: endsAt.map(WallInstant.init(microseconds:)), jitterMicroseconds: jitter)
    }

    /// The fires in (after, through] by brute force, in order; none for `@after` and `@reboot`.
    func fires(of config: Int64, after: Int64, through: Int64) -> [Int64] {
        guard through > after else { return [] }
        let planned = planned(after: after - jitter - 1, through: through + jitter + 1)
        guard jitter > 0 else { return planned.filter { $0 > after && $0 <= through } }
        var result: [Int64] = []
        for (index, instant) in planned.enumerated() {
            var room = jitter
            if index + 1 < planned.count { room = min(room, planned[index + 1] - instant - 1) }
            if let endsAt { room = min(room, endsAt - instant) }
            let moved = instant + Self.moved(config, instant, room)
            if moved > after, moved <= through { result.append(moved) }
        }
        return result
    }

    /// The hash of jitter once more: two rounds of splitmix64.
    private static func moved(_ config: Int64, _ instant: Int64, _ room: Int64) -> Int64 {
        guard room > 0 else { return 0 }
        var first = SeededGenerator(state: UInt64(bitPattern: config))
        var second = SeededGenerator(state: first.next() &+ UInt64(bitPattern: instant))
        return Int64(second.next() % (UInt64(room) + 1))
    }

    /// The planned times in (after, through], jitter left out.
    private func planned(after: Int64, through: Int64) -> [Int64] {
        let last = min(through, endsAt ?? through)
        let first = max(after, (startsAt ?? .min + 1) - 1)
        guard last > first else { return [] }
        switch kind {
        case .after, .reboot: return []
        case .every(let period):
            let anchor = startsAt ?? 0
            var instant = anchor + (first - anchor) / period * period - period
            while instant <= first { instant += period }
            return Array(stride(from: instant, through: last, by: Int64.Stride(period)))
        case .cron(let cron, let seconds):
            return minutes(of: cron, first, last).flatMap { minute in
                seconds.map { minute + Int64($0) * Length.second }
            }.filter { $0 > first && $0 <= last }
        case .once(let cron, let year):
            // Once is once: the first instant at which the clock shows the time.
            let begin = Int64(PlainCalendar.days(year, 1, 1) - 2) * Length.day
            return minutes(of: cron, begin, begin + 369 * Length.day)
                .filter { local($0, year) }.prefix(1)
                .filter { $0 > first && $0 <= last }
        }
    }

    private func local(_ instant: Int64, _ year: Int) -> Bool {
        let second = Int(instant / Length.second)
        let local = second + zone.zone.offset(at: WallInstant(seconds: Int64(second)))
        return PlainCalendar.date(local / 86_400).year == year
    }

    private func minutes(of cron: BruteForce, _ first: Int64, _ last: Int64) -> [Int64] {
        cron.fires(
            after: Int(first / Length.second) - 61, through: Int(last / Length.second),
            offsets: zone, onGap: onGap, onRepeat: onRepeat
        )
        .map { Int64($0) * Length.second }
    }
}

extension BruteForce {
    /// An expression of five fields that is known by its parts.
    init(
        _ text: String, minutes: Set<Int>, hours: Set<Int> = Set(0...23),
        days: Set<Int> = Set(1...31), months: Set<Int> = Set(1...12),
        weekdays: Set<Int> = Set(0...6), realTime: Bool
    ) {
        self.text = text
        self.minutes = minutes
        self.hours = hours
        self.days = days
        self.months = months
        self.weekdays = weekdays
        self.realTime = realTime
        (lastDays, nearestWorkdays, nthWeekdays, lastWeekdays) = ([], [], [], [])
        bothDays = true
    }

    /// The fires in (after, through]: a look at each minute, but an hour in which the clock runs
    /// evenly and shows no hour of the expression is passed over.
    func fires(
        after: Int, through: Int, offsets: HourlyOffsets, onGap: FireRule.OnGap,
        onRepeat: FireRule.OnRepeat
    ) -> [Int] {
        var result: [Int] = []
        var reached: Int?
        var hour = after - after % 3600 - 2 * 86_400
        while hour <= through {
            defer { hour += 3600 }
            let offset = offsets.offset(atHour: hour)
            let isEven = offset == offsets.offset(atHour: hour + 3600)
            let first = hour + offset
            if isEven, reached.map({ first - $0 <= 60 }) ?? true, !shows(first) {
                reached = max(reached ?? first, first + 3540)
                continue
            }
            for instant in stride(from: hour, through: min(hour + 3540, through), by: 60) {
                let there =
                    isEven ? offset : offsets.zone.offset(at: WallInstant(seconds: Int64(instant)))
                let local = instant + there
                defer { reached = max(reached ?? local, local) }
                guard let reached, instant > after else { continue }
                if fires(at: local, reached: reached, onGap, onRepeat) { result.append(instant) }
            }
        }
        return result
    }

    /// Whether an hour of the expression is shown in the 60 minutes from `local` on.
    private func shows(_ local: Int) -> Bool {
        let time = (local % 86_400 + 86_400) % 86_400
        return hours.contains(time / 3600) || hours.contains((time + 3540) / 3600 % 24)
    }

    private func fires(
        at local: Int, reached: Int, _ onGap: FireRule.OnGap, _ onRepeat: FireRule.OnRepeat
    ) -> Bool {
        let missing = local - reached - 60
        if missing > 0, missing <= 3 * 3600, !realTime, onGap == .run,
            stride(from: reached + 60, to: local, by: 60).contains(where: matches)
        {
            return true
        }
        return (local > reached || realTime || onRepeat == .both) && matches(local)
    }
}

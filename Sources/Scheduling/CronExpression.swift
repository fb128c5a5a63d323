/// The times and days that a cron expression names, as bit sets: 44 bytes, no reference.
///
/// Syntax and meaning are Debian's cron(5) with the additions of the design, section 6: seconds,
/// wrapped ranges, `L`, `L-3`, `15W`, `LW`, `5#2`, `5L`, `H` and `+`. An expression that could
/// never fire is refused when it is parsed, so a value of this type always has a next fire.
public struct CronExpression: Hashable, Sendable {
    struct Flags: OptionSet, Hashable, Sendable {
        let rawValue: UInt8
        /// Second, minute or hour began with `*`: the schedule follows real time.
        static let realTime = Flags(rawValue: 1)
        /// Both day fields must match (one began with `*`, or the weekday with `+`).
        static let bothDays = Flags(rawValue: 2)
        /// One of L, L-n, LW, nW, d#n, dL is in use.
        static let specialDays = Flags(rawValue: 4)
        /// `LW`: the last of Monday to Friday in the month.
        static let lastWorkday = Flags(rawValue: 8)
    }

    /// Bits 0 to 59.
    var seconds: UInt64 = 1
    /// Bits 0 to 59.
    var minutes: UInt64 = 0
    /// `d#n`: bit 7 × (n − 1) + d for n = 1 to 5; from bit 35 on `dL`, d = 0 to 6.
    var nthWeekdays: UInt64 = 0
    /// Bits 0 to 23.
    var hours: UInt32 = 0
    /// Bits 1 to 31.
    var days: UInt32 = 0
    /// `L-n`: bits 0 (`L`) to 30.
    var lastDays: UInt32 = 0
    /// `nW`: bits 1 to 31.
    var nearestWorkdays: UInt32 = 0
    /// Bits 1 to 12.
    var months: UInt16 = 0
    /// Bits 0 (Sunday) to 6.
    var weekdays: UInt8 = 0
    var flags: Flags = []

    init() {}

    /// True when clock changes are followed in real time: nothing is put off, repeated hours fire
    /// again (Debian cron's wildcard jobs).
    var followsRealTime: Bool { flags.contains(.realTime) }

    /// The days that match in a month, as bits 1 to 31.
    func matchingDays(length: Int, firstWeekday: Int) -> UInt32 {
        let all = (~UInt32(0) << 1) & (~UInt32(0) >> UInt32(31 - length))
        var byDate = days
        var byWeekday = Self.spread(weekdays, from: firstWeekday)
        if flags.contains(.specialDays) {
            byDate |= specialDates(length: length, firstWeekday: firstWeekday)
            byWeekday |= specialWeekdays(length: length, firstWeekday: firstWeekday)
        }
        return (flags.contains(.bothDays) ? byDate & byWeekday : byDate | byWeekday) & all
    }

    /// The weekdays of a seven-bit set laid over the days from 1 on.
    @inline(__always)
    private static func spread(_ set: UInt8, from firstWeekday: Int) -> UInt32 {
        let doubled = UInt64(set) | UInt64(set) << 7
        let week = (doubled >> UInt64(firstWeekday)) & 0x7F
        return UInt32(truncatingIfNeeded: (week &* 0x1020_4081) << 1)
    }

    private func specialDates(length: Int, firstWeekday: Int) -> UInt32 {
        var result: UInt32 = 0
        var rest = lastDays
        while rest != 0 {
            let back = rest.trailingZeroBitCount
            rest &= rest - 1
            if back < length { result |= 1 << UInt32(length - back) }
        }
        rest = nearestWorkdays
        while rest != 0 {
            let day = rest.trailingZeroBitCount
            rest &= rest - 1
            guard day <= length else { continue }
            result |=
                1
                << UInt32(Self.nearestWorkday(to: day, length: length, firstWeekday: firstWeekday))
        }
        if flags.contains(.lastWorkday) {
            let weekday = (firstWeekday + length - 1) % 7
            let back = weekday == 6 ? 1 : weekday == 0 ? 2 : 0
            result |= 1 << UInt32(length - back)
        }
        return result
    }

    /// Saturday goes back, Sunday forward, and neither leaves the month.
    private static func nearestWorkday(to day: Int, length: Int, firstWeekday: Int) -> Int {
        switch (firstWeekday + day - 1) % 7 {
        case 6: day == 1 ? 3 : day - 1
        case 0: day == length ? day - 2 : day + 1
        default: day
        }
    }

    private func specialWeekdays(length: Int, firstWeekday: Int) -> UInt32 {
        var result: UInt32 = 0
        for week in 0..<5 {
            let set = UInt8(truncatingIfNeeded: nthWeekdays >> UInt64(7 * week)) & 0x7F
            guard set != 0 else { continue }
            let seven = UInt32(0x7F) << UInt32(7 * week + 1)
            result |= Self.spread(set, from: firstWeekday) & seven
        }
        let last = UInt8(truncatingIfNeeded: nthWeekdays >> 35) & 0x7F
        if last != 0 {
            let seven = UInt32(0x7F) << UInt32(length - 6)
            result |= Self.spread(last, from: firstWeekday) & seven
        }
        return result
    }
}

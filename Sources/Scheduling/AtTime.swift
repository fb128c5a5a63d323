/// The one time of `@at`: an instant, or a time on the clock of the config's zone.
public struct AtTime: Hashable, Sendable {
    /// Microseconds since 1970-01-01 00:00, on the local clock or in UTC.
    let microseconds: Int64
    /// The text named no offset: the config's zone decides.
    let isLocal: Bool

    /// The instant, or nil when the zone's clock never shows it (a gap of over 3 h, or skipped).
    func instant(in zone: ZoneRules, onGap: FireRule.OnGap) -> Int64? {
        guard isLocal else { return microseconds }
        let second = microseconds.floorDivided(by: 1_000_000)
        let clock = LocalClock(zone: zone, runsAfterGap: onGap == .run)
        guard let instant = clock.instant(ofLocal: second) else { return nil }
        let isShown = instant + zone.segment(at: instant).offset == second
        // After a gap the time is the first instant that exists: the fraction has gone, too.
        return instant * 1_000_000 + (isShown ? microseconds - second * 1_000_000 : 0)
    }

    /// Reads `2027-01-31 09:00`, with seconds, fraction (6 digits) and offset (`Z`, `+05:30`) or
    /// without; `T` may stand for the blank. The cursor must be at the date.
    init(_ cursor: inout ByteCursor) throws(ScheduleSyntaxError) {
        let year = try Self.number(&cursor, digits: 4...4, 1...9999, "a year 0001 to 9999")
        try Self.demand(&cursor, "-", "year-month-day")
        let month = try Self.number(&cursor, digits: 1...2, 1...12, "a month 1 to 12")
        try Self.demand(&cursor, "-", "year-month-day")
        let longest = CivilDate.daysInMonth(month, of: Int64(year))
        let day = try Self.number(
            &cursor, digits: 1...2, 1...longest,
            "a day 1 to \(longest) of \(CronField.monthName(month)) \(year)")
        if !cursor.take(UInt8(ascii: "t")) {
            guard let blank = cursor.peek(), ByteCursor.isBlank(blank) else {
                throw Self.failure(cursor, "a time of day, as in 09:00, is needed after the date")
            }
            cursor.skipBlanks()
        }
        let hour = try Self.number(&cursor, digits: 1...2, 0...23, "an hour 0 to 23")
        try Self.demand(&cursor, ":", "hour:minute")
        let minute = try Self.number(&cursor, digits: 2...2, 0...59, "a minute 00 to 59")
        var (second, fraction) = (0, 0)
        if cursor.take(UInt8(ascii: ":")) {
            second = try Self.number(&cursor, digits: 2...2, 0...59, "a second 00 to 59")
            if cursor.take(UInt8(ascii: ".")) { fraction = try Self.fraction(&cursor) }
        }
        let offset = try Self.offset(&cursor)
        guard cursor.isAtEnd else {
            throw Self.failure(
                cursor,
                "\(cursor.excerpt(from: cursor.position, to: cursor.end)) is not allowed; "
                    + "Z or an offset such as +01 or +05:30 are")
        }
        let date = CivilDate(year: Int64(year), month: month, day: day)
        let time = Int64(hour * 3600 + minute * 60 + second - (offset ?? 0))
        microseconds =
            (date.dayNumber * CalendarRange.secondsPerDay + time) * 1_000_000 + Int64(fraction)
        isLocal = offset == nil
    }

    private static func fraction(_ cursor: inout ByteCursor) throws(ScheduleSyntaxError) -> Int {
        let start = cursor
        let (value, digits) = cursor.takeNumber()
        guard (1...6).contains(digits) else {
            throw failure(start, "1 to 6 digits are allowed after the point")
        }
        return (digits..<6).reduce(value) { value, _ in value * 10 }
    }

    /// Seconds east of UTC; nil when the text names none.
    private static func offset(_ cursor: inout ByteCursor) throws(ScheduleSyntaxError) -> Int? {
        cursor.skipBlanks()
        if cursor.take(UInt8(ascii: "z")) { return 0 }
        let sign: Int
        if cursor.take(UInt8(ascii: "+")) {
            sign = 1
        } else if cursor.take(UInt8(ascii: "-")) {
            sign = -1
        } else {
            return nil
        }
        let start = cursor
        let (number, digits) = cursor.takeNumber()
        var (hours, minutes) = (number, 0)
        if digits == 4 {
            (hours, minutes) = (number / 100, number % 100)
        } else if digits <= 2, cursor.take(UInt8(ascii: ":")) {
            minutes = try Self.number(&cursor, digits: 2...2, 0...59, "minutes 00 to 59")
        }
        guard [1, 2, 4].contains(digits), hours <= 15, minutes <= 59 else {
            throw failure(start, "offsets from -15:59 to +15:59 are allowed")
        }
        return sign * (hours * 3600 + minutes * 60)
    }

    private static func number(
        _ cursor: inout ByteCursor, digits allowed: ClosedRange<Int>, _ range: ClosedRange<Int>,
        _ what: String
    ) throws(ScheduleSyntaxError) -> Int {
        let start = cursor
        let (value, digits) = cursor.takeNumber()
        guard allowed.contains(digits), range.contains(value) else {
            let token = cursor.excerpt(
                from: start.position, to: max(cursor.position, start.position + 1))
            throw failure(
                start, "\(token.isEmpty ? "nothing" : token) is not allowed; \(what) is")
        }
        return value
    }

    private static func demand(
        _ cursor: inout ByteCursor, _ character: Unicode.Scalar, _ form: String
    ) throws(ScheduleSyntaxError) {
        guard cursor.take(UInt8(ascii: character)) else {
            throw failure(cursor, "\(form) is the form, as in @at 2027-01-31 09:00")
        }
    }

    private static func failure(_ cursor: ByteCursor, _ reason: String) -> ScheduleSyntaxError {
        ScheduleSyntaxError(
            field: "@at", column: cursor.column(of: cursor.position), reason: reason)
    }
}

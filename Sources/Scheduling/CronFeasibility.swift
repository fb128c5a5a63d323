/// Dates that no calendar has: refused when they are saved, so that no search can be endless.
extension CronExpression {
    /// Why no date ever matches, or nil. The verdict is the same for every `hashSeed`.
    func whyNever(
        day: CronFieldValues, month: CronFieldValues, weekday: CronFieldValues
    ) -> String? {
        // With either day field enough, the weekdays alone come round in every month.
        guard flags.contains(.bothDays) else { return nil }
        if day.values == 0xFFFF_FFFE, !day.usesHash { return nil }
        if day.leastDay > month.longestMonth {
            return neverText(day: day, month: month)
        }
        // A date falls on each weekday in some year (29 February too, within 28 or 40 years).
        if !flags.contains(.specialDays) { return nil }
        if weekday.values == 0x7F, !weekday.usesHash { return nil }
        if day.usesHash || month.usesHash || weekday.usesHash {
            return "H is not allowed together with L, W or # where both day fields must match"
        }
        return hasMatchingMonth ? nil : "can never fire: no date matches both day fields"
    }

    /// Tries every kind of month there is: in 400 years each begins on each weekday.
    private var hasMatchingMonth: Bool {
        for month in 1...12 where months & (1 << UInt16(month)) != 0 {
            for year: Int64 in month == 2 ? [2000, 2001] : [2000] {
                let length = CivilDate.daysInMonth(month, of: year)
                for weekday in 0..<7
                where matchingDays(length: length, firstWeekday: weekday) != 0 {
                    return true
                }
            }
        }
        return false
    }

    private func neverText(day: CronFieldValues, month: CronFieldValues) -> String {
        let ordinal = day.leastDay == 31 ? "31st" : "\(day.leastDay)th"
        if day.usesHash || month.usesHash {
            return "could never fire: H may choose a month that has no \(ordinal)"
        }
        let single = months.nonzeroBitCount == 1
        let who =
            single
            ? "\(CronField.monthName(months.trailingZeroBitCount)) has no"
            : "none of these months has a"
        return "can never fire: \(who) \(ordinal)"
    }
}

/// The search for the next local time: over bit sets, month by month.
extension CronExpression {
    /// Returns the first matching local time at or after `start`, or nil past the year 9999.
    ///
    /// Seconds since 1970-01-01 on a clock without changes. Bounded: at most the 40 years between
    /// two 29 February of one weekday, one step a listed month.
    func nextLocal(from start: Int64) -> Int64? {
        let start = max(start, CalendarRange.firstSecond)
        guard start <= CalendarRange.lastSecond else { return nil }
        let dayNumber = start.floorDivided(by: CalendarRange.secondsPerDay)
        let date = CivilDate(dayNumber: dayNumber)
        if months & (1 << UInt16(date.month)) != 0 {
            let firstOfMonth = dayNumber - Int64(date.day) + 1
            let matching = matchingDays(
                length: CivilDate.daysInMonth(date.month, of: date.year),
                firstWeekday: CivilDate.weekday(ofDayNumber: firstOfMonth))
            let midnight = dayNumber * CalendarRange.secondsPerDay
            if matching & (1 << UInt32(date.day)) != 0,
                let time = timeOfDay(from: Int(start - midnight))
            {
                return midnight + time
            }
            let later = matching & (~UInt32(1) << UInt32(date.day))
            if later != 0 {
                let ahead = Int64(later.trailingZeroBitCount - date.day)
                return midnight + ahead * CalendarRange.secondsPerDay + firstTimeOfDay
            }
        }
        return firstLocal(afterMonth: date.month, of: date.year)
    }

    private func firstLocal(afterMonth month: Int, of startYear: Int64) -> Int64? {
        var year = startYear
        var rest = months & (~UInt16(1) << UInt16(month))
        // Dates and weekdays repeat after 400 years: the parser refused what does not fire in them.
        while year <= 9999, year <= startYear + 400 {
            while rest != 0 {
                let month = rest.trailingZeroBitCount
                rest &= rest - 1
                let length = CivilDate.daysInMonth(month, of: year)
                let first = CivilDate(year: year, month: month, day: 1).dayNumber
                let matching = matchingDays(
                    length: length, firstWeekday: CivilDate.weekday(ofDayNumber: first))
                if matching != 0 {
                    let day = first + Int64(matching.trailingZeroBitCount) - 1
                    return day * CalendarRange.secondsPerDay + firstTimeOfDay
                }
            }
            year += 1
            rest = months
        }
        return nil
    }

    private var firstTimeOfDay: Int64 {
        Int64(hours.trailingZeroBitCount) * 3600 + Int64(minutes.trailingZeroBitCount) * 60
            + Int64(seconds.trailingZeroBitCount)
    }

    /// The first matching second of the day at or after `start`, or nil when the day has no more.
    private func timeOfDay(from start: Int) -> Int64? {
        var hour = start / 3600
        if hours & (1 << UInt32(hour)) != 0 {
            var minute = start / 60 % 60
            if minutes & (1 << UInt64(minute)) != 0 {
                let second = (seconds & (~UInt64(0) << UInt64(start % 60))).trailingZeroBitCount
                if second < 60 { return Int64(hour * 3600 + minute * 60 + second) }
            }
            minute = (minutes & (~UInt64(1) << UInt64(minute))).trailingZeroBitCount
            if minute < 60 {
                return Int64(hour * 3600 + minute * 60 + seconds.trailingZeroBitCount)
            }
        }
        hour = (hours & (~UInt32(1) << UInt32(hour))).trailingZeroBitCount
        guard hour < 24 else { return nil }
        return Int64(
            hour * 3600 + minutes.trailingZeroBitCount * 60 + seconds.trailingZeroBitCount)
    }
}

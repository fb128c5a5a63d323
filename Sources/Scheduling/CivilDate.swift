/// A date of the proleptic Gregorian calendar, years 1 to 9999.
///
/// The day-number arithmetic is the well-known one over 400-year eras of 146,097 days, which start
/// on 1 March so that the leap day comes last. Days are counted from 1970-01-01.
struct CivilDate: Hashable, Sendable {
    var year: Int64
    /// 1 to 12.
    var month: Int
    /// 1 to 31.
    var day: Int

    init(year: Int64, month: Int, day: Int) {
        self.year = year
        self.month = month
        self.day = day
    }

    /// The date of a day number; any within ±10^12 days.
    init(dayNumber: Int64) {
        let shifted = dayNumber + 719_468
        let era = shifted.floorDivided(by: 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        day = Int(dayOfYear - (153 * marchMonth + 2) / 5 + 1)
        month = Int(marchMonth < 10 ? marchMonth + 3 : marchMonth - 9)
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    /// Days since 1970-01-01.
    var dayNumber: Int64 {
        let marchYear = month <= 2 ? year - 1 : year
        let era = marchYear.floorDivided(by: 400)
        let yearOfEra = marchYear - era * 400
        let marchMonth = Int64(month > 2 ? month - 3 : month + 9)
        let dayOfYear = (153 * marchMonth + 2) / 5 + Int64(day) - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    static func isLeap(_ year: Int64) -> Bool {
        year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    }

    static func daysInMonth(_ month: Int, of year: Int64) -> Int {
        if month == 2 { return isLeap(year) ? 29 : 28 }
        // April, June, September and November have 30.
        return (0b0101_0010_1000_0 >> month) & 1 == 1 ? 30 : 31
    }

    /// 0 = Sunday … 6 = Saturday.
    static func weekday(ofDayNumber number: Int64) -> Int {
        let remainder = (number + 4) % 7
        return Int(remainder < 0 ? remainder + 7 : remainder)
    }
}

/// The range in which the calendar answers: 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z.
enum CalendarRange {
    static let secondsPerDay: Int64 = 86_400
    static let firstSecond: Int64 = -62_135_596_800
    static let lastSecond: Int64 = 253_402_300_799
    /// 400 Gregorian years: a whole number of weeks, so that dates and weekdays repeat.
    static let cycleSeconds: Int64 = 146_097 * 86_400
}

extension Int64 {
    /// The quotient rounded towards minus infinity; `divisor` must be positive.
    @inline(__always)
    func floorDivided(by divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}

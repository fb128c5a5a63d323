/// The six fields of a cron expression, in their order.
enum CronField: UInt64, CaseIterable, Sendable {
    case second, minute, hour, day, month, dayOfWeek

    var name: String {
        switch self {
        case .second: "second"
        case .minute: "minute"
        case .hour: "hour"
        case .day: "day"
        case .month: "month"
        case .dayOfWeek: "day of week"
        }
    }

    /// The least and the greatest number that may be written.
    var range: ClosedRange<Int> {
        switch self {
        case .second, .minute: 0...59
        case .hour: 0...23
        case .day: 1...31
        case .month: 1...12
        case .dayOfWeek: 0...7
        }
    }

    /// How many different values there are: ranges across the end wrap after so many.
    var span: Int {
        switch self {
        case .second, .minute: 60
        case .hour: 24
        case .day: 31
        case .month: 12
        case .dayOfWeek: 7
        }
    }

    /// What the error texts say is allowed.
    var allowed: String {
        switch self {
        case .second, .minute: "0 to 59"
        case .hour: "0 to 23"
        case .day: "1 to 31, L, L-1 to L-30, LW and 1W to 31W"
        case .month: "1 to 12 and JAN to DEC"
        case .dayOfWeek: "0 to 7, SUN to SAT, 5#1 to 5#5 and 5L"
        }
    }

    private static let monthNames: [StaticString] = [
        "january", "february", "march", "april", "may", "june", "july", "august", "september",
        "october", "november", "december",
    ]

    private static let dayNames: [StaticString] = [
        "sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday",
    ]

    /// The number of a name of this field: three letters or in full; `word` in lower case.
    func number(named word: String) -> Int? {
        let names: [StaticString]
        switch self {
        case .month: names = Self.monthNames
        case .dayOfWeek: names = Self.dayNames
        default: return nil
        }
        guard word.utf8.count >= 3 else { return nil }
        let index = names.firstIndex { name in
            let full = name.description
            return word == full || (word.utf8.count == 3 && full.hasPrefix(word))
        }
        return index.map { $0 + range.lowerBound }
    }

    /// A month's English name for error texts; `month` 1 to 12.
    static func monthName(_ month: Int) -> String {
        guard monthNames.indices.contains(month - 1) else { return "month \(month)" }
        return monthNames[month - 1].description.prefix(1).uppercased()
            + monthNames[month - 1].description.dropFirst()
    }
}

/// What one field says.
struct CronFieldValues {
    /// Plain values, bit n = value n; Sunday is 0.
    var values: UInt64 = 0
    /// The field begins with `*` or `?`.
    var startsWithStar = false
    /// The weekday field begins with `+`.
    var demandsBoth = false
    var lastDays: UInt32 = 0
    var nearestWorkdays: UInt32 = 0
    var lastWorkday = false
    var nthWeekdays: UInt64 = 0
    var usesHash = false
    /// The least day number that the field is sure to name, whatever `H` gives (`L-n` counts as
    /// n + 1: a month has to be as long as that).
    var leastDay = Int.max
    /// The length of the longest month that the field is sure to name, whatever `H` gives.
    var longestMonth = 0

    var usesSpecialDays: Bool {
        lastDays != 0 || nearestWorkdays != 0 || lastWorkday || nthWeekdays != 0
    }
}

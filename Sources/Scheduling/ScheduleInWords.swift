/// A schedule told in English: `at 02:30 on Monday to Friday`. Pure; no zone, no clock.
///
/// Every schedule that is accepted has a sentence, and the sentence names all of its times; shapes
/// that nobody writes are listed value by value. `timetable.schedule_in_words` (sql/32_words.sql)
/// says the same, word for word.
public enum ScheduleInWords {
    /// The sentence, or nil for a text that is no schedule.
    ///
    /// `config` is the config's id, which decides `H`; nil: the sentence says that `H` chooses.
    public static func of(_ text: String, config: Int64? = nil) -> String? {
        guard let schedule = try? Schedule(parsing: text, hashSeed: config ?? 0) else { return nil }
        if config == nil, case .cron(let cron) = schedule, let hashed = HashedWords(text, cron) {
            return hashed.sentence
        }
        return of(schedule)
    }

    /// The sentence of a schedule whose `H` has been decided.
    public static func of(_ schedule: Schedule) -> String {
        switch schedule {
        case .cron(let cron): CronWords(cron).sentence
        case .every(let length): "every " + duration(length, leavesOutOne: true)
        case .after(let length):
            duration(length, leavesOutOne: false) + " after the end of the run before"
        case .at(let time): at(time)
        case .manual: "only when it is asked for"
        case .reboot: "once when a daemon becomes ready"
        }
    }

    private static func at(_ time: AtTime) -> String {
        let second = time.microseconds.floorDivided(by: 1_000_000)
        let fraction = time.microseconds - second * 1_000_000
        let day = second.floorDivided(by: CalendarRange.secondsPerDay)
        let date = CivilDate(dayNumber: day)
        let rest = Int(second - day * CalendarRange.secondsPerDay)
        // An offset may lead out of the year 1.
        let year = date.year > 0 ? "\(date.year)" : "\(1 - date.year) BC"
        let hasSeconds = rest % 60 != 0 || fraction != 0
        var clock = Words.clock(
            rest / 3600, rest / 60 % 60, hasSeconds ? rest % 60 : nil)
        if fraction != 0 { clock += "." + String(String(1_000_000 + fraction).dropFirst()) }
        return "once, on \(date.day) \(CronField.monthName(date.month)) \(year) at \(clock)"
            + (time.isLocal ? "" : " UTC")
    }

    private static let units: [(length: Int64, name: String)] = [
        (3_600_000_000, "hour"), (60_000_000, "minute"), (1_000_000, "second"),
        (1000, "millisecond"), (1, "microsecond"),
    ]

    /// A length in one unit where one fits, else in several.
    private static func duration(_ length: Int64, leavesOutOne: Bool) -> String {
        let day: Int64 = 86_400_000_000
        // Not a day of the calendar, which may have 23 or 25.
        if length % day == 0, length / day > 1 { return "\(length / day) days of 24 hours" }
        for unit in units where length % unit.length == 0 && length / unit.length < 1000 {
            let count = length / unit.length
            return count == 1 && leavesOutOne ? unit.name : Words.counted(Int(count), unit.name)
        }
        var parts: [String] = []
        var rest = length
        for unit in units where rest >= unit.length {
            parts.append(Words.counted(Int(rest / unit.length), unit.name))
            rest %= unit.length
        }
        return Words.list(parts)
    }
}

/// The small words of a sentence.
enum Words {
    static func list(_ items: [String], _ conjunction: String = "and") -> String {
        guard let last = items.last, items.count > 1 else { return items.first ?? "" }
        return items.dropLast().joined(separator: ", ") + " \(conjunction) " + last
    }

    static func counted(_ count: Int, _ noun: String) -> String {
        "\(count) \(noun)\(count == 1 ? "" : "s")"
    }

    static func clock(_ hour: Int, _ minute: Int, _ second: Int? = nil) -> String {
        ([hour, minute] + (second.map { [$0] } ?? []))
            .map { $0 < 10 ? "0\($0)" : "\($0)" }.joined(separator: ":")
    }

    static func ordinal(_ number: Int) -> String {
        switch (number % 10, number / 10 % 10) {
        case (_, 1): "\(number)th"
        case (1, _): "\(number)st"
        case (2, _): "\(number)nd"
        case (3, _): "\(number)rd"
        default: "\(number)th"
        }
    }

    /// The bits that are set, in order.
    static func values(_ set: UInt64) -> [Int] {
        (0..<64).filter { set >> UInt64($0) & 1 == 1 }
    }

    /// Runs of neighbours as (first, last). `wrapsAfter`: the value after which the least follows;
    /// a run across it is one, and stands last.
    static func runs(_ values: [Int], wrapsAfter end: Int? = nil) -> [(first: Int, last: Int)] {
        var runs: [(first: Int, last: Int)] = []
        for value in values {
            if let last = runs.last, last.last == value - 1 {
                runs[runs.count - 1].last = value
            } else {
                runs.append((value, value))
            }
        }
        if let end, let first = runs.first, let last = runs.last, runs.count > 1, first.first == 0,
            last.last == end
        {
            runs[runs.count - 1].last = first.last
            runs.removeFirst()
        }
        return runs
    }

    /// One item for each value, `a to b` for three neighbours or more.
    static func items(
        _ values: [Int], wrapsAfter end: Int? = nil, _ name: (Int) -> String
    ) -> [String] {
        runs(values, wrapsAfter: end).flatMap { run -> [String] in
            let length = run.last - run.first + (run.last < run.first ? (end ?? 0) + 1 : 0) + 1
            if length > 2 { return ["\(name(run.first)) to \(name(run.last))"] }
            return length == 1 ? [name(run.first)] : [name(run.first), name(run.last)]
        }
    }

    /// The distance of evenly spaced values: two or more.
    static func step(_ values: [Int]) -> Int? {
        guard values.count > 1 else { return nil }
        let step = values[1] - values[0]
        return zip(values, values.dropFirst()).allSatisfy { $1 - $0 == step } ? step : nil
    }
}

/// A cron expression in words: first the times of day, then the dates.
struct CronWords {
    let cron: CronExpression
    private let seconds: [Int]
    private let minutes: [Int]
    private let hours: [Int]

    init(_ cron: CronExpression) {
        self.cron = cron
        seconds = Words.values(cron.seconds)
        minutes = Words.values(cron.minutes)
        hours = Words.values(UInt64(cron.hours))
    }

    var sentence: String { times + dates(saysEveryDay: !isEveryHour) }

    private var isEveryHour: Bool { hours.count == 24 }

    // MARK: Times of day

    private var times: String {
        if seconds.count <= 3, seconds.count * minutes.count * hours.count <= 6 { return listed }
        if seconds.count == 1, minutes.count == 1 { return hourly(minutes[0], seconds[0]) }
        return seconds.count == 1 ? minutely(seconds[0]) : secondly
    }

    /// Every single time.
    private var listed: String {
        let showsSeconds = seconds != [0]
        let all = hours.flatMap { hour in
            minutes.flatMap { minute in
                seconds.map { Words.clock(hour, minute, showsSeconds ? $0 : nil) }
            }
        }
        return "at " + Words.list(all)
    }

    private func hourly(_ minute: Int, _ second: Int) -> String {
        if isEveryHour {
            if minute == 0, second == 0 { return "every hour" }
            let past = [(minute, "minute"), (second, "second")].filter { $0.0 != 0 }
            return "at \(Words.list(past.map { Words.counted($0, $1) })) past every hour"
        }
        func clock(_ hour: Int) -> String {
            Words.clock(hour, minute, second == 0 ? nil : second)
        }
        let runs = hourRuns
        if runs.count == 1 {
            return "every hour from \(clock(runs[0].first)) to \(clock(runs[0].last))"
        }
        if let step = Words.step(hours), let first = hours.first, let last = hours.last {
            return "every \(step) hours from \(clock(first)) to \(clock(last))"
        }
        return listed
    }

    private func minutely(_ second: Int) -> String {
        let at = second == 0 ? "" : " at second \(second)"
        if let (step, first) = Self.steps(minutes) {
            return (step == 1 ? "every minute" : "every \(step) minutes") + at + window(first)
        }
        if let run = onlyRun {
            let shown = second == 0 ? nil : second
            return "every minute from \(Words.clock(hours[0], run.first, shown))"
                + " to \(Words.clock(hours[0], run.last, shown))"
        }
        let of = second == 0 ? "at " : "at second \(second) of "
        return of + Self.numbered("minute", minutes) + ofHours
    }

    private var secondly: String {
        var text = "at " + Self.numbered("second", seconds)
        var isPlain = false
        if let (step, first) = Self.steps(seconds) {
            text = step == 1 ? "every second" : "every \(step) seconds"
            isPlain = first == 0
            if !isPlain { text += " from second \(first)" }
        }
        if minutes.count == 60 { return text + (isPlain ? "" : " of every minute") + window(0) }
        if isPlain, let run = onlyRun {
            return text + " from \(Words.clock(hours[0], run.first, 0))"
                + " to \(Words.clock(hours[0], run.last, 59))"
        }
        return text + " of " + Self.numbered("minute", minutes) + ofHours
    }

    /// Which hours, for something that goes through all of them from minute `first` on.
    private func window(_ first: Int) -> String {
        if isEveryHour { return first == 0 ? "" : " from minute \(first) of every hour" }
        let runs = hourRuns
        if runs.count > 3 { return (first == 0 ? "" : " from minute \(first)") + ofHours }
        let parts = runs.map { run in
            "from \(Words.clock(run.first, first)) to \(Words.clock(run.last, 59))"
        }
        return " " + Words.list(parts)
    }

    private var ofHours: String {
        isEveryHour ? " of every hour" : " of " + Self.numbered("hour", hours)
    }

    /// The minutes, where they are neighbours in one hour of the day.
    private var onlyRun: (first: Int, last: Int)? {
        let runs = Words.runs(minutes)
        return hours.count == 1 && runs.count == 1 ? runs[0] : nil
    }

    /// Across midnight only where the next day counts, too.
    private var hourRuns: [(first: Int, last: Int)] {
        Words.runs(hours, wrapsAfter: isEveryDay && isEveryMonth ? 23 : nil)
    }

    /// `0 10 20 …`: the step, a divisor of 60, and the first value, less than the step. Few values
    /// that do not begin at 0 are better listed.
    private static func steps(_ values: [Int]) -> (step: Int, first: Int)? {
        guard let step = Words.step(values), let first = values.first, first < step,
            values.count * step == 60, first == 0 || values.count > 3
        else { return nil }
        return (step, first)
    }

    private static func numbered(_ noun: String, _ values: [Int]) -> String {
        noun + (values.count == 1 ? " " : "s ") + Words.list(Words.items(values) { "\($0)" })
    }
}

// MARK: Dates

extension CronWords {
    private var isEveryMonth: Bool { cron.months == 0x1FFE }
    private var isAnyDay: Bool { cron.days == 0xFFFF_FFFE }
    private var isAnyWeekday: Bool { cron.weekdays == 0x7F }
    private var isBoth: Bool { cron.flags.contains(.bothDays) }
    private var isEveryDay: Bool {
        isBoth ? isAnyDay && isAnyWeekday : isAnyDay || isAnyWeekday
    }

    /// With a blank before it; empty where nothing needs to be said.
    func dates(saysEveryDay: Bool) -> String {
        if isEveryDay {
            return (saysEveryDay ? " every day" : "") + (isEveryMonth ? "" : " in \(months)")
        }
        let date = " on \(Words.list(days)) of \(isEveryMonth ? "the month" : months)"
        if !isBoth { return date + " or" + onWeekdays }
        if isAnyWeekday { return date }
        if isAnyDay { return onWeekdays }
        let weekdays = Words.list(plainWeekdays + specialWeekdays, "or")
        return date + ", if that is \(weekdays)" + (specialWeekdays.isEmpty ? "" : " of the month")
    }

    private var onWeekdays: String {
        let plain = plainWeekdays
        let special = specialWeekdays
        let text = " on " + Words.list(plain + special)
        if isEveryMonth { return text + (special.isEmpty ? "" : " of the month") }
        if plain.isEmpty { return text + " of \(months)" }
        return text + (special.isEmpty ? "" : " of the month") + " in \(months)"
    }

    private var months: String {
        let values = Words.values(UInt64(cron.months) >> 1)
        return Words.list(
            Words.items(values, wrapsAfter: 11) { CronField.monthName($0 + 1) })
    }

    private var days: [String] {
        let values = Words.values(UInt64(cron.days))
        var items: [String]
        if values.count > 3, let step = Words.step(values), step > 1, let first = values.first,
            let last = values.last
        {
            items = [
                "every \(Words.ordinal(step)) day from the \(Words.ordinal(first))"
                    + " to the \(Words.ordinal(last))"
            ]
        } else {
            items = Words.items(values) { "the \(Words.ordinal($0))" }
        }
        items += Words.values(UInt64(cron.nearestWorkdays)).map {
            "the workday nearest the \(Words.ordinal($0))"
        }
        if cron.flags.contains(.lastWorkday) { items.append("the last workday") }
        items += Words.values(UInt64(cron.lastDays)).map { back in
            back == 0 ? "the last day" : "the \(Words.ordinal(back + 1))-last day"
        }
        return items
    }

    private static let weekdayNames = [
        "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
    ]

    private var plainWeekdays: [String] {
        // The week begins on Monday.
        let set = UInt64(cron.weekdays)
        return Words.items(Words.values(set >> 1 | (set & 1) << 6), wrapsAfter: 6) {
            Self.weekdayNames[$0]
        }
    }

    private var specialWeekdays: [String] {
        let places = ["first", "second", "third", "fourth", "fifth", "last"]
        return Words.values(cron.nthWeekdays).map { bit in
            "the \(places[min(bit / 7, 5)]) \(Self.weekdayNames[(bit + 6) % 7])"
        }
    }
}

/// A cron expression whose `H` no config has decided yet.
struct HashedWords {
    let sentence: String

    /// nil without an `H`. `text` is one that `cron` was read from.
    init?(_ text: String, _ cron: CronExpression) {
        let fields = text.utf8.split { ByteCursor.isBlank($0) }
            .map { String(decoding: $0, as: UTF8.self).uppercased() }
        guard fields.count >= 5 else { return nil }
        let six = fields.count == 5 ? ["0"] + fields : fields
        let isHashed = six.map { field in
            field.drop { $0 == "+" }.split(separator: ",").contains { $0.first == "H" }
        }
        guard isHashed.contains(true) else { return nil }
        sentence =
            (Self.usual(six, isHashed, cron) ?? Self.listed(six, count: fields.count, cron))
            + " (H: chosen by the config's id)"
    }

    private static func usual(
        _ fields: [String], _ isHashed: [Bool], _ cron: CronExpression
    ) -> String? {
        guard fields[1] == "H", cron.seconds == 1, !isHashed[0], !isHashed[3...].contains(true)
        else { return nil }
        let words = CronWords(cron)
        if fields[2] == "H" { return "at a fixed time" + words.dates(saysEveryDay: true) }
        if isHashed[2] { return nil }
        let hours = Words.values(UInt64(cron.hours))
        if hours.count == 24 {
            return "at a fixed minute of every hour" + words.dates(saysEveryDay: false)
        }
        guard hours.count == 1 else { return nil }
        return "at a fixed time from \(Words.clock(hours[0], 0)) to \(Words.clock(hours[0], 59))"
            + words.dates(saysEveryDay: true)
    }

    /// The fields as they are written.
    private static func listed(_ fields: [String], count: Int, _ cron: CronExpression) -> String {
        func part(_ index: Int) -> String? {
            if index == 0, count == 5 { return nil }
            let text = fields[index].drop { $0 == "+" }
            if text == "*" || text == "?" { return nil }
            return "the \(CronField.allCases[index].name) is \(text)"
        }
        var parts = [0, 1, 2, 4].compactMap(part)
        let days = [3, 5].compactMap(part)
        if cron.flags.contains(.bothDays) {
            parts += days
        } else {
            parts.append("either " + days.joined(separator: " or "))
        }
        return "when " + Words.list(parts)
    }
}

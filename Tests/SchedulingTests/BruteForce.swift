import Scheduling
import Timing

/// The rules of the calendar once more, as slowly and plainly as can be: a random expression, known
/// by its parts and not by its text, and a look at each minute.
struct BruteForce {
    let minutes, hours, days, months, weekdays: Set<Int>
    let lastDays, nearestWorkdays: Set<Int>
    let nthWeekdays: Set<[Int]>
    let lastWeekdays: Set<Int>
    let bothDays: Bool
    let realTime: Bool
    let text: String

    /// Draws an expression of five fields.
    init(using random: inout SeededGenerator) {
        var minute = DrawnField(0...59, using: &random)
        var hour = DrawnField(0...23, using: &random)
        var day = DrawnField(1...31, using: &random)
        var month = DrawnField(1...12, using: &random)
        var weekday = DrawnField(0...6, using: &random)
        if Int.random(in: 0..<3, using: &random) > 0 { month = DrawnField.star(1...12) }
        if Int.random(in: 0..<4, using: &random) == 0 { minute = DrawnField.star(0...59) }
        if Int.random(in: 0..<4, using: &random) == 0 { hour = DrawnField.star(0...23) }
        var (last, nearest, nth, lastWeek) = (Set<Int>(), Set<Int>(), Set<[Int]>(), Set<Int>())
        if Int.random(in: 0..<5, using: &random) == 0 {
            let back = Int.random(in: 0...5, using: &random)
            last.insert(back)
            day.text += back == 0 ? ",L" : ",L-\(back)"
        }
        if Int.random(in: 0..<5, using: &random) == 0 {
            let near = Int.random(in: 1...28, using: &random)
            nearest.insert(near)
            day.text += ",\(near)W"
        }
        if Int.random(in: 0..<5, using: &random) == 0 {
            let (week, which) = (
                Int.random(in: 1...5, using: &random), Int.random(in: 0...6, using: &random)
            )
            nth.insert([which, week])
            weekday.text += ",\(which)#\(week)"
        }
        if Int.random(in: 0..<5, using: &random) == 0 {
            let which = Int.random(in: 0...6, using: &random)
            lastWeek.insert(which)
            weekday.text += ",\(which)L"
        }
        let plus = Int.random(in: 0..<6, using: &random) == 0
        minutes = minute.values
        hours = hour.values
        days = day.values
        months = month.values
        weekdays = weekday.values
        (lastDays, nearestWorkdays, nthWeekdays, lastWeekdays) = (last, nearest, nth, lastWeek)
        bothDays = plus || day.isStar || weekday.isStar
        realTime = minute.isStar || hour.isStar
        text = [minute.text, hour.text, day.text, month.text, (plus ? "+" : "") + weekday.text]
            .joined(separator: " ")
    }

    /// Does the local time fire? Seconds since 1970 on the local clock.
    func matches(_ local: Int) -> Bool {
        guard local % 60 == 0 else { return false }
        let dayNumber = (local - (local % 86_400 + 86_400) % 86_400) / 86_400
        let time = local - dayNumber * 86_400
        guard minutes.contains(time / 60 % 60), hours.contains(time / 3600) else { return false }
        let date = PlainCalendar.date(dayNumber)
        guard months.contains(date.month) else { return false }
        let (byDate, byWeekday) = (matchesDate(date, dayNumber), matchesWeekday(date, dayNumber))
        return bothDays ? byDate && byWeekday : byDate || byWeekday
    }

    private func weekday(_ dayNumber: Int) -> Int { ((dayNumber + 4) % 7 + 7) % 7 }

    private func matchesDate(_ date: (year: Int, month: Int, day: Int), _ number: Int) -> Bool {
        let length = PlainCalendar.lengths(date.year)[date.month - 1]
        if days.contains(date.day) || lastDays.contains(length - date.day) { return true }
        for wanted in nearestWorkdays where wanted <= length {
            let there = number + wanted - date.day
            // The workday of the month with the least distance from the wanted day.
            let candidates = (1...length).filter {
                (1...5).contains(weekday(there + $0 - wanted))
            }
            let best = candidates.min { abs($0 - wanted) < abs($1 - wanted) }
            if best == date.day { return true }
        }
        return false
    }

    private func matchesWeekday(_ date: (year: Int, month: Int, day: Int), _ number: Int) -> Bool {
        let today = weekday(number)
        let length = PlainCalendar.lengths(date.year)[date.month - 1]
        return weekdays.contains(today)
            || nthWeekdays.contains([today, (date.day + 6) / 7])
            || (lastWeekdays.contains(today) && date.day + 7 > length)
    }

    /// The fires in (after, through], by a look at each minute from two days before on.
    func fires(
        after: Int, through: Int, zone: ZoneRules, onGap: FireRule.OnGap,
        onRepeat: FireRule.OnRepeat
    ) -> [Int] {
        var result: [Int] = []
        var reached: Int?
        for instant in stride(from: after - after % 60 - 2 * 86_400, through: through, by: 60) {
            let local = instant + zone.offset(at: WallInstant(seconds: Int64(instant)))
            defer { reached = max(reached ?? local, local) }
            guard let reached else { continue }
            var fires = false
            let missing = local - reached - 60
            if missing > 0, missing <= 3 * 3600, !realTime, onGap == .run {
                fires = stride(from: reached + 60, to: local, by: 60).contains(where: matches)
            }
            if local > reached || realTime || onRepeat == .both { fires = fires || matches(local) }
            if fires, instant > after { result.append(instant) }
        }
        return result
    }
}

/// A plain field: its values and one way to write them.
private struct DrawnField {
    var values: Set<Int>
    var text: String
    var isStar: Bool

    static func star(_ range: ClosedRange<Int>) -> DrawnField {
        DrawnField(values: Set(range), text: "*", isStar: true)
    }

    private init(values: Set<Int>, text: String, isStar: Bool) {
        self.values = values
        self.text = text
        self.isStar = isStar
    }

    init(_ range: ClosedRange<Int>, using random: inout SeededGenerator) {
        let (a, b) = (
            Int.random(in: range, using: &random), Int.random(in: range, using: &random)
        )
        let step = Int.random(in: 2...9, using: &random)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: self = .star(range)
        case 1:
            let values = Set(stride(from: range.lowerBound, through: range.upperBound, by: step))
            self.init(values: values, text: "*/\(step)", isStar: true)
        case 2:
            self.init(
                values: Set(min(a, b)...max(a, b)), text: "\(min(a, b))-\(max(a, b))", isStar: false
            )
        case 3:
            let (low, high) = (max(a, b), min(a, b))
            let values = low == high ? [low] : Set(range).subtracting(Set(high + 1..<low))
            self.init(values: values, text: "\(low)-\(high)", isStar: false)
        case 4:
            let values = Set(stride(from: a, through: range.upperBound, by: step))
            self.init(values: values, text: "\(a)/\(step)", isStar: false)
        default: self.init(values: [a, b], text: "\(a),\(b)", isStar: false)
        }
    }
}

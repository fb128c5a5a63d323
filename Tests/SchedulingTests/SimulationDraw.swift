import Scheduling
import Timing

/// How long one seed lasts, and how dense its fires are: so that each costs about the same.
struct SimulatedSpan {
    enum Density: CaseIterable {
        case minutes, hours, days
    }

    let density: Density
    let begin: Int64
    let length: Int64
    /// Between two heartbeats of a daemon: fewer in long spans.
    let heartbeat: Int64

    var end: Int64 { begin + length }

    init(using random: inout SeededGenerator) {
        density = Density.allCases.randomElement(using: &random) ?? .hours
        // Apia had no 30 December 2011; all zones here change their clocks in March to November.
        let years: ClosedRange<Int> = 2024...2028
        var day = PlainCalendar.days(Int.random(in: years, using: &random), 1, 1)
        day += Int.random(in: 0...364, using: &random)
        if Int.random(in: 0..<8, using: &random) == 0 { day = PlainCalendar.days(2011, 12, 29) }
        switch density {
        case .minutes:
            if Bool.random(using: &random) { day = Self.dayOfChange(using: &random) }
            length = Int64.random(in: 12 * Length.hour...40 * Length.hour, using: &random)
            heartbeat = 30 * Length.second
        case .hours:
            length = Int64.random(in: 14 * Length.day...42 * Length.day, using: &random)
            heartbeat = 10 * Length.minute
        case .days:
            length = Int64.random(in: 120 * Length.day...365 * Length.day, using: &random)
            heartbeat = 2 * Length.hour
        }
        begin = Int64(day) * Length.day + Int64.random(in: 0..<Length.day, using: &random)
    }

    /// Clocks change on the last Sunday of March or October in Europe, and close to that elsewhere.
    private static func dayOfChange(using random: inout SeededGenerator) -> Int {
        [
            PlainCalendar.days(2026, 3, 28), PlainCalendar.days(2026, 10, 24),
            PlainCalendar.days(2026, 3, 7), PlainCalendar.days(2026, 10, 31),
            PlainCalendar.days(2026, 4, 3), PlainCalendar.days(2026, 10, 2),
        ].randomElement(using: &random) ?? 20_000
    }

    /// A usual distance of two fires.
    var period: Int64 {
        switch density {
        case .minutes: 5 * Length.minute
        case .hours: 4 * Length.hour
        case .days: 2 * Length.day
        }
    }
}

/// Draws configs as users write them.
struct RuleDraw {
    let span: SimulatedSpan
    let zones: [HourlyOffsets]

    static let zoneNames = [
        "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "UTC",
    ]

    init(_ span: SimulatedSpan) throws {
        self.span = span
        zones = try Self.zoneNames.map { HourlyOffsets(try TestZones.named($0)) }
    }

    /// A rule for a config that is written at `now`.
    func rule(now: Int64, using random: inout SeededGenerator) -> DrawnRule {
        let zone = zones.randomElement(using: &random) ?? zones[0]
        var rule = draw(zone, now, &random)
        if Int.random(in: 0..<4, using: &random) == 0 { rule.onGap = .skip }
        if Int.random(in: 0..<4, using: &random) == 0 { rule.onRepeat = .both }
        switch rule.kind {
        case .after, .reboot: return rule
        case .cron, .every, .once: break
        }
        if Int.random(in: 0..<4, using: &random) == 0 {
            rule.jitter = Int64.random(in: 1...span.period / 2, using: &random)
        }
        if Int.random(in: 0..<6, using: &random) == 0 {
            rule.startsAt = now + Int64.random(in: -span.length...span.length / 4, using: &random)
        }
        if Int.random(in: 0..<8, using: &random) == 0 {
            let from = max(now, rule.startsAt ?? now)
            rule.endsAt = from + Int64.random(in: 1...span.length, using: &random)
        }
        return rule
    }

    private func draw(
        _ zone: HourlyOffsets, _ now: Int64, _ random: inout SeededGenerator
    ) -> DrawnRule {
        switch Int.random(in: 0..<12, using: &random) {
        case 0: return once(zone, now, &random)
        case 1:
            let delay = Int64.random(in: span.period / 8...span.period * 2, using: &random)
            let seconds = max(1, delay / Length.second)
            return DrawnRule(
                kind: .after(seconds * Length.second), text: "@after \(seconds)s", zone: zone)
        case 2, 3:
            let period = Int64.random(in: span.period / 6...span.period * 3, using: &random)
            let tenths = period / 100_000
            return DrawnRule(
                kind: .every(tenths * 100_000), text: "@every \(tenths * 100)ms", zone: zone)
        case 4:
            return DrawnRule(kind: .reboot, text: "@reboot", zone: zone)
        default:
            switch span.density {
            case .minutes: return dense(zone, &random)
            case .hours: return hourly(zone, &random)
            case .days: return daily(zone, &random)
            }
        }
    }

    private func once(
        _ zone: HourlyOffsets, _ now: Int64, _ random: inout SeededGenerator
    ) -> DrawnRule {
        let instant = now + Int64.random(in: -Length.minute...span.length, using: &random)
        let local =
            instant / Length.minute * 60
            + Int64(zone.offset(atHour: Int(now / 3_600_000_000) * 3600))
        let date = PlainCalendar.date(Int(local / 86_400))
        let (hour, minute) = (Int(local / 3600 % 24), Int(local / 60 % 60))
        let cron = BruteForce(
            "", minutes: [minute], hours: [hour], days: [date.day], months: [date.month],
            realTime: false)
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return DrawnRule(
            kind: .once(cron, year: date.year),
            text:
                "@at \(date.year)-\(two(date.month))-\(two(date.day)) \(two(hour)):\(two(minute))",
            zone: zone)
    }

    private func cron(_ cron: BruteForce, _ zone: HourlyOffsets) -> DrawnRule {
        DrawnRule(kind: .cron(cron, seconds: [0]), text: cron.text, zone: zone)
    }

    private func dense(_ zone: HourlyOffsets, _ random: inout SeededGenerator) -> DrawnRule {
        switch Int.random(in: 0..<5, using: &random) {
        case 0:
            let step = [1, 2, 5, 10, 15].randomElement(using: &random) ?? 5
            let minutes = Set(stride(from: 0, to: 60, by: step))
            let text = step == 1 ? "* * * * *" : "*/\(step) * * * *"
            return cron(BruteForce(text, minutes: minutes, realTime: true), zone)
        case 1:
            let minutes = Set(stride(from: 0, to: 60, by: 10))
            return DrawnRule(
                kind: .cron(
                    BruteForce("", minutes: minutes, realTime: true), seconds: [0, 20, 40]),
                text: "*/20 */10 * * * *", zone: zone)
        case 2:
            var drawn = BruteForce(using: &random)
            while (try? Schedule(parsing: drawn.text, hashSeed: 1)) == nil {
                drawn = BruteForce(using: &random)
            }
            return cron(drawn, zone)
        default: return hourly(zone, &random)
        }
    }

    private func hourly(_ zone: HourlyOffsets, _ random: inout SeededGenerator) -> DrawnRule {
        let minute = Int.random(in: 0...59, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0:
            return cron(BruteForce("@hourly", minutes: [0], realTime: true), zone)
        case 1:
            let step = [2, 3, 6].randomElement(using: &random) ?? 3
            let hours = Set(stride(from: 0, to: 24, by: step))
            return cron(
                BruteForce(
                    "\(minute) */\(step) * * *", minutes: [minute], hours: hours, realTime: true),
                zone)
        case 2:
            let first = Int.random(in: 0...4, using: &random)
            return cron(
                BruteForce(
                    "\(minute),30 \(first)-\(first + 3) * * *", minutes: [minute, 30],
                    hours: Set(first...first + 3), realTime: false), zone)
        case 3:
            return cron(
                BruteForce(
                    "\(minute) 0-23 * * *", minutes: [minute], hours: Set(0...23), realTime: false),
                zone)
        default: return daily(zone, &random)
        }
    }

    private func daily(_ zone: HourlyOffsets, _ random: inout SeededGenerator) -> DrawnRule {
        let minute = Int.random(in: 0...59, using: &random)
        // Most at night, when clocks change.
        let hour = Int.random(in: 0...(Bool.random(using: &random) ? 3 : 23), using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0:
            let day = Int.random(in: 1...28, using: &random)
            return cron(
                BruteForce(
                    "\(minute) \(hour) \(day),\(day + 2) * *", minutes: [minute], hours: [hour],
                    days: [day, day + 2], realTime: false), zone)
        case 1:
            let weekday = Int.random(in: 0...6, using: &random)
            return cron(
                BruteForce(
                    "\(minute) \(hour) * * \(weekday)", minutes: [minute], hours: [hour],
                    weekdays: [weekday], realTime: false), zone)
        default:
            return cron(
                BruteForce(
                    "\(minute) \(hour) * * *", minutes: [minute], hours: [hour], realTime: false),
                zone)
        }
    }
}

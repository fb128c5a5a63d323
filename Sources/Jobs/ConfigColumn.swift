internal import Scheduling
internal import Timing

/// A column of `chain_execution_config` that says when and how a config runs.
///
/// Each has one way to write a value, so that two are equal when their texts are.
public struct ConfigColumn: Equatable, Sendable {
    public enum Kind: Equatable, Sendable {
        case text, integer, boolean, span, instant
        case word([String])
    }

    public let name: String
    public let kind: Kind
    /// The table's; nil is NULL.
    public let standard: String?

    /// In the order in which a file shows them.
    public static let all = [
        ConfigColumn("schedule", .text), ConfigColumn("run_at_minute", .integer),
        ConfigColumn("run_at_hour", .integer), ConfigColumn("run_at_day", .integer),
        ConfigColumn("run_at_month", .integer), ConfigColumn("run_at_day_of_week", .integer),
        ConfigColumn("time_zone", .text), ConfigColumn("live", .boolean, "false"),
        ConfigColumn("client_name", .text), ConfigColumn("starts_at", .instant),
        ConfigColumn("ends_at", .instant), ConfigColumn("jitter", .span),
        ConfigColumn("on_gap", .word(["RUN", "SKIP"]), "RUN"),
        ConfigColumn("on_repeat", .word(["FIRST", "BOTH"]), "FIRST"),
        ConfigColumn("misfire", .word(["SKIP", "ONCE", "ALL"]), "SKIP"),
        ConfigColumn("misfire_window", .span, "1 day"),
        ConfigColumn("misfire_grace", .span, "1 minute"),
        ConfigColumn("max_instances", .integer),
        ConfigColumn("overlap", .word(["SKIP", "WAIT"]), "SKIP"),
        ConfigColumn("exclusive_execution", .boolean, "false"),
        ConfigColumn("timeout", .span), ConfigColumn("retries", .integer, "0"),
        ConfigColumn("retry_delay", .span, "1 second"),
        ConfigColumn("keep_for", .span), ConfigColumn("keep_runs", .integer),
        ConfigColumn("self_destruct", .boolean, "false"),
    ]

    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    public static func named(_ name: String) -> ConfigColumn? { byName[name] }

    private init(_ name: String, _ kind: Kind, _ standard: String? = nil) {
        (self.name, self.kind, self.standard) = (name, kind, standard)
    }

    /// What a value has to be, for messages.
    public var expectation: String {
        switch kind {
        case .text: "a text"
        case .integer: "a whole number"
        case .boolean: "true or false"
        case .span: "a length of time such as 90s, 10 minutes or 1 day"
        case .instant: "a time with its offset such as 2027-01-31T09:00:00Z"
        case .word(let words): words.joined(separator: " or ")
        }
    }

    /// The one way to write this value; nil when it is none.
    public func canonical(_ text: String) -> String? {
        switch kind {
        case .text: return text
        case .integer: return Int32(text).map { String($0) }
        case .boolean: return text == "true" || text == "false" ? text : nil
        case .span: return Span(text)?.description
        case .instant: return Self.instant(text)
        case .word(let words):
            let word = text.uppercased()
            return words.contains(word) ? word : nil
        }
    }

    /// As the server has stored it: what we can't read stays as it is written.
    public func stored(_ value: JSON?) -> String? {
        guard let text = value?.scalar else { return nil }
        return canonical(text) ?? text
    }

    private static func instant(_ text: String) -> String? {
        if text == "infinity" || text == "-infinity" { return text }
        guard let schedule = try? Schedule(parsing: "@at \(text)", hashSeed: 0),
            let offset = text.last, offset == "Z" || offset == "z" || hasOffset(text),
            let instant = FireRule(schedule: schedule, zone: .utc, config: 0)
                .next(after: .distantPast)
        else { return nil }
        return instant.iso8601
    }

    private static func hasOffset(_ text: String) -> Bool {
        // Behind the time of day; the date has minus signs too.
        guard let colon = text.firstIndex(of: ":") else { return false }
        return text[colon...].contains { $0 == "+" || $0 == "-" }
    }
}

extension WallInstant {
    /// In UTC, as `2027-01-31T09:00:00Z`.
    var iso8601: String {
        let seconds = microseconds.floorDivided(by: 1_000_000)
        let fraction = microseconds - seconds * 1_000_000
        let day = seconds.floorDivided(by: 86_400)
        let time = seconds - day * 86_400
        let date = civilDate(dayNumber: day)
        func pad(_ number: Int64, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        var text = "\(pad(date.year, 4))-\(pad(date.month, 2))-\(pad(date.day, 2))"
        text += "T\(pad(time / 3600, 2)):\(pad(time / 60 % 60, 2)):\(pad(time % 60, 2))"
        if fraction != 0 {
            var digits = pad(fraction, 6)
            while digits.hasSuffix("0") { digits.removeLast() }
            text += "." + digits
        }
        return text + "Z"
    }
}

extension Int64 {
    func floorDivided(by divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}

/// The Gregorian date of a day since 1970-01-01, counted in years that begin with March.
private func civilDate(dayNumber: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = dayNumber + 719_468
    let era = shifted.floorDivided(by: 146_097)
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (
        yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month,
        dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    )
}

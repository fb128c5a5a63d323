public import Scheduling
public import Timing

/// Where a source's tables lie, seen from the database that the jobs are brought to.
public struct SourceServer: Sendable {
    /// The database of the source's tables, and how its server was reached.
    public var database: String
    public var host: String
    public var port: String
    public var user: String
    /// The name of our database, where both are on one server; nil: on another.
    public var ours: String?
    /// The source's setting `TimeZone`, or what it has instead.
    public var zone: String

    public init(
        database: String, host: String, port: String, user: String, ours: String?, zone: String
    ) {
        (self.database, self.host, self.port) = (database, host, port)
        (self.user, self.ours, self.zone) = (user, ours, zone)
    }

    /// How one of its databases is reached; nil: it is ours.
    func connection(to database: String, as user: String) -> ConnectString? {
        if database == ours { return nil }
        let words = [("host", host), ("port", port), ("dbname", database), ("user", user)]
        return ConnectString(
            words.filter { !$0.1.isEmpty }.map { "\($0.0)=\($0.1.connectValue)" }
                .joined(separator: " "))
    }
}

extension String {
    /// As a value in a string of keywords for libpq.
    var connectValue: String {
        let isPlain = !isEmpty && allSatisfy { !$0.isWhitespace && $0 != "'" && $0 != "\\" }
        if isPlain { return self }
        let escaped = reduce(into: "") { $0 += $1 == "'" || $1 == "\\" ? "\\\($1)" : String($1) }
        return "'\(escaped)'"
    }
}

/// Tells where two clocks part: what a scheduler of another kind does at a change of the clock.
public struct ClockChanges: Sendable {
    public var now: WallInstant
    public var rules: @Sendable (String) -> ZoneRules?

    public init(now: WallInstant, rules: @escaping @Sendable (String) -> ZoneRules?) {
        (self.now, self.rules) = (now, rules)
    }

    /// How far it looks ahead: two years show every change of clocks that is made every year.
    private static let horizon: Int64 = 2 * 366 * 86_400 * 1_000_000

    /// The first time in the next two years that a clock change leaves out, as the instant of the
    /// fire that makes up for it, and the first that comes twice.
    func found(in schedule: String, zone: String) -> (gap: WallInstant?, repeated: WallInstant?) {
        guard let schedule = try? Schedule(parsing: schedule, hashSeed: 0), case .cron = schedule,
            let rules = rules(zone)
        else { return (nil, nil) }
        func rule(_ onGap: FireRule.OnGap, _ onRepeat: FireRule.OnRepeat) -> FireRule {
            FireRule(schedule: schedule, zone: rules, config: 0, onGap: onGap, onRepeat: onRepeat)
        }
        let ours = rule(.run, .first)
        return (
            firstOnlyIn(ours, not: rule(.skip, .first)),
            firstOnlyIn(rule(.run, .both), not: ours)
        )
    }

    private func firstOnlyIn(_ more: FireRule, not less: FireRule) -> WallInstant? {
        // Fires every few seconds follow real time: the two never part, and are not worth a look.
        var last = now
        for _ in 0..<20_000 {
            guard let next = more.next(after: last),
                next.microseconds(since: now) < Self.horizon
            else { return nil }
            guard less.next(after: last) == next else { return next }
            last = next
        }
        return nil
    }
}

extension Imported {
    /// Remarks where a schedule fires otherwise than its source did, since that one knows nothing
    /// of clock changes.
    mutating func compareClocks(
        _ place: String, _ schedule: String, _ zone: String, _ clocks: ClockChanges,
        source: String, inGap: String, whenRepeated: String
    ) {
        let found = clocks.found(in: schedule, zone: zone)
        if let gap = found.gap {
            remark(
                .difference, place,
                "a time that the clock change leaves out fires right after it, at \(gap.iso8601); "
                    + "\(source) \(inGap) (on_gap)")
        }
        if let again = found.repeated {
            remark(
                .difference, place,
                "a time that comes twice fires the first time only, not at \(again.iso8601); "
                    + "\(source) \(whenRepeated) (on_repeat)")
        }
    }
}

enum SQLText {
    /// What runs in a transaction whatever it says. All else (VACUUM, CALL, DO, CREATE …) may need
    /// to be outside of one, or to end it.
    private static let transactional: Set<String> = [
        "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TABLE", "TRUNCATE",
        "REFRESH", "ANALYZE", "COPY", "NOTIFY", "LOCK",
    ]

    /// Whether it is sure to run inside of a transaction, by its first word.
    static func isTransactional(_ sql: String) -> Bool {
        var rest = Array(sql.utf8)[...]
        while let byte = rest.first {
            if byte <= 0x20 || byte == UInt8(ascii: "(") {
                rest.removeFirst()
            } else if rest.starts(with: "--".utf8) {
                rest = rest.drop { $0 != 0x0A }
            } else if rest.starts(with: "/*".utf8) {
                rest = rest.dropFirst(2)
                while !rest.isEmpty, !rest.starts(with: "*/".utf8) { rest.removeFirst() }
                rest = rest.dropFirst(2)
            } else {
                break
            }
        }
        let word = rest.prefix { byte in
            (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
        }
        return transactional.contains(String(decoding: word, as: UTF8.self).uppercased())
    }
}

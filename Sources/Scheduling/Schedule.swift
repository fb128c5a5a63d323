/// What a config's `schedule` text, or its `run_at_*` columns, say.
public enum Schedule: Hashable, Sendable {
    case cron(CronExpression)
    /// `@every 90s`: 100 ms to 36,525 days; aligned to `starts_at`, else to 1970-01-01T00:00Z.
    case every(microseconds: Int64)
    /// `@after 5m`: so long after the end of the run before; the bounds of `every`.
    case after(microseconds: Int64)
    /// `@at 2027-01-31 09:00`: once.
    case at(AtTime)
    /// By request only.
    case manual
    /// Once when a daemon becomes ready.
    case reboot

    /// Reads a schedule: a cron expression, or a name that begins with `@`.
    ///
    /// Names: `@yearly`, `@annually`, `@monthly`, `@weekly`, `@daily`, `@midnight`, `@hourly`,
    /// `@every_minute`, `@every_second`, `@every`, `@after`, `@at`, `@manual`, `@reboot`; in any
    /// case. `hashSeed` is the config's id, for `H`. Throws what is wrong and where.
    public init(parsing text: String, hashSeed: Int64) throws(ScheduleSyntaxError) {
        let bytes = Array(text.utf8)
        guard bytes.count <= CronExpression.longestText else {
            throw ScheduleSyntaxError(
                field: nil, column: nil,
                reason: "\(bytes.count) bytes are not allowed; "
                    + "up to \(CronExpression.longestText) are")
        }
        var cursor = ByteCursor(bytes)
        cursor.skipBlanks()
        guard cursor.peek() == UInt8(ascii: "@") else {
            self = .cron(
                try CronExpression(bytes: bytes, from: cursor.position, hashSeed: hashSeed))
            return
        }
        var end = bytes.count
        while end > 0, ByteCursor.isBlank(bytes[end - 1]) { end -= 1 }
        var named = ByteCursor(bytes, from: cursor.position, to: end)
        self = try Self.parse(named: &named)
    }

    /// The seed's columns: nil is any, a number is that one; all nil is every minute.
    ///
    /// The ranges are those of the fields: 0–59, 0–23, 1–31, 1–12, 0–7. Throws naming the column.
    public init(
        minute: Int?, hour: Int?, day: Int?, month: Int?, dayOfWeek: Int?
    ) throws(ScheduleSyntaxError) {
        let columns: [(name: String, field: CronField, value: Int?)] = [
            ("run_at_minute", .minute, minute), ("run_at_hour", .hour, hour),
            ("run_at_day", .day, day), ("run_at_month", .month, month),
            ("run_at_day_of_week", .dayOfWeek, dayOfWeek),
        ]
        for (name, field, value) in columns {
            if let value, !field.range.contains(value) {
                throw ScheduleSyntaxError(
                    field: name, column: nil,
                    reason: "\(value) is not allowed; "
                        + "\(field.range.lowerBound) to \(field.range.upperBound) are")
            }
        }
        let text = columns.map { column in column.value.map { "\($0)" } ?? "*" }
        do {
            self = .cron(
                try CronExpression(parsing: text.joined(separator: " "), hashSeed: 0))
        } catch {
            // In range, so what is left is a day that the month does not have.
            throw error.naming(field: "run_at_day")
        }
    }

    private static func parse(named cursor: inout ByteCursor) throws(ScheduleSyntaxError)
        -> Schedule
    {
        let start = cursor
        cursor.skip()
        let name = cursor.take(while: { !ByteCursor.isBlank($0) })
        let gap = cursor.position
        cursor.skipBlanks()
        if cursor.position > gap {
            switch name {
            case "every":
                return .every(microseconds: try DurationParser(name: "@every").parse(&cursor))
            case "after":
                return .after(microseconds: try DurationParser(name: "@after").parse(&cursor))
            case "at":
                return .at(try AtTime(&cursor))
            default: break
            }
        } else if ["every", "after", "at"].contains(name) {
            let example = name == "at" ? "@at 2027-01-31 09:00" : "@\(name) 90s"
            throw ScheduleSyntaxError(
                field: "@\(name)", column: cursor.column(of: cursor.position),
                reason: "more is needed, as in \(example)")
        }
        guard cursor.isAtEnd, let schedule = plain(name) else {
            throw ScheduleSyntaxError(
                field: nil, column: cursor.column(of: start.position),
                reason: "\(cursor.excerpt(from: start.position, to: cursor.end)) is not allowed; "
                    + "@every, @after, @at, @manual, @reboot, @yearly, @annually, @monthly, "
                    + "@weekly, @daily, @midnight, @hourly, @every_minute and @every_second are")
        }
        return schedule
    }

    private static func plain(_ name: String) -> Schedule? {
        let text: String
        switch name {
        case "manual": return .manual
        case "reboot": return .reboot
        case "yearly", "annually": text = "0 0 1 1 *"
        case "monthly": text = "0 0 1 * *"
        case "weekly": text = "0 0 * * 0"
        case "daily", "midnight": text = "0 0 * * *"
        case "hourly": text = "0 * * * *"
        case "every_minute": text = "* * * * *"
        case "every_second": text = "* * * * * *"
        default: return nil
        }
        return (try? CronExpression(parsing: text, hashSeed: 0)).map { .cron($0) }
    }
}

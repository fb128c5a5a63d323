internal import Postgres
internal import Reactor
public import Scheduling
public import Timing

/// Times as people write them on a command line.
extension Reports {
    /// A time of the past: `2h` or `90s` ago, `today`, `yesterday 22:00`, or a date with or without
    /// a time of day, on the clock of the database's zone where it names no offset.
    ///
    /// Throws `NextFires.Misasked`.
    public func past(_ text: String, _ option: String) throws -> WallInstant {
        let now = WallInstant.now()
        if case .every(let length)? = try? Schedule(parsing: "@every \(text)", hashSeed: 0) {
            return now.advanced(byMicroseconds: -length)
        }
        let zone = rules(nil)
        if let found = try instant(dated(text, ["today": 0, "yesterday": -1], zone, option), zone) {
            return found
        }
        throw NextFires.Misasked(
            message:
                "\(option): \(text) is no time; a time such as 2026-03-28 12:00 is, or a date, "
                + "today, yesterday 22:00, or how long ago: 90s, 2h, 3d")
    }

    /// A time to come: in `2h` or `3d`, `tomorrow 8:00`, or a date with or without a time of day,
    /// on the clock of `zone` where it names no offset.
    ///
    /// Throws `NextFires.Misasked`.
    public func future(_ text: String, _ option: String, in zone: ZoneRules) throws -> WallInstant {
        let now = WallInstant.now()
        if case .every(let length)? = try? Schedule(parsing: "@every \(text)", hashSeed: 0) {
            return now.advanced(byMicroseconds: length)
        }
        if let found = try instant(dated(text, ["today": 0, "tomorrow": 1], zone, option), zone) {
            return found
        }
        throw NextFires.Misasked(
            message:
                "\(option): \(text) is no time; a time such as 2026-03-28 12:00 is, or a date, "
                + "tomorrow, tomorrow 08:00, or in how long: 90s, 2h, 3d")
    }

    /// The same with its date in full: `tomorrow 8:00` is of the next day, a date alone midnight.
    private func dated(
        _ text: String, _ days: [String: Int64], _ zone: ZoneRules, _ option: String
    ) throws -> String {
        let words = text.split(separator: " ", maxSplits: 1)
        guard let first = words.first, let day = days[first.lowercased()] else {
            return text.count <= 10 && text.contains("-") ? text + " 00:00" : text
        }
        let today = try midnight(
            of: String(WallInstant.now().shown(in: zone).prefix(10)), zone, option)
        let noon = today.advanced(byMicroseconds: (day * 24 + 12) * 3_600_000_000)
        let time = words.count > 1 ? words[1] : "00:00"
        return "\(noon.shown(in: zone).prefix(10)) \(time.count == 4 ? "0" : "")\(time)"
    }

    private func midnight(
        of date: String, _ zone: ZoneRules, _ option: String
    ) throws -> WallInstant {
        guard let found = instant(date + " 00:00", zone) else {
            throw NextFires.Misasked(
                message: "\(option): the clock of \(zone.name) did not show \(date)")
        }
        return found
    }

    private func instant(_ text: String, _ zone: ZoneRules) -> WallInstant? {
        guard let schedule = try? Schedule(parsing: "@at \(text)", hashSeed: 0) else { return nil }
        return FireRule(schedule: schedule, zone: zone, config: 0).next(after: .distantPast)
    }
}

internal import Postgres
internal import Reactor
public import Scheduling
public import Timing

/// A config, when it fires next, and its last run.
public struct ConfigReport: Sendable {
    public let id: Int64
    public let name: String
    public let schedule: String
    /// In English; nil for a schedule that can't be read.
    public let words: String?
    public let zone: ZoneRules
    public let isLive: Bool
    public let hasChain: Bool
    /// nil also where a pause has ended.
    public let pausedUntil: WallInstant?
    public let pauseNote: String?

    /// Until somebody resumes it: `infinity`, which `Statements.microseconds` bounds.
    public var isPausedForGood: Bool {
        pausedUntil.map { $0.microseconds >= 9_000_000_000_000_000_000 } ?? false
    }

    /// The only worker that may run it.
    public let worker: String?
    /// nil: never, or not by the clock.
    public let next: WallInstant?
    /// Why no daemon can schedule it.
    public let problem: String?
    public let lastRun: LastRun?
    /// nil for a schedule that can't be read.
    let rule: FireRule?

    /// When it fires after `now`, told from what was read; for `@after` what was known then.
    public func next(after now: WallInstant) -> WallInstant? {
        guard let next, next <= now, let rule else { return next }
        if case .after = rule.schedule { return next }
        return rule.next(after: now)
    }

    public struct LastRun: Sendable {
        public let id: Int64
        public let state: String
        public let scheduledFor: WallInstant?
        public let started: WallInstant?
        public let finished: WallInstant?
        /// An error, or why it did not run.
        public let reason: String?

        /// When it was, or was to be.
        public var time: WallInstant? { started ?? scheduledFor ?? finished }

        /// Start − fire time; nil for requests and for what did not start.
        public var latenessMicroseconds: Int64? {
            guard let started, let scheduledFor, state != "SKIPPED", state != "MISSED" else {
                return nil
            }
            return started.microseconds(since: scheduledFor)
        }

        public var hasFailed: Bool { Statements.failedStates.contains(state) }
    }

    /// In English, with the zone where that matters.
    public var sentence: String? {
        let isCivil = !["@every", "@after", "@reboot", "@manual"].contains {
            schedule.lowercased().hasPrefix($0) && !schedule.lowercased().hasPrefix("@every_")
        }
        return words.map { isCivil ? "\($0), \(zone.name) time" : $0 }
    }

    /// Whether it is due some time without being asked for.
    public var isScheduled: Bool {
        isLive && hasChain && pausedUntil == nil && schedule.lowercased() != "@manual"
    }
}

extension Reports {
    /// Configs by what is next, those without a next fire last.
    ///
    /// - Parameters:
    ///   - pattern: A name, with `*` and `?` as for a shell, or an id; nil: all.
    public func configs(
        _ pattern: String?, now: WallInstant
    ) async throws(StartFailure) -> [ConfigReport] {
        let rows = try await ask(
            Statements.configReport,
            [pattern.map { Pattern($0).like }, pattern.flatMap { Int64($0) }.map { String($0) }],
            "the configs can't be read")
        let reader = ConfigReader(zones: zones, defaultZone: defaultZone)
        return (0..<rows.count).map { report(rows, $0, reader, now) }.sorted { left, right in
            switch (left.next, right.next) {
            case (let a?, let b?) where a != b: a < b
            case (.some, nil): true
            case (nil, .some): false
            default: left.name < right.name
            }
        }
    }

    /// One config, by its `chain_name` or its id; throws `NextFires.Misasked` when there is none.
    public func config(_ name: String, now: WallInstant) async throws -> ConfigReport {
        try await config(id: config(named: name).id, now: now)
    }

    /// One config, by its id, whatever the names of others.
    public func config(id: Int64, now: WallInstant) async throws -> ConfigReport {
        guard let found = try await configs("\(id)", now: now).first(where: { $0.id == id }) else {
            throw NextFires.Misasked(message: "config \(id) has just gone")
        }
        return found
    }

    /// A sentence, where no daemon serves the database, as far as that can be seen.
    public func missingDaemon() async throws(StartFailure) -> String? {
        try await ask(Statements.missingDaemon, [], "the workers can't be read").text(0, 0)
    }

    private func report(
        _ rows: Rows, _ row: Int, _ reader: ConfigReader, _ now: WallInstant
    ) -> ConfigReport {
        let id = rows.integer(row, 0) ?? 0
        var rule: FireRule?
        var problem: String?
        do throws(Zones.Failure) {
            rule = try reader.rule(id, rows, row)
        } catch {
            problem = error.message
        }
        let paused = rows.instant(row, 22).flatMap { $0 > now ? $0 : nil }
        let isLive = rows.boolean(row, 20) == true
        let hasChain = rows.boolean(row, 21) == true
        var next: WallInstant?
        if isLive, hasChain, let rule {
            next = Self.next(rule, lastRun: rows.text(row, 18), now, paused)
        }
        let last = rows.integer(row, 26).map { run in
            ConfigReport.LastRun(
                id: run, state: rows.text(row, 27) ?? "", scheduledFor: rows.instant(row, 28),
                started: rows.instant(row, 29), finished: rows.instant(row, 30),
                reason: rows.text(row, 31))
        }
        return ConfigReport(
            id: id, name: rows.text(row, 1) ?? "", schedule: rows.text(row, 25) ?? "",
            words: rule.map { ScheduleInWords.of($0.schedule) },
            zone: rule?.zone ?? rules(rows.text(row, 8)), isLive: isLive, hasChain: hasChain,
            pausedUntil: paused, pauseNote: rows.text(row, 23), worker: rows.text(row, 24),
            next: next, problem: problem, lastRun: last, rule: rule)
    }

    /// `lastRun`: the end of the last, as a number, or that it is under way; for `@after`.
    private static func next(
        _ rule: FireRule, lastRun: String?, _ now: WallInstant, _ paused: WallInstant?
    ) -> WallInstant? {
        if case .after(let delay) = rule.schedule {
            guard let end = lastRun.flatMap({ Int64($0) }) else { return nil }
            return max(WallInstant(microseconds: end).advanced(byMicroseconds: delay), now)
        }
        // A fire at the very end of a pause is after it.
        return rule.next(after: max(now, paused?.advanced(byMicroseconds: -1) ?? now))
    }
}

internal import Glibc
public import Postgres
internal import Reactor
public import Scheduling
internal import Timing

/// When a schedule or a config fires next, told by the code that the daemon uses.
public struct NextFires: Sendable {
    private let zone: ZoneRules
    private let instants: [WallInstant]
    /// What fires: the config's `chain_name`; nil for a schedule.
    public private(set) var name: String?
    /// When it fires, in words, with the zone; nil for a config that is not live.
    public private(set) var words: String?
    /// For each fire that a clock change moved, its reason; else nil.
    private var moves: [MovedFire?] = []
    /// Why there are fewer than were asked for: a sentence.
    public let remark: String?

    /// A schedule that is in no database, and what its config would say.
    public struct Expression: Sendable {
        public var text: String
        /// The system's where it is nil.
        public var zone: String?
        /// The config's id, which decides `H` and jitter.
        public var config: Int64 = 0
        public var startsAt: String?
        public var endsAt: String?
        /// A duration as in `@every`.
        public var jitter: String?
        public var onGap = FireRule.OnGap.run
        public var onRepeat = FireRule.OnRepeat.first

        public init(_ text: String) {
            self.text = text
        }

        /// Whether `text` is meant as a schedule: it is one, or looks so much like one that it is
        /// no name (`@…`, five words and more of which the first is no word).
        public static func isMeant(by text: String) -> Bool {
            if (try? Schedule(parsing: text, hashSeed: 0)) != nil { return true }
            let fields = text.split(whereSeparator: \.isWhitespace)
            guard let first = fields.first else { return true }
            return first.hasPrefix("@")
                || fields.count >= 5 && first.allSatisfy { "0123456789*?/,-()hH".contains($0) }
        }
    }

    /// A question that makes no sense: the exit code is that of bad options.
    public struct Misasked: Error, Sendable, Equatable {
        public let message: String

        public init(message: String) {
            self.message = message
        }
    }

    /// The fires as RFC 3339, in their zone with its offset or in UTC.
    public func lines(inUTC: Bool) -> [String] {
        instants.map { $0.rfc3339(in: inUTC ? nil : zone) }
    }

    /// The fires with, where a clock change moved one, the time that does not exist.
    public func fires(inUTC: Bool) -> [(time: String, missing: String?)] {
        zip(lines(inUTC: inUTC), moves).map { ($0, $1?.missing) }
    }

    public var zoneName: String { zone.name }

    /// Of each fire that a clock change moved, why: `on 29 March 2026 at 03:00, because 02:30 does
    /// not exist`.
    public var remarksOnClockChanges: [String] {
        moves.compactMap { $0 }.map { "on \($0.at), because \($0.missing) does not exist" }
    }
}

extension NextFires {
    /// Of an expression; no database is asked.
    ///
    /// - Parameters:
    ///   - after: What `@at` takes, on the zone's clock where it names no offset; nil: now.
    @LoopActor
    public static func of(
        _ expression: Expression, after: String?, count: Int
    ) throws(Misasked) -> NextFires {
        let schedule: Schedule
        do throws(ScheduleSyntaxError) {
            schedule = try Schedule(parsing: expression.text, hashSeed: expression.config)
        } catch {
            throw Misasked(message: error.message)
        }
        let zone = try rules(expression.zone ?? systemZone)
        let rule = FireRule(
            schedule: schedule, zone: zone, config: expression.config, onGap: expression.onGap,
            onRepeat: expression.onRepeat,
            startsAt: try expression.startsAt.map { time throws(Misasked) in
                try instant(time, "--starts-at", zone)
            },
            endsAt: try expression.endsAt.map { time throws(Misasked) in
                try instant(time, "--ends-at", zone)
            },
            jitterMicroseconds: try expression.jitter.map(microseconds) ?? 0)
        return try NextFires(rule, expression.text, after: after, count: count)
    }

    /// Of a config by its `chain_name` or, where no config has that name, its id.
    ///
    /// Throws `Misasked` and `StartFailure`.
    @LoopActor
    public static func ofConfig(
        _ name: String, connection: ConnectionParameters, after: String?, count: Int
    ) async throws -> NextFires {
        do {
            let session = try await Connection.open(
                connection.with("application_name", "carillon next"))
            defer { session.close() }
            let found = try await session.run(
                Statements.configNamed, [name], deadline: .seconds(10))
            guard let id = found.integer(0, 0) else {
                throw Misasked(
                    message: "there is no config \"\(name)\", nor is that a schedule"
                        + whyNoSchedule(name))
            }
            let rows = try await session.run(
                Statements.configsByID, [found.text(0, 2), [id].arrayLiteral],
                deadline: .seconds(10))
            let defaults = try await session.run(Statements.defaultZone, deadline: .seconds(10))
            let reader = ConfigReader(zones: Zones(), defaultZone: defaults.text(0, 0) ?? "UTC")
            let label = "config \(id) (\(found.text(0, 1) ?? ""))"
            var fires = try of(
                rows, reader, label, pause: found.text(0, 3), after: after, count: count)
            fires.name = found.text(0, 1)
            return fires
        } catch let error as PostgresError {
            if ["42P01", "3F000"].contains(error.sqlstate) {
                throw StartFailure(
                    .schema,
                    "the database has no schema timetable yet; carillon serve installs it")
            }
            guard error.kind == .connection else {
                throw StartFailure(error, doing: "the config can't be read")
            }
            let why = whyNoSchedule(name)
            guard why.isEmpty else {
                throw Misasked(
                    message: "\"\(name)\" is no schedule\(why); a config of that name can't be "
                        + "looked for, there is no connection to the database")
            }
            throw StartFailure.connecting(error)
        }
    }

    @LoopActor
    private static func of(
        _ rows: Rows, _ reader: ConfigReader, _ label: String, pause: String?, after: String?,
        count: Int
    ) throws -> NextFires {
        func none(_ remark: String) -> NextFires {
            NextFires(.utc, [], remark: "\(label) \(remark)")
        }
        if rows.count == 0, let pause { return none("is paused until \(pause)") }
        if rows.count == 0 {
            return none("is not live, or has no chain: it fires when it is and has one")
        }
        let (configs, problems) = reader.read(rows)
        if let problem = problems.first {
            throw StartFailure(.other, "\(label): \(problem.reason)")
        }
        guard let config = configs.first else { return none(Self.why(.manual)) }
        // A pause that ends by itself: nothing is due before.
        let begin = pause == nil ? nil : config.scheduledSince
        return try NextFires(config.rule, label, notBefore: begin, after: after, count: count)
    }

    private init(_ zone: ZoneRules, _ instants: [WallInstant], remark: String) {
        self.zone = zone
        self.instants = instants
        self.remark = remark
    }

    private init(
        _ rule: FireRule, _ label: String, notBefore begin: WallInstant? = nil, after: String?,
        count: Int
    ) throws(Misasked) {
        zone = rule.zone
        var last = try after.map { time throws(Misasked) in
            try Self.instant(time, "--after", rule.zone)
        }
        if let begin { last = max(begin, last ?? .now()) }
        var found: [WallInstant] = []
        while found.count < count, let next = rule.next(after: last ?? .now()) {
            found.append(next)
            last = next
        }
        instants = found
        moves = found.map(rule.moved)
        words = ScheduleInWords.of(rule.schedule)
        if case .cron = rule.schedule { words?.append(", \(rule.zone.name) time") }
        switch rule.schedule {
        case .manual, .reboot, .after: remark = "\(label) \(Self.why(rule.schedule))"
        case .cron, .every, .at:
            remark =
                found.count == count
                ? nil : "\(label) \(found.isEmpty ? "never fires" : "fires no more") after that"
        }
    }

    private static func why(_ schedule: Schedule) -> String {
        switch schedule {
        case .reboot: "fires once when a daemon becomes ready, not by the clock"
        case .after: "fires after the end of the run before, not by the clock"
        case .manual, .cron, .every, .at: "fires only when it is asked for, not by the clock"
        }
    }

    // MARK: What the command line says

    /// What keeps a text that looks like one from being a schedule.
    private static func whyNoSchedule(_ text: String) -> String {
        guard text.contains(" ") || text.hasPrefix("@") else { return "" }
        do throws(ScheduleSyntaxError) {
            _ = try Schedule(parsing: text, hashSeed: 0)
            return ""
        } catch {
            return ": \(error.message)"
        }
    }

    @LoopActor
    private static func rules(_ name: String) throws(Misasked) -> ZoneRules {
        do throws(Zones.Failure) {
            return try Zones().rules(name)
        } catch {
            throw Misasked(message: error.message)
        }
    }

    private static func instant(
        _ text: String, _ option: String, _ zone: ZoneRules
    ) throws(Misasked) -> WallInstant {
        do throws(ScheduleSyntaxError) {
            // A date alone is its midnight.
            let isDate = text.count == 10 && text.split(separator: "-").count == 3
            let full = isDate ? text + " 00:00" : text
            let schedule = try Schedule(parsing: "@at \(full)", hashSeed: 0)
            let rule = FireRule(schedule: schedule, zone: zone, config: 0)
            if let instant = rule.next(after: .distantPast) { return instant }
        } catch {
            throw Misasked(
                message: "\(option): \(text) is no time such as 2026-03-28T00:00:00Z")
        }
        throw Misasked(message: "\(option): the clock of \(zone.name) never shows \(text)")
    }

    private static func microseconds(_ text: String) throws(Misasked) -> Int64 {
        do throws(ScheduleSyntaxError) {
            if case .every(let length) = try Schedule(parsing: "@every \(text)", hashSeed: 0) {
                return length
            }
        } catch {
            throw Misasked(message: "--jitter: \(text) is no duration such as 90s or 10m")
        }
        return 0
    }

    /// TZ, else what /etc/localtime links to, else UTC.
    public static var systemZone: String {
        if let name = ProcessID.variable("TZ"), !name.isEmpty {
            return name.hasPrefix(":") ? String(name.dropFirst()) : name
        }
        var buffer = [CChar](repeating: 0, count: 4096)
        let length = unsafe readlink("/etc/localtime", &buffer, buffer.count)
        let bytes = buffer.prefix(max(0, length)).map { UInt8(bitPattern: $0) }
        let target = String(decoding: bytes, as: UTF8.self)
        guard let folder = target.firstRange(of: "zoneinfo/") else { return "UTC" }
        return String(target[folder.upperBound...])
    }
}

internal import Postgres
internal import Reactor
internal import Scheduling
internal import Timing

/// Turns rows of `chain_execution_config` into what the planner knows.
@LoopActor
struct ConfigReader {
    /// A row that can't be scheduled, and why.
    struct Problem: Equatable {
        let config: Int64
        let name: String
        let reason: String
    }

    let zones: Zones
    /// Where a config names no zone: the database's.
    let defaultZone: String

    /// The configs in `rows`, which are those of `Statements.configPage`.
    func read(_ rows: Rows) -> (configs: [PlannedConfig], problems: [Problem]) {
        var configs: [PlannedConfig] = []
        var problems: [Problem] = []
        configs.reserveCapacity(rows.count)
        for row in 0..<rows.count {
            guard let id = rows.integer(row, 0) else { continue }
            do throws(Zones.Failure) {
                if let config = try config(id, rows, row) { configs.append(config) }
            } catch {
                problems.append(
                    Problem(config: id, name: rows.text(row, 1) ?? "", reason: error.message))
            }
        }
        return (configs, problems)
    }

    private func config(
        _ id: Int64, _ rows: Rows, _ row: Int
    ) throws(Zones.Failure) -> PlannedConfig? {
        let rule = try rule(id, rows, row)
        let schedule = rule.schedule
        switch schedule {
        case .manual: return nil
        case .after, .reboot, .cron, .every, .at: break
        }
        return PlannedConfig(
            id: id, rule: rule, firesAtStart: schedule == .reboot,
            isBound: rows.boolean(row, 19) == true,
            grace: max(0, rows.integer(row, 14) ?? 60_000_000),
            scheduledSince: instant(rows, row, 15) ?? .distantPast,
            misfire: Self.policies[rows.text(row, 16) ?? ""] ?? .skip,
            misfireWindow: max(0, rows.integer(row, 17) ?? 0), lastRun: lastRun(rows, row))
    }

    /// What decides when the config of a row fires by the clock.
    func rule(_ id: Int64, _ rows: Rows, _ row: Int) throws(Zones.Failure) -> FireRule {
        FireRule(
            schedule: try schedule(id, rows, row),
            zone: try zones.rules(rows.text(row, 8) ?? defaultZone), config: id,
            onGap: rows.text(row, 12) == "SKIP" ? .skip : .run,
            onRepeat: rows.text(row, 13) == "BOTH" ? .both : .first,
            startsAt: instant(rows, row, 9), endsAt: instant(rows, row, 10),
            jitterMicroseconds: rows.integer(row, 11) ?? 0)
    }

    private static let policies: [String: MisfirePolicy] = [
        "SKIP": .skip, "ONCE": .once, "ALL": .all,
    ]

    private func lastRun(_ rows: Rows, _ row: Int) -> PlannedConfig.LastRun {
        guard let text = rows.text(row, 18) else { return .none }
        return Int64(text).map { .ended(WallInstant(microseconds: $0)) } ?? .underWay
    }

    private func schedule(
        _ id: Int64, _ rows: Rows, _ row: Int
    ) throws(Zones.Failure) -> Schedule {
        do throws(ScheduleSyntaxError) {
            if let text = rows.text(row, 2) { return try Schedule(parsing: text, hashSeed: id) }
            func field(_ column: Int) -> Int? { rows.integer(row, column).map(Int.init(clamping:)) }
            return try Schedule(
                minute: field(3), hour: field(4), day: field(5), month: field(6),
                dayOfWeek: field(7))
        } catch {
            throw Zones.Failure(message: "its schedule can't be read: \(error)")
        }
    }

    private func instant(_ rows: Rows, _ row: Int, _ column: Int) -> WallInstant? {
        rows.integer(row, column).map(WallInstant.init(microseconds:))
    }
}

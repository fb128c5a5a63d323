internal import Postgres
internal import Reactor
internal import Scheduling
internal import Timing

/// A config as it is checked: its row, and what was asked about it.
struct CheckedConfig {
    let id: Int64
    let name: String
    /// Nil: it can't be read, or its zone is not on this host; `problem` says why.
    var rule: FireRule?
    var problem: String?
    var zone: String?
    var isLive = true
    var chain: Int64?
    var pausedUntil: WallInstant?
    var endsAt: WallInstant?
    /// Microseconds.
    var jitter: Int64 = 0
    var worker: String?
    var isExclusive = false
    var excludesItself = false
    var maxInstances: Int64?
    var serverKnowsZone = true
    var missingExcluded: [String] = []
    /// The config of on_failure, where that has no chain to run.
    var idleOnFailure: String?
    var failuresInARow: Int64 = 0
    var lastError: String?
    var skippedOfLast20: Int64 = 0
    var lastSkip: String?

    var place: Finding.Place { Finding.Place(name, config: id) }

    func place(of element: Int64, _ number: Int64, _ task: String) -> Finding.Place {
        Finding.Place("\(name) / \(number) \(task)", config: id, element: element)
    }
}

extension CheckedConfig {
    private static let day: Int64 = 86_400_000_000

    /// What is wrong with the row itself. Pure.
    ///
    /// - Parameters:
    ///   - serving: names of the workers that serve.
    ///   - isNamed: somebody asked for this one, and may wonder why it does not fire.
    func judge(
        now: WallInstant, serving: Set<String>, sharesHost: Bool, isNamed: Bool
    ) -> [Finding] {
        var findings = judgeSchedule(now, sharesHost: sharesHost) + judgeLimits()
        if isNamed, !isLive {
            findings.append(
                Finding(.notLive, place, "it is not live, so it never fires", "set live = true"))
        }
        if let pausedUntil, pausedUntil > now {
            let until =
                pausedUntil.microseconds > 8_000_000_000_000_000_000
                ? "until it is resumed" : "until \(pausedUntil.rfc3339(in: nil))"
            findings.append(
                Finding(.paused, place, "it is paused \(until)", "timetable.resume_job ends that"))
        }
        if isLive, chain == nil {
            findings.append(
                Finding(.noChain, place, "it is live and has no chain to run", "set chain_id"))
        }
        if isLive, let worker, !serving.contains(worker) {
            findings.append(
                Finding(
                    .workerAbsent, place,
                    "client_name binds it to worker \"\(worker)\", which does not serve",
                    "start that daemon, or clear client_name"))
        }
        if failuresInARow >= 3 {
            findings.append(
                Finding(
                    .failing, place,
                    "its last \(failuresInARow) runs failed"
                        + (lastError.map { ", the last by: \($0.firstLine)" } ?? ""),
                    "carillon runs \(id) --failed, carillon show RUN"))
        }
        if skippedOfLast20 >= 3 {
            findings.append(
                Finding(
                    .firesSkipped, place,
                    "\(skippedOfLast20) of its last 20 fires were skipped"
                        + (lastSkip.map { ": \($0.firstLine)" } ?? ""),
                    "fire less often, set overlap = 'WAIT', or raise max_instances"))
        }
        return findings
    }

    private func judgeSchedule(_ now: WallInstant, sharesHost: Bool) -> [Finding] {
        var findings: [Finding] = []
        if !serverKnowsZone {
            findings.append(
                Finding(
                    .zoneUnknown, place, "the server knows no time zone '\(zone ?? "")'",
                    "use a name such as Europe/Berlin; PostgreSQL may need the package tzdata"))
        }
        if let problem {
            let isZone = !problem.hasPrefix("its schedule")
            findings.append(
                Finding(
                    isZone ? .zoneMissingHere : .scheduleSyntax, place, problem,
                    isZone
                        ? (sharesHost
                            ? "no daemon of this host can schedule it"
                            : "whether the hosts of its daemons have it can't be seen from here")
                        : "correct schedule; carillon next tries one",
                    as: isZone && sharesHost ? .error : nil))
        }
        guard isLive, let rule else { return findings }
        switch rule.schedule {
        case .manual, .reboot, .after: return findings
        case .cron, .every, .at: break
        }
        guard let next = rule.next(after: now) else {
            if case .at = rule.schedule {
                findings.append(over("its one time has passed"))
            } else if let endsAt, endsAt <= now {
                findings.append(over("its ends_at was \(endsAt.rfc3339(in: rule.zone))"))
            } else {
                findings.append(
                    Finding(
                        .scheduleNever, place, "it never fires: no such time comes",
                        "correct schedule, starts_at and ends_at; carillon next tries one"))
            }
            return findings
        }
        let wait = next.microseconds(since: now) / Self.day
        if wait > 400 {
            findings.append(
                Finding(
                    .scheduleFar, place,
                    "it fires next in \(wait) days, at \(next.rfc3339(in: rule.zone))",
                    "see whether that was meant: carillon next"))
        }
        if jitter > 0, let period = period(of: rule, from: next), period < jitter {
            findings.append(
                Finding(
                    .jitterLong, place, "its jitter is longer than the time between its fires",
                    "make jitter shorter than that: fires come in any order otherwise"))
        }
        return findings
    }

    /// The mean time between ten fires.
    private func period(of rule: FireRule, from first: WallInstant) -> Int64? {
        var last = first
        for _ in 1...10 {
            guard let next = rule.next(after: last) else { return nil }
            last = next
        }
        return last.microseconds(since: first) / 10
    }

    private func over(_ what: String) -> Finding {
        Finding(
            .scheduleOver, place, "\(what), so it fires no more",
            "delete it, or set another schedule")
    }

    private func judgeLimits() -> [Finding] {
        var findings: [Finding] = []
        if let maxInstances, maxInstances > 1, isExclusive || excludesItself {
            findings.append(
                Finding(
                    .limitsMoot, place,
                    "max_instances is \(maxInstances), but "
                        + (isExclusive ? "exclusive_execution" : "excluding itself")
                        + " lets one run at a time",
                    "leave one of the two out"))
        }
        if !missingExcluded.isEmpty {
            findings.append(
                Finding(
                    .excludedMissing, place,
                    "excluded_execution_configs names \(missingExcluded.joined(separator: ", ")), "
                        + "which do not exist",
                    "take them out, or name the configs that are meant"))
        }
        if let idleOnFailure {
            findings.append(
                Finding(
                    .onFailureIdle, place,
                    "its on_failure is config \"\(idleOnFailure)\", which has no chain to run",
                    "give that one a chain_id"))
        }
        return findings
    }
}

extension String {
    /// For one line of a table.
    var firstLine: String {
        split(separator: "\n").first.map { $0.count > 200 ? "\($0.prefix(200)) …" : String($0) }
            ?? ""
    }
}

extension CheckedConfig {
    /// From a row of `Statements.checkedConfigs`.
    @LoopActor
    static func read(_ rows: Rows, _ row: Int, _ reader: ConfigReader) -> CheckedConfig {
        var config = CheckedConfig(id: rows.integer(row, 0) ?? 0, name: rows.text(row, 1) ?? "")
        do throws(Zones.Failure) {
            config.rule = try reader.rule(config.id, rows, row)
        } catch {
            config.problem = error.message
        }
        config.zone = rows.text(row, 8)
        config.endsAt = rows.instant(row, 10)
        config.jitter = rows.integer(row, 11) ?? 0
        config.isLive = rows.boolean(row, 20) == true
        config.chain = rows.integer(row, 21)
        config.pausedUntil = rows.instant(row, 22)
        config.worker = rows.text(row, 23)
        config.isExclusive = rows.boolean(row, 24) == true
        config.maxInstances = rows.integer(row, 25)
        config.serverKnowsZone = rows.boolean(row, 26) != false
        config.missingExcluded =
            rows.text(row, 27).flatMap(parseArrayLiteral)?.compactMap { $0 } ?? []
        config.excludesItself = rows.boolean(row, 28) == true
        config.idleOnFailure = rows.text(row, 29)
        config.failuresInARow = rows.integer(row, 30) ?? 0
        config.lastError = rows.text(row, 31)
        config.skippedOfLast20 = rows.integer(row, 32) ?? 0
        config.lastSkip = rows.text(row, 33)
        return config
    }
}

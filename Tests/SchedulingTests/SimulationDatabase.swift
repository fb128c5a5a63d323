import Scheduling
import Timing

/// A row of `chain_execution_config`, as far as it decides what runs.
struct SimulatedConfig {
    let id: Int64
    var rule: DrawnRule
    var live = true
    var scheduledSince: Int64
    /// `Length.never`: until it is resumed.
    var pausedUntil: Int64?
    var misfire: MisfireWord
    var window: Int64
    var grace: Int64
    var maxInstances: Int?
    /// The daemon that alone may run it.
    var worker: Int?
    /// Counts the changes of `rule`.
    var version = 0

    enum MisfireWord: CaseIterable { case skip, once, all }

    var isAfter: Bool { delay != nil }

    /// Whether it ever does, as it is.
    var fires: Bool { live && pausedUntil != Length.never }

    /// The delay of `@after`.
    var delay: Int64? {
        if case .after(let delay) = rule.kind { return delay }
        return nil
    }

    var isReboot: Bool {
        if case .reboot = rule.kind { return true }
        return false
    }
}

/// A row of `run_status`.
struct SimulatedRun {
    enum Status: String { case started, done, dead, skipped, missed, released }

    let id: Int
    let config: Int64
    let fire: Int64?
    let request: Int?
    var status: Status
    let worker: Int
    let created: Int64
    var finished: Int64?
    /// Of MISSED: the last fire and how many.
    var missedUntil: Int64?
    var missedCount = 0
    /// What `max_instances` allowed when it was claimed.
    var limit = 16
    /// @after: tells all daemons when it ends.
    var wakes = false
}

/// A stretch of time in which one config was live with one rule.
struct Epoch {
    let config: SimulatedConfig
    let since: Int64
    var end: Int64?
}

/// The tables and functions of `sql/` that scheduling needs, one statement at a time.
final class SimulatedDatabase {
    enum Outcome { case started, skipped, taken, early, gone }

    struct Request {
        let id: Int
        let config: Int64
        let runAfter: Int64?
        let created: Int64
        var claimed: Int64?
    }

    private(set) var configs: [Int64: SimulatedConfig] = [:]
    private(set) var runs: [SimulatedRun] = []
    var requests: [Request] = []
    private(set) var epochs: [Epoch] = []
    /// What each worker has claimed all up to.
    var claimedUntil: [Int: Int64] = [:]
    /// Its clock.
    var clock: Int64 = 0
    /// NOTIFY timetable_config.
    var notify: (Int64) -> Void = { _ in }

    private var byFire: [Int64: [Int64: Int]] = [:]
    private var underWay: [Int64: Set<Int>] = [:]
    private var openEpoch: [Int64: Int] = [:]

    /// Ids in order: the simulation must not depend on the seeds of Swift's hashes.
    var ids: [Int64] { configs.keys.sorted() }

    func underWay(_ config: Int64) -> Int { underWay[config]?.count ?? 0 }

    // MARK: chain_execution_config

    func write(_ config: SimulatedConfig) {
        let old = configs.updateValue(config, forKey: config.id)
        let isSame =
            old.map {
                $0.fires == config.fires && $0.scheduledSince == config.scheduledSince
            } ?? false
        if !isSame {
            close(config.id)
            if config.fires {
                openEpoch[config.id] = epochs.count
                epochs.append(Epoch(config: config, since: config.scheduledSince))
            }
        }
        notify(config.id)
    }

    func delete(_ config: Int64) {
        guard configs.removeValue(forKey: config) != nil else { return }
        close(config)
        notify(config)
    }

    private func close(_ config: Int64) {
        if let open = openEpoch.removeValue(forKey: config) { epochs[open].end = clock }
    }

    /// The page or the named rows that a worker reads.
    func read(_ ids: [Int64], for worker: Int) -> [(SimulatedConfig, lastRun: SimulatedRun?)] {
        ids.compactMap { id in
            guard let config = configs[id], config.fires,
                config.worker.map({ $0 == worker }) ?? true
            else { return nil }
            return (config, config.isAfter ? lastRow(id) : nil)
        }
    }

    // MARK: Claims

    // As in timetable.claim_fires.
    func claim(
        _ fires: [(config: Int64, fire: Int64, since: Int64)], by worker: Int
    ) -> [(Outcome, Int?)] {
        fires.map { id, fire, since in
            guard let config = configs[id], config.live, config.worker ?? worker == worker,
                config.scheduledSince == since, fire + 1_000 >= config.pausedUntil ?? .min
            else { return (.gone, nil) }
            guard fire <= clock else { return (.early, nil) }
            guard byFire[id]?[fire] == nil, (accounted(id, through: fire) ?? .min) < fire else {
                return (.taken, nil)
            }
            let isFull = underWay(id) >= config.maxInstances ?? 16
            let run = insert(config, fire, nil, isFull ? .skipped : .started, worker)
            return (isFull ? .skipped : .started, run)
        }
    }

    private func insert(
        _ config: SimulatedConfig, _ fire: Int64?, _ request: Int?, _ status: SimulatedRun.Status,
        _ worker: Int
    ) -> Int {
        let run = SimulatedRun(
            id: runs.count, config: config.id, fire: fire, request: request, status: status,
            worker: worker, created: clock, finished: status == .started ? nil : clock,
            limit: config.maxInstances ?? 16, wakes: config.isAfter)
        runs.append(run)
        if let fire { byFire[config.id, default: [:]][fire] = run.id }
        if status == .started { underWay[config.id, default: []].insert(run.id) }
        return run.id
    }

    enum RequestOutcome: Equatable {
        case started(Int)
        case waiting, taken
        case early(Int64)
        case gone
    }

    func claim(requests ids: [Int], by worker: Int) -> [(Int64, RequestOutcome)] {
        ids.map { id in
            let request = requests[id]
            guard request.claimed == nil else { return (request.config, .taken) }
            guard let config = configs[request.config] else {
                requests[id].claimed = clock
                return (request.config, .gone)
            }
            if let only = config.worker, only != worker { return (config.id, .taken) }
            if let from = request.runAfter, from > clock { return (config.id, .early(from)) }
            guard underWay(config.id) < config.maxInstances ?? 16 else {
                return (config.id, .waiting)
            }
            requests[id].claimed = clock
            return (config.id, .started(insert(config, nil, id, .started, worker)))
        }
    }

    /// Ends a run that is still under way.
    func end(_ run: Int, wakes: Bool) {
        guard runs[run].status == .started else { return }
        close(run, .done)
        if wakes { notify(runs[run].config) }
    }

    private func close(_ run: Int, _ status: SimulatedRun.Status) {
        runs[run].status = status
        runs[run].finished = clock
        underWay[runs[run].config]?.remove(run)
    }

    func markDead(_ worker: Int) {
        for run in startedRuns(of: worker) {
            close(run, .dead)
            if configs[runs[run].config]?.isAfter ?? false { notify(runs[run].config) }
        }
    }

    /// Returns the runs of fires that never began.
    func release(_ worker: Int, known: Set<Int>) -> [Int] {
        let lost = startedRuns(of: worker).filter { !known.contains($0) }
        for run in lost {
            guard let request = runs[run].request else { continue }
            close(run, .released)
            requests[request].claimed = nil
        }
        return lost.filter { runs[$0].fire != nil }
    }

    /// Those that are still this worker's to begin.
    func adopt(_ ids: [Int], missed: [Int]) -> [Int] {
        for run in missed where runs[run].status == .started {
            close(run, .missed)
            runs[run].missedUntil = runs[run].fire
            runs[run].missedCount = 1
            if configs[runs[run].config]?.isAfter ?? false { notify(runs[run].config) }
        }
        return ids.filter { runs[$0].status == .started }
    }

    private func startedRuns(of worker: Int) -> [Int] {
        underWay.values.flatMap { $0 }.filter { runs[$0].worker == worker }.sorted()
    }

    // MARK: Misfires

    private func lastRow(_ config: Int64) -> SimulatedRun? {
        guard let rows = byFire[config], let last = rows.keys.max() else { return nil }
        return rows[last].map { runs[$0] }
    }

    func lastClaim(_ config: Int64) -> Int64? {
        lastRow(config).flatMap { row in row.fire.map { max($0, row.missedUntil ?? $0) } }
    }

    func recordMissed(
        _ id: Int64, first: Int64, last: Int64, count: Int, since: Int64?, by worker: Int
    ) {
        guard let config = configs[id], config.fires, config.worker ?? worker == worker,
            config.scheduledSince == since
        else { return }
        var first = first
        var count = count
        // What others claimed or recorded late meanwhile is left out.
        if let accounted = accounted(id, through: last), accounted >= first {
            let left = config.rule.fires(of: id, after: accounted, through: last)
            guard let next = left.first else { return }
            count -= config.rule.fires(of: id, after: first - 1, through: accounted).count
            first = next
        }
        let run = insert(config, first, nil, .missed, worker)
        runs[run].missedUntil = last
        runs[run].missedCount = count
    }

    /// Up to where all is accounted for that lies before or at an instant.
    private func accounted(_ config: Int64, through instant: Int64) -> Int64? {
        guard let rows = byFire[config], let last = rows.keys.filter({ $0 <= instant }).max(),
            let run = rows[last]
        else { return nil }
        return max(last, runs[run].missedUntil ?? last)
    }
}

extension SimulatedConfig: CustomStringConvertible {
    var description: String {
        """
        config \(id) "\(rule.text)" \(rule.zone.zone.name) \(misfire) window \
        \(window / Length.second) s grace \(grace / Length.second) s jitter \
        \(rule.jitter / Length.second) s since \(scheduledSince.utc)\
        \(rule.startsAt.map { " from \($0.utc)" } ?? "")\
        \(rule.endsAt.map { " to \($0.utc)" } ?? "")\(live ? "" : " not live")\
        \(pausedUntil.map { " paused until \($0 == Length.never ? "ever" : $0.utc)" } ?? "") \
        at most \(maxInstances ?? 16)\(worker.map { " by \($0)" } ?? "")
        """
    }
}

extension SimulatedRun: CustomStringConvertible {
    var description: String {
        """
        \(status) \(id) of \(fire?.utc ?? "a request")\
        \(missedUntil.map { " to \($0.utc) (\(missedCount))" } ?? "") by \(worker), \
        \(created.utc) to \(finished?.utc ?? "now")
        """
    }
}

extension Int64 {
    /// These microseconds as a time.
    var utc: String { WallInstant(microseconds: self).text }
}

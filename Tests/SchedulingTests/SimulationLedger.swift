import Timing

/// What one config did in one epoch, beside what was due.
struct EpochLedger {
    let epoch: Epoch
    let due: [Int64]
    let missedRows: [SimulatedRun]
    private(set) var firstClaim: [Int64: Int64] = [:]
    private(set) var accounted: Set<Int> = []
    private let byFire: [Int64: SimulatedRun]
    private let all: [SimulatedRun]
    private var positions: [Int64: Int] = [:]
    /// Whether the worker of a run had slept until just before it.
    private let justResumed: (SimulatedRun) -> Bool
    /// The MISSED row that covers each fire.
    private var covers: [Int: SimulatedRun] = [:]

    var config: SimulatedConfig { epoch.config }

    private static let slack = SimulationOracle.slack

    init(
        _ epoch: Epoch, _ due: [Int64], _ all: [SimulatedRun], _ byFire: [Int64: SimulatedRun],
        justResumed: @escaping (SimulatedRun) -> Bool
    ) {
        self.justResumed = justResumed
        self.epoch = epoch
        self.due = due
        self.all = all
        self.byFire = byFire
        for (index, fire) in due.enumerated() { positions[fire] = index }
        let positions = positions
        missedRows = all.filter { row in
            row.status == .missed && row.fire.map { positions[$0] != nil } ?? false
        }
    }

    /// The MISSED row that covers the fire at `index`.
    func cover(of index: Int) -> SimulatedRun? { covers[index] }

    mutating func takeRuns() {
        for row in all {
            guard let fire = row.fire, positions[fire] != nil else { continue }
            // One that was claimed by a connection that was lost is MISSED later.
            if row.status == .missed, row.finished == row.created { continue }
            firstClaim[fire] = min(firstClaim[fire] ?? Length.never, row.created)
            accounted.insert(row.id)
        }
    }

    /// Takes a MISSED row; returns what is wrong with it.
    mutating func take(missed row: SimulatedRun) -> String? {
        accounted.insert(row.id)
        guard let first = row.fire, let last = row.missedUntil, let from = positions[first] else {
            return "MISSED without a span"
        }
        guard let to = positions[last], to >= from else {
            return "MISSED ends with no fire of this schedule (begins with one of \(due.count))"
        }
        guard row.missedCount == to - from + 1 else {
            return "MISSED counts \(row.missedCount) of \(to - from + 1)"
        }
        for index in from...to {
            if let other = covers.updateValue(row, forKey: index) {
                return "MISSED overlaps \(other)"
            }
        }
        // What is decided about a config that has gone is no more subject to its policy.
        let decided = row.finished ?? row.created
        guard decided <= epoch.end ?? Length.never else { return nil }
        let follower = to + 1 < due.count ? due[to + 1] : Length.never
        // The latest of all must have run when it was not too late for that.
        let allowed: Int64 =
            switch config.misfire {
            case .skip: config.grace
            case .once: max(config.grace, config.window)
            case .all: config.grace
            }
        if follower > decided + Self.slack, decided - last < allowed - Self.slack {
            return "MISSED holds the latest fire, which should have run"
        }
        if config.misfire == .all, config.grace < config.window,
            decided - last < config.window - Self.slack
        {
            return "MISSED reaches into the window of ALL"
        }
        return nil
    }

    /// What is wrong with the fire at `index`, or nil.
    func problem(
        of index: Int, healthy: (SimulatedConfig, Int64, Int64) -> Bool
    ) -> String? {
        let fire = due[index]
        let run = byFire[fire].flatMap { $0.status == .missed ? nil : $0 }
        if let run {
            if let cover = covers[index] { return "ran and is covered: \(run) and \(cover)" }
            return policyProblem(run, index)
        }
        if covers[index] != nil { return nil }
        guard let end = epoch.end else { return "was neither claimed nor recorded as missed" }
        // The config went before anybody could look at it.
        let step = Int(max(Self.slack, (end - fire) / 1000))
        for begin in stride(from: fire, through: end - 2 * Self.slack, by: step)
        where healthy(config, begin, begin + 2 * Self.slack)
            && !(config.misfire == .all && isCatchingUp(from: begin, before: index))
        {
            return "was neither claimed nor recorded, though somebody served"
        }
        return nil
    }

    /// ALL was making up for fires before this one.
    private func isCatchingUp(from begin: Int64, before index: Int) -> Bool {
        all.contains { row in
            row.fire.map { $0 < due[index] } ?? false && row.status != .missed
                && row.created > due[index] - Self.slack
                && row.created < begin + 2 * Self.slack
                && row.finished ?? Length.never > begin
        }
    }

    private func policyProblem(_ run: SimulatedRun, _ index: Int) -> String? {
        let fire = due[index]
        let late = run.created - fire
        guard late > Self.slack else { return nil }
        switch config.misfire {
        case .skip, .once:
            let bound = config.misfire == .skip ? config.grace : max(config.grace, config.window)
            if late > bound + Self.slack { return "ran too late: \(run)" }
            if index + 1 < due.count, due[index + 1] <= run.created - Self.slack {
                return "ran late, and was not the latest: \(run)"
            }
        case .all:
            guard late > max(config.window, config.grace) + Self.slack else { return nil }
            // Only as one in a row that began within the window.
            let isInARow =
                index > 0
                && all.contains { before in
                    before.fire == due[index - 1] && before.status != .missed
                        && ((before.finished ?? Length.never) + Self.slack > run.created
                            || justResumed(run))
                }
            if !isInARow { return "ran from outside of its window: \(run)" }
        }
        return nil
    }
}

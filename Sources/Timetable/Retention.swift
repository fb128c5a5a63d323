internal import Logging
internal import Postgres
internal import Reactor
internal import Scheduling
internal import Timing

/// When history was last pruned by this daemon, and what waits for that.
@LoopActor
final class PruningState {
    var isUnderWay = false
    /// The bounds were changed while it was under way.
    var startsAgain = false
    var timer: EventLoop.TimerID?
    /// Runs of ours that ended since.
    var endedRuns = 0
    var lastStart: MonotonicInstant?
    /// Opens when no run is under way.
    var quiet: Gate?
}

/// Keeps history within `timetable.retention`: a look an hour, by one daemon of all, on a session
/// that no run waits for and that is closed again.
extension Daemon {
    private static let firstDelay: Duration = .seconds(60)
    private static let interval: Duration = .seconds(3_600)
    /// Others need not look again so soon: less than the interval, which they began later.
    private static let unlessWithin = #"{"unless_within": "55 minutes"}"#
    /// After so many ends the bounds by count and bytes are looked at sooner, but not at once.
    private static let manyRuns = 100_000
    private static let leastInterval: Duration = .seconds(60)
    /// A fire so near is let pass first.
    private static let nearFire: Duration = .milliseconds(50)
    /// How long a batch waits for a moment in which nothing runs.
    private static let patience: Duration = .seconds(1)
    /// When all of it takes longer, there is more than such moments are enough for.
    private static let hurriesAfter: Duration = .seconds(600)
    private static let batchDeadline: Duration = .seconds(60)

    /// Called when the daemon begins to serve; goes on until it stops.
    func schedulePruning() {
        pruning.timer = EventLoop.shared.after(Self.firstDelay) { [weak self] in
            self?.prune(Self.unlessWithin)
        }
    }

    /// Somebody changed the bounds.
    func retentionChanged() {
        guard !pruning.isUnderWay else {
            pruning.startsAgain = true
            return
        }
        prune("{}")
    }

    /// A run of ours has ended.
    func countEnd() {
        pruning.endedRuns += 1
        if active.isEmpty, ready.isEmpty { pruning.quiet?.open() }
        guard pruning.endedRuns >= Self.manyRuns, !pruning.isUnderWay else { return }
        if let last = pruning.lastStart,
            MonotonicInstant.now().duration(since: last) < Self.leastInterval
        {
            return
        }
        prune("{}")
    }

    /// Looks once, and again an hour later; `state` is how `timetable.prune_some` begins.
    private func prune(_ state: String) {
        guard !pruning.isUnderWay, !stopping.isOpen else { return }
        pruning.isUnderWay = true
        pruning.startsAgain = false
        pruning.endedRuns = 0
        pruning.lastStart = .now()
        if let timer = pruning.timer { EventLoop.shared.cancelTimer(timer) }
        pruning.timer = EventLoop.shared.after(Self.interval) { [weak self] in
            self?.prune(Self.unlessWithin)
        }
        start {
            // While it is away there is nothing to do; the next look comes.
            if self.link != nil { await self.pruneHistory(state) }
            self.pruning.isUnderWay = false
            if self.pruning.startsAgain { self.prune("{}") }
        }
    }

    private func pruneHistory(_ first: String) async {
        do throws(PostgresError) {
            let session = try await openSession("history")
            let closing = stopping.whenOpen { session.close() }
            defer {
                stopping.forget(closing)
                session.close()
                forget(session)
            }
            let lock = try await session.run(
                Statements.lockRetention, deadline: Self.batchDeadline)
            guard lock.boolean(0, 0) == true else {
                return logger.debug("history is pruned by another daemon now")
            }
            try await pruneBatches(first, session)
        } catch  where !stopping.isOpen {
            logger.error("history can't be pruned, which is tried again in an hour: \(error)")
        } catch {
            logger.debug("history is pruned another time: this daemon stops")
        }
    }

    private func pruneBatches(_ first: String, _ session: Connection) async throws(PostgresError) {
        var state = first
        let began = MonotonicInstant.now()
        while !stopping.isOpen {
            let isHurried = MonotonicInstant.now().duration(since: began) > Self.hurriesAfter
            if !isHurried { await quietMoment() }
            let sent = MonotonicInstant.now()
            let rows = try await session.run(
                Statements.pruneSome, [state], deadline: Self.batchDeadline)
            guard let next = rows.text(0, 0) else { return }
            if rows.boolean(0, 1) == true { return reportPruned(rows) }
            state = next
            // At most a quarter of the time, when hurried half of it.
            let took = MonotonicInstant.now().duration(since: sent)
            await stopping.wait(atMost: isHurried ? took : took * 3)
        }
    }

    private func reportPruned(_ rows: Rows) {
        let counts = [(2, "runs"), (3, "task executions"), (4, "log lines")].map { column, name in
            (rows.integer(0, column) ?? 0, name)
        }
        guard counts.contains(where: { $0.0 > 0 }) else {
            return logger.debug("history: nothing to remove")
        }
        logger.info(
            "history: removed \(counts.map { "\($0.0) \($0.1)" }.joined(separator: ", "))")
    }

    /// Returns when nothing runs and no fire is near, or when that does not come soon.
    private func quietMoment() async {
        let deadline = MonotonicInstant.now().advanced(by: Self.patience)
        while !stopping.isOpen {
            let left = deadline.duration(since: .now())
            guard left > .zero else { return }
            if !active.isEmpty || !ready.isEmpty {
                let quiet = Gate()
                pruning.quiet = quiet
                await quiet.wait(atMost: left)
            } else if let next = planner.nextFire,
                next <= now.advanced(byMicroseconds: Self.nearFire.wholeMicroseconds)
            {
                await stopping.wait(atMost: min(left, Self.nearFire))
            } else {
                return
            }
        }
    }
}

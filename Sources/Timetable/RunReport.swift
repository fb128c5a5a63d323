internal import Postgres
public import Scheduling
public import Timing

/// A run, or a fire that did not run, as it is in `run_status`.
public struct RunReport: Sendable {
    public let id: Int64
    public let config: Int64
    /// nil where the config is gone.
    public let name: String?
    public let state: String
    public let scheduledFor: WallInstant?
    public let started: WallInstant?
    public let finished: WallInstant?
    public let attempt: Int64
    public let worker: String?
    public let error: String?
    public let sqlstate: String?
    /// Why it was SKIPPED, MISSED or CANCELLED.
    public let reason: String?
    public let request: Int64?
    public let requestedBy: String?
    public let retryAt: WallInstant?
    public let missedCount: Int64?
    public let missedUntil: WallInstant?
    public let zone: ZoneRules

    public var hasEnded: Bool { state != "STARTED" && state != "WAITING" }

    public var time: WallInstant? { started ?? scheduledFor ?? finished }

    public var latenessMicroseconds: Int64? {
        guard let started, let scheduledFor, state != "SKIPPED", state != "MISSED" else {
            return nil
        }
        return started.microseconds(since: scheduledFor)
    }

    public var tookMicroseconds: Int64? {
        guard let started, let finished else { return nil }
        return finished.microseconds(since: started)
    }
}

/// One invocation of a task in a run.
public struct TaskReport: Sendable {
    public let element: Int64
    public let name: String
    public let kind: String?
    public let attempt: Int64?
    public let started: WallInstant?
    public let finished: WallInstant?
    public let returnCode: Int64?
    public let pid: Int64?
    public let sqlstate: String?
    /// JSON, without what is secret.
    public let parameters: String?
    public let output: String?
    public let error: String?
    public let worker: String?
}

/// A daemon, as `timetable.workers` knows it.
public struct WorkerReport: Sendable {
    public let name: String
    /// `serving`, `lost` or `dead`.
    public let state: String
    public let host: String
    public let pid: Int64
    public let version: String
    public let since: WallInstant?
    public let seen: WallInstant?
    /// How many runs it has under way.
    public let running: Int64
}

extension Reports {
    /// The latest runs first.
    ///
    /// - Parameters:
    ///   - config: Its id; nil: of all.
    ///   - since: When they began or were to begin, at the earliest.
    public func runs(
        config: Int64?, failedOnly: Bool, since: WallInstant?, limit: Int
    ) async throws(StartFailure) -> [RunReport] {
        let rows = try await ask(
            Statements.runReport,
            [
                config.map { String($0) }, failedOnly ? "true" : "false",
                since.map { String($0.microseconds) }, String(limit),
            ], "the runs can't be read")
        return (0..<rows.count).map { report(rows, $0) }
    }

    /// Runs under way, the oldest first.
    public func running(limit: Int) async throws(StartFailure) -> [RunReport] {
        let rows = try await ask(
            Statements.runningReport, [String(limit)], "the runs can't be read")
        return (0..<rows.count).map { report(rows, $0) }
    }

    /// The daemons that serve, and those that are lost.
    public func workers() async throws(StartFailure) -> [WorkerReport] {
        let rows = try await ask(Statements.workerReport, [], "the workers can't be read")
        return (0..<rows.count).map { row in
            WorkerReport(
                name: rows.text(row, 0) ?? "", state: rows.text(row, 1) ?? "",
                host: rows.text(row, 2) ?? "", pid: rows.integer(row, 3) ?? 0,
                version: rows.text(row, 4) ?? "", since: rows.instant(row, 5),
                seen: rows.instant(row, 6), running: rows.integer(row, 7) ?? 0)
        }
    }

    /// A run by its id; nil where there is none.
    public func run(_ id: Int64) async throws(StartFailure) -> RunReport? {
        let rows = try await ask(
            Statements.oneRunReport, [String(id)], "the run can't be read")
        return rows.count > 0 ? report(rows, 0) : nil
    }

    /// The run that a request has become; nil while it has not begun.
    public func run(ofRequest request: Int64) async throws(StartFailure) -> RunReport? {
        let rows = try await ask(
            Statements.runOfRequest, [String(request)], "the run can't be read")
        return rows.count > 0 ? report(rows, 0) : nil
    }

    /// What was done in a run, in the order of its ends.
    public func tasks(of run: Int64) async throws(StartFailure) -> [TaskReport] {
        let rows = try await ask(
            Statements.taskReport, [String(run)], "the tasks of the run can't be read")
        return (0..<rows.count).map { row in
            TaskReport(
                element: rows.integer(row, 0) ?? 0, name: rows.text(row, 1) ?? "",
                kind: rows.text(row, 2), attempt: rows.integer(row, 3),
                started: rows.instant(row, 4), finished: rows.instant(row, 5),
                returnCode: rows.integer(row, 6), pid: rows.integer(row, 7),
                sqlstate: rows.text(row, 8), parameters: rows.text(row, 9),
                output: rows.text(row, 10), error: rows.text(row, 11), worker: rows.text(row, 12))
        }
    }

    private func report(_ rows: Rows, _ row: Int) -> RunReport {
        RunReport(
            id: rows.integer(row, 0) ?? 0, config: rows.integer(row, 1) ?? 0,
            name: rows.text(row, 2), state: rows.text(row, 3) ?? "",
            scheduledFor: rows.instant(row, 4), started: rows.instant(row, 5),
            finished: rows.instant(row, 6), attempt: rows.integer(row, 7) ?? 1,
            worker: rows.text(row, 8), error: rows.text(row, 9), sqlstate: rows.text(row, 10),
            reason: rows.text(row, 11), request: rows.integer(row, 12),
            requestedBy: rows.text(row, 13), retryAt: rows.instant(row, 14),
            missedCount: rows.integer(row, 16), missedUntil: rows.instant(row, 17),
            zone: rules(rows.text(row, 15)))
    }
}

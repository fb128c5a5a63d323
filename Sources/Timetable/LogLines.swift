internal import Postgres
internal import Reactor
public import Scheduling
public import Timing

/// A line of `timetable.log`.
public struct LogEntry: Sendable {
    public let id: Int64
    public let time: WallInstant?
    public let worker: String?
    public let level: String
    public let message: String
}

extension Reports {
    /// The zone in which lines of no config are shown: the database's.
    public var zone: ZoneRules { rules(nil) }

    /// The latest lines of these levels, the oldest of them first: since a time, or past an id.
    public func logLines(
        since: WallInstant?, past id: Int64?, levels: [String], limit: Int
    ) async throws(StartFailure) -> [LogEntry] {
        let rows = try await ask(
            Statements.logLines,
            [
                since.map { String($0.microseconds) }, id.map { String($0) },
                levels.map { $0 as String? }.arrayLiteral, String(limit),
            ], "the log can't be read")
        return (0..<rows.count).map { row in
            LogEntry(
                id: rows.integer(row, 0) ?? 0, time: rows.instant(row, 1),
                worker: rows.text(row, 2), level: rows.text(row, 3) ?? "",
                message: rows.text(row, 4) ?? "")
        }
    }
}

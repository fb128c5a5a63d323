import Postgres
import Reactor
import TestSupport
import Timing

/// From the COMMIT of a config to the daemon's line that says it is scheduled.
@LoopActor
enum ScheduledLine {
    private static let count = 200

    static func measure(_ bench: Bench) async throws -> [TableRow] {
        let stage = try await Stage(bench, "scheduled", options: ["-v"])
        let floor = try await BareListener(stage)
        var (delays, floors) = (Delays(), Delays())
        // One of each in turn: whatever else the machine does meets both alike.
        for number in 1...count {
            let (rows, commit) = try await stage.commit([
                Command(
                    Statement(
                        "config",
                        """
                        INSERT INTO timetable.chain_execution_config
                            (chain_id, chain_name, schedule, live)
                        VALUES (1, $1, '30 2 29 2 *', true) RETURNING chain_execution_config
                        """), ["scheduled \(number)"])
            ])
            guard let id = rows.first?.integer(0, 0) else { throw BenchFailure("no config id") }
            delays.add(try await seen(id, stage), after: commit)
            let (answered, bare) = try await floor.selects()
            floors.add(answered, after: bare)
        }
        return [row("config COMMIT → scheduled", delays, floors)]
    }

    /// When the daemon's line about a config was received.
    static func seen(_ id: Int64, _ stage: Stage) async throws -> WallInstant {
        try await stage.daemon.waitForLine(
            containing: "scheduled config \(id), next fire 2",
            from: max(0, stage.daemon.lines.count - 3)
        ).receivedAt
    }

    static func row(_ name: String, _ delays: Delays, _ floors: Delays) -> TableRow {
        TableRow(
            meetsGoal: delays.fromReturn.p50 <= 1_000 && delays.fromReturn.p99 <= 5_000,
            name: name,
            measured: delays.fromReturn.text
                + " (from sending COMMIT \(delays.fromSent.shortText))",
            goal: "p50 ≤ 1 ms, p99 ≤ 5 ms",
            floor: "LISTEN + SELECT: \(floors.fromReturn.shortText)"
                + " (\(floors.fromSent.shortText))")
    }
}

/// From the COMMIT of a config that is due by then to its first run's own clock: nothing is waited
/// for, all of it is the scheduler's part.
@LoopActor
enum FirstRunLine {
    private static let count = 200

    static func measure(_ bench: Bench) async throws -> [TableRow] {
        let stage = try await Stage(bench, "firstrun")
        let floor = try await BareListener(stage)
        var (delays, floors) = (Delays(), Delays())
        for number in 1...count {
            let commit = try await commitDueConfig(number, stage)
            // Looking costs the daemon time on a small machine, so it begins when all is over.
            try await EventLoop.shared.sleep(for: .milliseconds(5))
            try await eventuallyCount(number, stage)
            let at = try await stage.number("SELECT \(microseconds("max(at)")) FROM bench.ran")
            delays.add(WallInstant(microseconds: at), after: commit)
            let (inserted, bare) = try await floor.inserts(afterWrite: true)
            floors.add(inserted, after: bare)
        }
        return [
            TableRow(
                meetsGoal: nil, name: "config COMMIT → first run's clock",
                measured: delays.fromReturn.text
                    + " (from sending COMMIT \(delays.fromSent.shortText))",
                goal: "",
                floor: "LISTEN + INSERT: \(floors.fromReturn.shortText)"
                    + " (\(floors.fromSent.shortText))")
        ]
    }

    /// A config whose one instant lies after its INSERT and before its COMMIT.
    private static func commitDueConfig(
        _ number: Int, _ stage: Stage
    ) async throws -> CommitSpan {
        let insert = Command(
            Statement(
                "due",
                """
                INSERT INTO timetable.chain_execution_config
                    (chain_id, chain_name, schedule, live)
                VALUES (1, $1, '@at ' || to_char(
                    (clock_timestamp() + interval '1 ms') AT TIME ZONE 'UTC',
                    'YYYY-MM-DD HH24:MI:SS.US') || 'Z', true)
                """), ["first run \(number)"])
        _ = try await stage.session.run([Command(sql: "BEGIN"), insert])
        try await EventLoop.shared.sleep(for: .milliseconds(2))
        return try await stage.span(Command(sql: "COMMIT"))
    }

    /// Waits until exactly so many runs have written their clock.
    static func eventuallyCount(_ number: Int, _ stage: Stage) async throws {
        for look in 0... {
            let count = try await stage.number("SELECT count(*) FROM bench.ran")
            if count == number { return }
            try require(count < number, "\(count) runs where \(number) were asked for")
            try require(look < 1_000, "run \(number) did not come within 5 s")
            try await EventLoop.shared.sleep(for: .milliseconds(5))
        }
    }
}

import Postgres
import Reactor
import Timing

/// From NOTIFY to the task's own clock, one notification after the other.
@LoopActor
enum AdHocLine {
    private static let count = 300

    static func measure(_ bench: Bench) async throws -> [TableRow] {
        let stage = try await Stage(bench, "adhoc")
        let floor = try await BareListener(stage)
        let config = try await stage.number(
            """
            INSERT INTO timetable.chain_execution_config (chain_id, chain_name, schedule, live)
            VALUES (1, 'ad hoc', '@manual', true) RETURNING chain_execution_config
            """)
        var (delays, floors) = (Delays(), Delays())
        for number in 1...count {
            let commit = try await stage.span(Command(sql: "NOTIFY timetable_run, '\(config)'"))
            try await EventLoop.shared.sleep(for: .milliseconds(5))
            try await FirstRunLine.eventuallyCount(number, stage)
            let at = try await stage.number("SELECT \(microseconds("max(at)")) FROM bench.ran")
            delays.add(WallInstant(microseconds: at), after: commit)
            let (inserted, bare) = try await floor.inserts(afterWrite: false)
            floors.add(inserted, after: bare)
        }
        // A NOTIFY alone flushes nothing, so its sending is the fair instant: it never flatters.
        let (value, bare) = (delays.fromSent, floors.fromSent)
        return [
            TableRow(
                meetsGoal: value.p50 <= 1_000 && value.p99 <= 3_000 && value.p50 <= 3 * bare.p50,
                name: "sending NOTIFY → task's clock",
                measured: value.text + " (from its return \(delays.fromReturn.shortText))",
                goal: "p50 ≤ 1 ms, p99 ≤ 3 ms, p50 ≤ 3 × floor",
                floor: "LISTEN + INSERT: \(bare.shortText)"
                    + " (\(floors.fromReturn.shortText))")
        ]
    }
}

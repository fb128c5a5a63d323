import Postgres
import Reactor
import Timing

/// How late `@every 1s` comes to its task's own clock.
@LoopActor
enum LatenessLine {
    private static let count = 60

    static func measure(_ bench: Bench) async throws -> [TableRow] {
        let stage = try await Stage(bench, "lateness")
        // In between the daemon's fires, in the same minute.
        let floor = try BareTimer(stage, halfSeconds: count)
        let config = try await stage.number(
            """
            INSERT INTO timetable.chain_execution_config (chain_id, chain_name, schedule, live)
            VALUES (1, 'every second', '@every 1s', true) RETURNING chain_execution_config
            """)
        // One fire more than is counted: the first opens the session for SQL tasks.
        for _ in 0...count {
            try await EventLoop.shared.sleep(for: .seconds(1))
        }
        try await stage.query(
            "UPDATE timetable.chain_execution_config SET live = false"
                + " WHERE chain_execution_config = \(config)")
        try await EventLoop.shared.sleep(for: .milliseconds(200))
        let (lateness, claims) = try await read(stage)
        let (timer, inserts) = try await floor.read()
        return [
            TableRow(
                meetsGoal: lateness.p50 <= 1_000 && lateness.p99 <= 3_000,
                name: "fire → task's clock, \(count) × @every 1s", measured: lateness.text,
                goal: "p50 ≤ 1 ms, p99 ≤ 3 ms",
                floor: "timerfd + INSERT: \(inserts.shortText)"),
            TableRow(
                meetsGoal: nil, name: "  of that to the claim in the database",
                measured: claims.text, goal: "", floor: "timerfd alone: \(timer.shortText)"),
        ]
    }

    private static func read(_ stage: Stage) async throws -> (lateness: Sample, claims: Sample) {
        let rows = try await stage.query(
            """
            WITH fire AS (
                SELECT row_number() OVER (ORDER BY scheduled_for) AS place, scheduled_for, started,
                    execution_status, scheduled_for - lag(scheduled_for)
                        OVER (ORDER BY scheduled_for) AS step
                FROM timetable.run_status
            ), ran AS (
                SELECT row_number() OVER (ORDER BY at) AS place, at FROM bench.ran
            )
            SELECT \(microseconds("ran.at - scheduled_for")),
                \(microseconds("started - scheduled_for")),
                execution_status = 'CHAIN_DONE' AND coalesce(step = interval '1 s', true)
            FROM fire FULL JOIN ran USING (place) ORDER BY place
            """)
        try require(rows.count > count, "\(rows.count) fires in \(count + 1) seconds")
        var (lateness, claims) = (Sample(), Sample())
        for row in 1...count {
            guard let late = rows.integer(row, 0), let claimed = rows.integer(row, 1),
                rows.boolean(row, 2) == true
            else { throw BenchFailure("fire \(row) was missed or did not end well") }
            lateness.add(late)
            claims.add(claimed)
        }
        return (lateness, claims)
    }
}

/// The floor of a fire: a timerfd in this process that is armed for each half second, and one
/// INSERT when it goes off.
@LoopActor
private final class BareTimer {
    private let stage: Stage
    private let count: Int
    private var timer: WallTimer?
    private var due: WallInstant
    private var lateness = Sample()

    init(_ stage: Stage, halfSeconds count: Int) throws {
        self.stage = stage
        self.count = count
        let second = WallInstant.now().microseconds / 1_000_000
        due = WallInstant(microseconds: second * 1_000_000 + 1_500_000)
        timer = try WallTimer { [unowned self] event in
            if event == .expired { expired() } else { timer?.arm(at: due) }
        }
        timer?.arm(at: due)
    }

    private func expired() {
        lateness.add(WallInstant.now().microseconds(since: due))
        let number = lateness.microseconds.count
        stage.session.send([
            Command(
                Statement(
                    "floor", "INSERT INTO bench.floor VALUES ($1::bigint, clock_timestamp())"),
                [String(due.microseconds)])
        ]) { _ in }
        guard number < count else { return }
        due = due.advanced(byMicroseconds: 1_000_000)
        timer?.arm(at: due)
    }

    func read() async throws -> (timer: Sample, inserts: Sample) {
        timer?.cancel()
        let rows = try await stage.query(
            "SELECT \(microseconds("at")) - number FROM bench.floor ORDER BY number")
        try require(
            lateness.microseconds.count == count && rows.count == count,
            "\(lateness.microseconds.count) bare fires and \(rows.count) rows of \(count)")
        var inserts = Sample()
        for row in 0..<rows.count { inserts.add(rows.integer(row, 0) ?? 0) }
        return (lateness, inserts)
    }
}

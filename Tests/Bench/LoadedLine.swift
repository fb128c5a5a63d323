import Glibc
import Postgres
import Reactor
import TestSupport
import Timing

/// A daemon with many live schedules: how it starts, idles, and takes a change.
///
/// CARILLON_BENCH_SCHEDULES sets how many (100,000), CARILLON_BENCH_IDLE how many seconds (60).
@LoopActor
enum LoadedLine {
    private static let changes = 100

    static func measure(_ bench: Bench) async throws -> [TableRow] {
        let count = try variable("CARILLON_BENCH_SCHEDULES", 100_000, in: 1...10_000_000)
        let seconds = try variable("CARILLON_BENCH_IDLE", 60, in: 1...3_600)
        let stage = try await Stage(bench, "loaded")
        let empty = try ProcessUsage(of: stage.daemon.pid)
        try await stage.stopDaemon()
        try await load(count, stage)

        let started = try await stage.startDaemon(options: ["-v"])
        let usage = try ProcessUsage(of: stage.daemon.pid)
        try await checkLoaded(count, stage)
        let bare = try await bareRead(stage)
        let idle = try await idle(.seconds(seconds), stage)
        let (delays, floors) = try await change(stage)
        return rows(
            Measured(
                count: count, seconds: seconds, started: started, usage: usage, empty: empty,
                bare: bare, idle: idle, delays: delays, floors: floors))
    }

    private struct Measured {
        let count, seconds: Int
        let started: Duration
        let usage, empty: ProcessUsage
        let bare: Duration
        let idle: Idle
        let delays, floors: Delays
    }

    private static func rows(_ measured: Measured) -> [TableRow] {
        let many = measured.count >= 1_000_000
        let ready = measured.started.wholeMicroseconds
        let idle = measured.idle
        let share = Double(idle.cpuNanoseconds) / Double(measured.seconds) / 10_000_000
        let beats = measured.seconds / 30 + 1
        return [
            TableRow(
                meetsGoal: ready <= (many ? 10_000_000 : 1_000_000),
                name: "\(decimal(Double(measured.count), digits: 0)) schedules: start → READY=1",
                measured: "\(decimal(Double(ready) / 1_000, digits: 0)) ms",
                goal: many ? "≤ 10 s" : "≤ 10 s for 1 000 000, so ≤ 1 s",
                floor: "a bare SELECT of all: \(measured.bare.wholeMicroseconds / 1_000) ms"),
            TableRow(
                meetsGoal: measured.usage.residentKiB <= 200 * 1_024, name: "  memory then",
                measured: "\(measured.usage.residentText), peak \(measured.usage.peakText)",
                goal: "≤ 200 MB for 1 000 000",
                floor: "none loaded: \(measured.empty.residentText)"),
            ScheduledLine.row("  one change COMMIT → scheduled", measured.delays, measured.floors)
                .with(goal: "≤ 5 ms", met: measured.delays.fromReturn.p99 <= 5_000),
            TableRow(
                meetsGoal: idle.statements.count == idle.heartbeats && idle.heartbeats <= beats,
                name: "  statements in \(measured.seconds) idle seconds",
                measured: "\(idle.heartbeats) heartbeats,"
                    + " \(idle.statements.count - idle.heartbeats) others",
                goal: "2 heartbeats a minute, nothing else", floor: "0"),
            TableRow(
                meetsGoal: share < 0.05, name: "  CPU and wake-ups meanwhile",
                measured: "\(decimal(Double(idle.cpuNanoseconds) / 1_000_000, digits: 2)) ms"
                    + " = \(decimal(share, digits: 3)) %, \(idle.waits) wake-ups",
                goal: "0.0 %", floor: "0"),
        ]
    }

    // MARK: Loading

    private static func load(_ count: Int, _ stage: Stage) async throws {
        // Daily, weekly and monthly times, none in the hours that come: the minute is to be idle.
        // Berlin's clock is up to two hours ahead of UTC.
        let rows = try await stage.query(
            """
            INSERT INTO timetable.chain_execution_config
                (chain_id, chain_name, schedule, time_zone, live)
            SELECT 1, 'schedule ' || n,
                format('%s %s %s * %s', n % 60, (hour + 4 + n % 16) % 24,
                    CASE WHEN n % 10 = 1 THEN (1 + n % 28)::text ELSE '*' END,
                    CASE WHEN n % 10 = 2 THEN (n % 7)::text ELSE '*' END),
                CASE WHEN n % 4 = 0 THEN 'Europe/Berlin' END, true
            FROM generate_series(1, \(count)) AS n,
                (SELECT extract(hour FROM now() AT TIME ZONE 'UTC')::integer) AS h (hour)
            """)
        try require(rows.affected == count, "\(rows.affected) schedules inserted of \(count)")
        try await stage.query("VACUUM (ANALYZE) timetable.chain_execution_config")
    }

    private static func checkLoaded(_ count: Int, _ stage: Stage) async throws {
        let line = try await stage.daemon.waitForLine(containing: "ready: ")
        try require(
            line.text.hasSuffix("ready: \(count) schedules"), "not all are loaded: \(line.text)")
    }

    private static func bareRead(_ stage: Stage) async throws -> Duration {
        let began = ContinuousClock.now
        try await stage.query("SELECT * FROM timetable.chain_execution_config")
        return ContinuousClock.now - began
    }

    // MARK: Idling

    private struct Idle {
        let cpuNanoseconds: Int64
        let waits: Int64
        /// As the server logged them.
        let statements: [String]

        var heartbeats: Int { statements.count { $0.contains(":heartbeat:") } }
    }

    private static func idle(_ time: Duration, _ stage: Stage) async throws -> Idle {
        // From now on; the sessions of the daemon read it too, ours says nothing meanwhile.
        let server = try await Connection.open(
            ConnectionParameters(string: stage.database.connectionString))
        try await logStatements("all", server)
        try await EventLoop.shared.sleep(for: .seconds(1))
        let mark = stage.database.cluster.log.utf8.count
        let before = try ProcessUsage(of: stage.daemon.pid)
        try await EventLoop.shared.sleep(for: time)
        let after = try ProcessUsage(of: stage.daemon.pid)
        let logged = stage.database.cluster.log.utf8.dropFirst(mark)
        try await logStatements("none", server)
        server.close()
        let place = "@\(stage.database.name) LOG:  "
        let statements = String(decoding: Array(logged), as: UTF8.self).split(separator: "\n")
            .filter { $0.contains(place + "execute") || $0.contains(place + "statement") }
        return Idle(
            cpuNanoseconds: after.cpuNanoseconds - before.cpuNanoseconds,
            waits: after.waits - before.waits, statements: statements.map(String.init))
    }

    private static func logStatements(_ which: String, _ server: Connection) async throws {
        try await server.run(Statement(nil, "ALTER SYSTEM SET log_statement = '\(which)'"))
        try await server.run(Statement(nil, "SELECT pg_reload_conf()"))
    }

    // MARK: Changing

    private static func change(_ stage: Stage) async throws -> (Delays, Delays) {
        let floor = try await BareListener(stage)
        var (delays, floors) = (Delays(), Delays())
        for number in 1...changes {
            let (rows, commit) = try await stage.commit([
                Command(
                    Statement(
                        "change",
                        """
                        UPDATE timetable.chain_execution_config
                        SET schedule = '30 2 29 2 *' WHERE chain_name = $1
                        RETURNING chain_execution_config
                        """), ["schedule \(number)"])
            ])
            guard let id = rows.first?.integer(0, 0) else { throw BenchFailure("no config id") }
            delays.add(try await ScheduledLine.seen(id, stage), after: commit)
            let (answered, bare) = try await floor.selects()
            floors.add(answered, after: bare)
        }
        return (delays, floors)
    }

    private static func variable(
        _ name: String, _ fallback: Int, in range: ClosedRange<Int>
    ) throws -> Int {
        guard let text = unsafe getenv(name) else { return fallback }
        guard let number = unsafe Int(String(cString: text)), range.contains(number) else {
            throw BenchFailure("\(name) must be a number from \(range)")
        }
        return number
    }
}

extension TableRow {
    /// The same values against another goal.
    fileprivate func with(goal: String, met: Bool) -> TableRow {
        var row = self
        row.goal = goal
        row.meetsGoal = met
        return row
    }
}

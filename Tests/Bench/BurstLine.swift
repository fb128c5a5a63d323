import Glibc
import Postgres
import Reactor
import TestSupport
import Timing

/// 5,000 configs that are due in the same instant, each with one SQL task.
@LoopActor
enum BurstLine {
    private static let count = 5_000
    /// The daemon's bound on sessions that run SQL tasks, and so pgbench's clients.
    private static let sessions = 16

    static func measure(_ bench: Bench) async throws -> [TableRow] {
        let stage = try await Stage(bench, "burst")
        // The first finds no session for SQL tasks open, as after a start; the second does.
        let cold = try await burst(1, stage)
        let warm = try await burst(2, stage)
        try await stage.stopDaemon()
        let plain = try await PgbenchFloor.measure(stage, clients: sessions, pipeline: false)
        let pipelined = try await PgbenchFloor.measure(stage, clients: sessions, pipeline: true)
        let slower = min(cold.rate, warm.rate)
        let share = "\(decimal(100 * slower / plain, digits: 0)) % of pgbench"
        return [
            TableRow(
                meetsGoal: slower >= 6_000 && slower >= plain / 2,
                name: "5 000 runs due at once, all logged",
                measured: "\(decimal(cold.rate, digits: 0)) then"
                    + " \(decimal(warm.rate, digits: 0)) runs/s, \(share)",
                goal: "≥ 6 000/s, ≥ 50 % of pgbench",
                floor: "pgbench: \(decimal(plain, digits: 0))/s,"
                    + " pipelined \(decimal(pipelined, digits: 0))/s"),
            TableRow(
                meetsGoal: nil, name: "  their lateness", measured: cold.latenessText,
                goal: "",
                floor: "at pgbench's rate the last is"
                    + " \(decimal(Double(count) / plain * 1_000, digits: 0)) ms late"),
        ]
    }

    private struct Burst {
        let rate: Double
        let lateness: Sample
        let finished: Int64

        var latenessText: String {
            "\(lateness.text), max \(Sample.milliseconds(lateness.maximum)) ms"
        }
    }

    private static func burst(_ number: Int, _ stage: Stage) async throws -> Burst {
        let due = WallInstant.now().microseconds / 1_000_000 + 4
        try await stage.query(
            """
            INSERT INTO timetable.chain_execution_config (chain_id, chain_name, schedule, live)
            SELECT 1, 'burst \(number) ' || n, '@at ' || to_char(
                to_timestamp(\(due)) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || 'Z', true
            FROM generate_series(1, \(count)) AS n
            """)
        let early = WallInstant(seconds: due).microseconds(since: .now())
        try require(early > 1_500_000, "\(count) configs took too long to insert")
        try await EventLoop.shared.sleep(for: .microseconds(early + 500_000))
        try await finished(due, stage)
        return try await judge(due, stage)
    }

    /// Waits for the record of all. Looks seldom: each look takes time from what it looks at.
    private static func finished(_ due: Int64, _ stage: Stage) async throws {
        for look in 0... {
            let logged = try await stage.number(
                """
                SELECT count(*) FROM timetable.execution_log
                WHERE last_run >= to_timestamp(\(due)) AND finished IS NOT NULL
                """)
            if logged >= count { return }
            try require(look < 120, "\(logged) of \(count) runs are logged after a minute")
            try await EventLoop.shared.sleep(for: .milliseconds(500))
        }
    }

    private static func judge(_ due: Int64, _ stage: Stage) async throws -> Burst {
        let instant = "to_timestamp(\(due))"
        let counts = try await stage.numbers(
            """
            SELECT count(*),
                count(*) FILTER (WHERE execution_status = 'CHAIN_DONE'),
                (SELECT count(*) FROM timetable.execution_log l
                    JOIN timetable.run_status r USING (run_status)
                    WHERE r.scheduled_for = \(instant) AND l.returncode = 0),
                (SELECT count(DISTINCT config) FROM bench.ran WHERE at >= \(instant)),
                \(microseconds("max(finished) - \(instant)")),
                \(microseconds("max(pg_xact_commit_timestamp(xmin)) - \(instant)")),
                (SELECT \(microseconds("max(pg_xact_commit_timestamp(xmin)) - \(instant)"))
                    FROM timetable.execution_log)
            FROM timetable.run_status WHERE scheduled_for = \(instant)
            """)
        try require(
            counts[0...3].allSatisfy { $0 == count },
            "of \(count) runs: \(counts[0]) claimed, \(counts[1]) CHAIN_DONE, \(counts[2]) logged,"
                + " \(counts[3]) did their work")
        let rows = try await stage.query(
            "SELECT \(microseconds("at - \(instant)")) FROM bench.ran WHERE at >= \(instant)")
        var lateness = Sample()
        for row in 0..<rows.count { lateness.add(rows.integer(row, 0) ?? 0) }
        let ends = counts[4...6].map { Sample.milliseconds($0) }
        say("  burst: last end \(ends[0]) ms, its COMMIT \(ends[1]) ms, last log \(ends[2]) ms")
        let last = max(counts[4], counts[5], counts[6])
        return Burst(
            rate: Double(count) / Double(last) * 1_000_000, lateness: lateness, finished: counts[4])
    }
}

/// What pgbench(1) reaches for the writes of such runs, with as many connections.
@LoopActor
enum PgbenchFloor {
    private static let transactions = 10_000

    /// Transactions a second, without the time to connect.
    static func measure(_ stage: Stage, clients: Int, pipeline: Bool) async throws -> Double {
        try await stage.query("CREATE SEQUENCE IF NOT EXISTS bench.pgbench")
        try await stage.query("CHECKPOINT")
        let folder = try makeTemporaryFolder("carillon-bench")
        defer { unsafe rmdir(folder) }
        let path = "\(folder)/script.sql"
        try write(script(pipeline: pipeline), to: path)
        defer { unsafe unlink(path) }
        let database = stage.database
        let each = transactions / clients
        let result = try await runProgram(
            "\(database.cluster.programs)/pgbench",
            [
                "--no-vacuum", "--protocol=prepared", "--client=\(clients)", "--jobs=2",
                "--transactions=\(each)", "--file=\(path)",
            ], environment: database.environment, limit: .seconds(120))
        try require(
            result.end == .exited(0), "pgbench: \(result.end)\n\(result.stdout)\(result.stderr)")
        for line in result.stdout.split(separator: "\n") where line.hasPrefix("tps = ") {
            let words = line.split(separator: " ")
            if words.count > 2, let rate = Double(words[2]) { return rate }
        }
        throw BenchFailure("pgbench says no tps:\n\(result.stdout)")
    }

    /// One run: the claim, the task, the end, the log; all in one transaction, unlike ours.
    /// currval() is volatile: only as a subquery does it let the index be used.
    private static func script(pipeline: Bool) -> String {
        let writes = """
            BEGIN;
            INSERT INTO timetable.run_status (execution_status, chain_id,
                current_execution_element, started, chain_execution_config, scheduled_for,
                client_name)
            VALUES ('STARTED', 1, 1, clock_timestamp(), -nextval('bench.pgbench'), now(),
                'pgbench');
            INSERT INTO bench.ran VALUES (-1, clock_timestamp());
            UPDATE timetable.run_status
            SET execution_status = 'CHAIN_DONE', finished = clock_timestamp(),
                last_status_update = clock_timestamp()
            WHERE run_status = (SELECT currval('timetable.run_status_run_status_seq'))
                AND execution_status = 'STARTED' AND client_name = 'pgbench';
            INSERT INTO timetable.execution_log (chain_execution_config, chain_id, task_id, name,
                script, kind, last_run, finished, returncode, pid, run_status, client_name)
            VALUES (-1, 1, 6, 'note the time', 'INSERT INTO bench.ran VALUES (…)', 'SQL',
                clock_timestamp(), clock_timestamp(), 0, 1,
                currval('timetable.run_status_run_status_seq'), 'pgbench');
            COMMIT;
            """
        return pipeline ? "\\startpipeline\n\(writes)\n\\endpipeline\n" : "\(writes)\n"
    }

    private static func write(_ text: String, to path: String) throws {
        // The server's user is another: pgbench runs as ours.
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw BenchFailure("\(path) can't be written") }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        let count = unsafe bytes.withUnsafeBytes { bytes in
            unsafe Glibc.write(descriptor, bytes.baseAddress, bytes.count)
        }
        guard count == bytes.count else { throw BenchFailure("\(path) can't be written") }
    }
}

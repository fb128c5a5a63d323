import Glibc
import Postgres
import Reactor
import TestSupport
import Timing

/// A database of its own with a daemon that serves it, and a session of ours.
@LoopActor
final class Stage {
    let database: TestDatabase
    let session: Connection
    private(set) var daemon: DaemonProcess
    private var arguments: [String] = []

    /// Creates the database and starts a daemon with `options`, which installs the schema; then
    /// makes what all lines use: a table to write to, and a chain whose one task writes its clock.
    init(_ bench: Bench, _ name: String, options: [String] = []) async throws {
        database = try await bench.cluster.createDatabase(name)
        arguments = ["--connection", database.connectionString, "--name", "bench"] + options
        daemon = try DaemonProcess(arguments, notify: true)
        try await daemon.waitForNotify("READY=1", within: .seconds(60))
        session = try await Connection.open(ConnectionParameters(string: database.connectionString))
        _ = try await session.runScript(Self.preparation)
    }

    isolated deinit {
        session.close()
    }

    private static let preparation = """
        CREATE SCHEMA bench;
        CREATE TABLE bench.ran (config bigint NOT NULL, at timestamptz NOT NULL);
        CREATE TABLE bench.floor (number bigint NOT NULL, at timestamptz NOT NULL);
        INSERT INTO timetable.base_task (name, script) VALUES ('note the time',
            'INSERT INTO bench.ran
             VALUES (current_setting(''timetable.config'')::bigint, clock_timestamp())');
        INSERT INTO timetable.task_chain (task_id)
        SELECT task_id FROM timetable.base_task WHERE name = 'note the time';
        """

    /// Ends the daemon and waits until it has written all.
    func stopDaemon() async throws {
        daemon.terminate()
        let end = try await daemon.waitForExit(within: .seconds(60))
        try require(end == .exited(0), "the daemon ended with \(end)")
    }

    /// Starts another daemon after `stopDaemon`; returns how long it took to be ready.
    func startDaemon(options: [String] = []) async throws -> Duration {
        let began = ContinuousClock.now
        daemon = try DaemonProcess(arguments + options, notify: true)
        try await daemon.waitForNotify("READY=1", within: .seconds(120))
        return ContinuousClock.now - began
    }

    /// Runs one statement and returns its rows.
    @discardableResult
    func query(_ sql: String, _ parameters: [String?] = []) async throws -> Rows {
        try await session.run(Statement(nil, sql), parameters, deadline: .seconds(120))
    }

    /// Runs one statement and returns the whole numbers of its first row; NULL is an error.
    func numbers(_ sql: String, _ parameters: [String?] = []) async throws -> [Int64] {
        let rows = try await query(sql, parameters)
        return try rows.columns.indices.map { column in
            guard let number = rows.integer(0, column) else {
                throw BenchFailure("no number in column \(rows.columns[column]) of: \(sql)")
            }
            return number
        }
    }

    /// The same for a statement of one number.
    func number(_ sql: String, _ parameters: [String?] = []) async throws -> Int64 {
        guard let first = try await numbers(sql, parameters).first else {
            throw BenchFailure("no column: \(sql)")
        }
        return first
    }

    /// Runs `commands` in a transaction; returns their results and when COMMIT went and came.
    func commit(_ commands: [Command]) async throws -> (rows: [Rows], commit: CommitSpan) {
        let rows = try await session.run([Command(sql: "BEGIN")] + commands)
        return (Array(rows.dropFirst()), try await span(Command(sql: "COMMIT")))
    }

    /// Runs a statement that is a transaction of its own.
    func span(_ command: Command) async throws -> CommitSpan {
        let sent = WallInstant.now()
        let rows = try await session.run([command])
        let returned = WallInstant.now()
        try require(rows.last?.commandTag != "ROLLBACK", "a COMMIT rolled back")
        return CommitSpan(sent: sent, returned: returned)
    }
}

/// The two ends between which a COMMIT happened.
struct CommitSpan {
    /// Just before it was sent: what is measured from here never flatters, and contains the flush
    /// of the committer's own work to the disk.
    let sent: WallInstant
    /// When its answer had come: the earliest instant at which the committer knows.
    let returned: WallInstant
}

/// Delays after COMMITs, against both ends.
struct Delays {
    var fromSent = Sample()
    var fromReturn = Sample()

    mutating func add(_ instant: WallInstant, after commit: CommitSpan) {
        fromSent.add(instant.microseconds(since: commit.sent))
        fromReturn.add(instant.microseconds(since: commit.returned))
    }
}

/// SQL for the microseconds since 1970 of an instant.
func microseconds(_ expression: String) -> String {
    "(extract(epoch FROM \(expression)) * 1000000)::bigint"
}

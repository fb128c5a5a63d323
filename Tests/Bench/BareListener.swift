import Glibc
import Postgres
import Reactor
import TestSupport
import Timing

/// The floor of all that begins with a COMMIT: a process that does nothing but LISTEN, and makes
/// one round trip for each notification.
@LoopActor
final class BareListener {
    /// The argument that makes this program the listener.
    nonisolated static let word = "bare-listener"

    private static let insert = Statement(
        "insert", "INSERT INTO bench.floor VALUES ($1::bigint, clock_timestamp())")
    private static let select = Statement("select", "SELECT $1::bigint")

    private let process: DaemonProcess
    private let stage: Stage
    private var count: Int64 = 0

    /// Starts one and waits until it listens.
    init(_ stage: Stage) async throws {
        self.stage = stage
        process = try Self.start(stage.database)
        try await process.waitForLine(containing: "ready")
    }

    static func start(_ database: TestDatabase) throws -> DaemonProcess {
        try DaemonProcess([word, database.connectionString], program: ownProgram())
    }

    /// COMMITs a row and a notification; returns when the listener had an answer after it.
    func selects() async throws -> (answered: WallInstant, commit: CommitSpan) {
        count += 1
        let commit = try await stage.commit([
            Command(sql: "INSERT INTO bench.floor VALUES (-\(count), clock_timestamp())"),
            Command(sql: "SELECT pg_notify('bench_floor', 'select \(count)')"),
        ]).commit
        let line = try await process.waitForLine(
            containing: "did select \(count).", from: max(0, process.lines.count - 3))
        return (line.receivedAt, commit)
    }

    /// The same, or only a NOTIFY; returns the clock of an INSERT that the listener made.
    func inserts(
        afterWrite: Bool
    ) async throws -> (inserted: WallInstant, commit: CommitSpan) {
        count += 1
        let commit: CommitSpan
        if afterWrite {
            commit = try await stage.commit([
                Command(sql: "INSERT INTO bench.floor VALUES (-\(count), clock_timestamp())"),
                Command(sql: "SELECT pg_notify('bench_floor', 'insert \(count)')"),
            ]).commit
        } else {
            commit = try await stage.span(Command(sql: "NOTIFY bench_floor, 'insert \(count)'"))
        }
        try await process.waitForLine(
            containing: "did insert \(count).", from: max(0, process.lines.count - 3))
        let at = try await stage.number(
            "SELECT \(microseconds("at")) FROM bench.floor WHERE number = \(count)")
        return (WallInstant(microseconds: at), commit)
    }

    // MARK: The process itself

    /// Listens until it is killed.
    static func serve(_ server: String) async -> Int32 {
        do throws(PostgresError) {
            let parameters = ConnectionParameters(string: server)
            let ears = try await Connection.open(parameters)
            let hands = try await Connection.open(parameters)
            let inbox = Inbox<String>()
            ears.onNotification = { inbox.send($0.payload) }
            try await ears.run(Statement(nil, "LISTEN bench_floor"))
            answer("ready")
            while true {
                let payload = await inbox.next()
                let words = payload.split(separator: " ").map(String.init)
                let statement = words[0] == "insert" ? insert : select
                try await hands.run(statement, [words[words.count - 1]])
                answer("did \(payload).")
            }
        } catch {
            say("\(error)")
            return 1
        }
    }

    private static func answer(_ text: String) {
        let line = Array("\(text)\n".utf8)
        _ = unsafe line.withUnsafeBytes { unsafe write(STDOUT_FILENO, $0.baseAddress, $0.count) }
    }
}

/// The file that this program was started from, readlink(2).
private func ownProgram() throws -> String {
    var path = [CChar](repeating: 0, count: 4_096)
    let count = unsafe readlink("/proc/self/exe", &path, path.count)
    guard count > 0 else { throw BenchFailure("this program does not know its own file") }
    return String(decoding: path[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

internal import DequeModule
internal import Logging
internal import Postgres
internal import Reactor
internal import Timing

/// How a run ended.
struct RunEnd: Sendable, Equatable {
    enum Status: String, Sendable {
        case done = "CHAIN_DONE"
        case failed = "CHAIN_FAILED"
        case cancelled = "CANCELLED"
        case timedOut = "TIMED_OUT"
        /// It failed, and will be tried again.
        case waiting = "WAITING"
        /// Its daemon was declared dead.
        case dead = "DEAD"
        /// Its daemon was declared dead, and it was tried again.
        case taken = "TAKEN"
    }

    let run: Int64
    let attempt: Int32
    var status: Status
    var error: String?
    var sqlstate: String?
    /// Where it failed.
    var element: Int64?

    var key: Run.Key { Run.Key(run: run, attempt: attempt) }
}

/// One invocation of a task, for `execution_log`.
struct Execution: Sendable {
    let run: Int64
    let config: Int64
    let attempt: Int32
    let element: Element
    let parameter: Parameter?
    var began: WallInstant
    var ended: WallInstant
    var returnCode: Int32?
    var pid: Int32?
    var output: String?
    var error: String?
    var sqlstate: String?

    mutating func succeed(notices: String) {
        ended = .now()
        returnCode = returnCode ?? 0
        add(notices)
    }

    mutating func fail(_ failure: TaskFailure, notices: String = "") {
        ended = .now()
        // What a program wrote to its standard error stays below the reason.
        error = error.map { "\(failure.message)\n\($0)" } ?? failure.message
        sqlstate = failure.sqlstate
        returnCode = failure.returnCode ?? returnCode ?? 1
        add(notices)
    }

    private mutating func add(_ notices: String) {
        guard !notices.isEmpty else { return }
        output = notices + (output ?? "")
    }
}

/// Writes what happened, in batches and in transactions of its own, so that a failed chain keeps
/// its record. While the database is away everything waits here; log lines are bounded.
@LoopActor
final class RunLog {
    private struct Line {
        let at: WallInstant
        let level: String
        let message: String
    }

    private struct Ending {
        let end: RunEnd
        let answer: CheckedContinuation<String?, Never>
    }

    private static let batchSize = 1_000
    private static let lineBound = 10_000
    /// So many invocations wait for a database that refuses them for a while.
    private static let executionBound = 50_000
    /// Attempts that may fail in a row before we say so: about a second.
    private static let silentFailures = 4
    private static let deadline: Duration = .seconds(30)
    /// What ended while the database is away is tried this long after closing.
    private static let closingPatience: Duration = .seconds(10)
    /// Between attempts while the database is away.
    private static let retryDelay: Duration = .milliseconds(250)

    private let worker: String
    private let open: @LoopActor () async throws(PostgresError) -> Connection
    private var connection: Connection?
    private var endings = Deque<Ending>()
    private var executions = Deque<Execution>()
    private var lines = Deque<Line>()
    private var lostLines = 0
    private var followers = Followers()
    private var addedExecutions = 0
    private var newsTimer: EventLoop.TimerID?
    private var reader: CheckedContinuation<Void, Never>?
    private var failures = 0
    /// Told once when the database can't be written for longer.
    var onTrouble: (@LoopActor (PostgresError) -> Void)?
    /// Told what became of lines, and once that they are being lost.
    var onLoss: ((String) -> Void)?
    private var isLosing = false
    /// Set when we close: until then the database may be away.
    private var closingDeadline: MonotonicInstant?

    /// `open` gives the session to write with.
    init(worker: String, open: @escaping @LoopActor () async throws(PostgresError) -> Connection) {
        self.worker = worker
        self.open = open
    }

    /// Records an end and returns the state that the run has then; nil when it has no row any more.
    ///
    /// Waits for the database as long as it is away.
    func end(_ end: RunEnd) async -> String? {
        await withCheckedContinuation { answer in
            endings.append(Ending(end: end, answer: answer))
            wake()
        }
    }

    func add(_ execution: Execution) {
        executions.append(execution)
        addedExecutions += 1
        wake()
    }

    func addLine(_ level: String, _ message: String) {
        guard lines.count < Self.lineBound else {
            lostLines += 1
            return
        }
        lines.append(Line(at: .now(), level: level, message: message.storable))
        wake()
    }

    /// A run began, or has come to an end that is committed: to be told to those who follow.
    func changed(run: Int64, hasEnded: Bool) {
        followers.changed(run: run, hasEnded: hasEnded, position: addedExecutions)
        noteWritten(of: [])
        wakeForNews()
    }

    /// Somebody follows from now on.
    func followerJoined() {
        followers.joined()
    }

    /// Lets `run` return when all has been written.
    func close() {
        closingDeadline = .now().advanced(by: Self.closingPatience)
        wake()
    }

    private func wake() {
        reader?.resume()
        reader = nil
    }

    private var isEmpty: Bool {
        endings.isEmpty && executions.isEmpty && lines.isEmpty && !hasDueNews
    }

    /// The last news do not wait.
    private var hasDueNews: Bool {
        followers.hasNews && (closingDeadline != nil || followers.delay(at: .now()) == .zero)
    }

    private func wakeForNews() {
        guard newsTimer == nil, let delay = followers.delay(at: .now()) else { return }
        if delay == .zero { return wake() }
        newsTimer = EventLoop.shared.after(delay) { [weak self] in
            self?.newsTimer = nil
            self?.wake()
        }
    }

    private func noteWritten(of runs: some Sequence<Int64>) {
        followers.wrote(through: addedExecutions - executions.count, of: runs)
    }

    /// Writes until closed, and a little longer when the database is away: lines are then lost, and
    /// runs will be found DEAD.
    func run() async {
        while true {
            if isEmpty {
                wakeForNews()
                if closingDeadline != nil { break }
                await withCheckedContinuation { reader = $0 }
                continue
            }
            do throws(PostgresError) {
                try await write()
                failures = 0
            } catch {
                if mayGiveUp { break }
                failures += 1
                if failures == Self.silentFailures { onTrouble?(error) }
                try? await EventLoop.shared.sleep(for: Self.retryDelay)
            }
        }
        for ending in endings { ending.answer.resume(returning: nil) }
        endings.removeAll()
        let count = lostLines + lines.count
        if count > 0 { onLoss?("\(count) lines of timetable.log are lost") }
        connection?.close()
    }

    private var mayGiveUp: Bool {
        guard let closingDeadline else { return false }
        return (endings.isEmpty && executions.isEmpty) || MonotonicInstant.now() > closingDeadline
    }

    private func session() async throws(PostgresError) -> Connection {
        if let connection, connection.ended == nil { return connection }
        let opened = try await open()
        connection = opened
        return opened
    }

    private func write() async throws(PostgresError) {
        let session = try await session()
        // Ends first: what waits for a run to end waits for this.
        if !endings.isEmpty { try await writeEndings(session) }
        if !executions.isEmpty { try await writeExecutions(session) }
        if !lines.isEmpty { try await writeLines(session) }
        if hasDueNews { try await tellNews(session) }
    }

    private func tellNews(_ session: Connection) async throws(PostgresError) {
        guard let news = followers.takeNews(at: .now()) else { return }
        do throws(PostgresError) {
            let rows = try await session.run(
                Statements.tellFollowers, [news.payload], deadline: Self.deadline)
            if rows.boolean(0, 0) == false { followers.foundNobody(joins: news.joins) }
        } catch  where error.kind == .server {
            followers.foundNobody(joins: news.joins)
            addLine("ERROR", "those who follow the log are told nothing more: \(error)")
        } catch {
            followers.couldNotTell()
            throw error
        }
    }

    private func writeEndings(_ session: Connection) async throws(PostgresError) {
        let batch = Array(endings.prefix(Self.batchSize))
        let rows = try await session.run(
            Statements.endRuns,
            [
                batch.map(\.end.run).arrayLiteral,
                batch.map { Int64($0.end.attempt) }.arrayLiteral,
                batch.map { $0.end.status.rawValue as String? }.arrayLiteral,
                batch.map { $0.end.error?.storable }.arrayLiteral,
                batch.map(\.end.sqlstate).arrayLiteral, worker,
                batch.map { $0.end.element.map(String.init) }.arrayLiteral,
            ], deadline: Self.deadline)
        var states: [Run.Key: String] = [:]
        for row in 0..<rows.count {
            if let run = rows.integer(row, 0), let attempt = rows.integer(row, 2) {
                states[Run.Key(run: run, attempt: Int32(attempt))] = rows.text(row, 1)
            }
        }
        endings.removeFirst(batch.count)
        for run in batch.map(\.end.run) {
            followers.changed(run: run, hasEnded: true, position: addedExecutions)
        }
        noteWritten(of: [])
        for ending in batch {
            ending.answer.resume(returning: states[ending.end.key])
        }
    }

    private func writeExecutions(_ session: Connection) async throws(PostgresError) {
        let batch = Array(executions.prefix(Self.batchSize))
        do throws(PostgresError) {
            try await session.run(
                Statements.insertExecutions,
                Execution.columns(batch)
                    + [worker, batch.map { Int64($0.attempt) }.arrayLiteral],
                deadline: Self.deadline)
        } catch  where error.kind == .server {
            // A full disk may have room again; a right that was taken away is not waited for.
            if error.mayPass, executions.count < Self.executionBound { throw error }
            addLine("ERROR", "\(batch.count) rows of execution_log are lost: \(error)")
        }
        executions.removeFirst(batch.count)
        noteWritten(of: batch.map(\.run))
    }

    private func writeLines(_ session: Connection) async throws(PostgresError) {
        let batch = Array(lines.prefix(Self.batchSize))
        do throws(PostgresError) {
            try await session.run(
                Statements.insertLines,
                [
                    batch.map(\.at.microseconds).arrayLiteral,
                    batch.map { $0.level as String? }.arrayLiteral,
                    batch.map { $0.message as String? }.arrayLiteral, worker,
                    String(ProcessID.current),
                ], deadline: Self.deadline)
            isLosing = false
        } catch  where error.kind == .server {
            lostLines += batch.count
            lines.removeFirst(batch.count)
            guard !isLosing else { return }
            isLosing = true
            onLoss?("timetable.log can't be written, and its lines are lost: \(error)")
            return
        }
        lines.removeFirst(batch.count)
        followers.wroteLines()
        guard lostLines > 0 else { return }
        let count = lostLines
        lostLines = 0
        onLoss?("\(count) lines of timetable.log were lost while it could not be written")
    }
}

extension Execution {
    /// The columns of `Statements.insertExecutions`, one array literal each.
    fileprivate static func columns(_ batch: [Execution]) -> [String?] {
        func texts(_ value: (Execution) -> String?) -> String {
            batch.map { value($0)?.storable }.arrayLiteral
        }
        return [
            batch.map(\.config).arrayLiteral, batch.map(\.element.id).arrayLiteral,
            batch.map(\.element.task).arrayLiteral, texts { $0.element.name },
            texts { $0.element.script }, texts { $0.element.kind.rawValue },
            batch.map(\.began.microseconds).arrayLiteral,
            batch.map(\.ended.microseconds).arrayLiteral,
            texts { $0.returnCode.map(String.init) }, texts { $0.pid.map(String.init) },
            batch.map(\.run).arrayLiteral, texts(\.output), texts(\.error), texts(\.sqlstate),
            texts { $0.parameter?.redacted },
        ]
    }
}

extension String {
    /// PostgreSQL's text holds every character but NUL.
    var storable: String {
        guard utf8.contains(0) else { return self }
        return split(separator: "\0", omittingEmptySubsequences: false)
            .joined(separator: "\u{FFFD}")
    }
}

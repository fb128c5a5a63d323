internal import CLibpq
internal import DequeModule
public import Reactor

/// One session with a server, always in pipeline mode: batches go out at once and are answered in
/// order, many in flight.
///
/// A batch is one or more commands and one Sync: without a BEGIN of its own it is one implicit
/// transaction, and the first error skips the rest of that batch only.
@LoopActor
@safe public final class Connection {
    public typealias Outcome = Result<[Rows], PostgresError>

    /// One answer that the server still owes.
    private enum Expected {
        case preparation(of: String)
        case command(isPrepared: Bool)
        case sync
    }

    private struct Pending {
        var expected: Deque<Expected>
        var rows: [Rows] = []
        var failure: PostgresError?
        var deadline: EventLoop.TimerID?
        var answer: @LoopActor (Outcome) -> Void
    }

    private let connection: OpaquePointer
    private var registration: Registration?
    private var pending = Deque<Pending>()
    private var prepared: Set<String> = []
    /// Part of the names on the server: a new one when they may be gone, since some may not be.
    private var generation = 0
    private var script: Script?
    private var isConsuming = false

    /// The parameters it was opened with.
    public let parameters: ConnectionParameters
    /// The server process, as in `pg_stat_activity`.
    public let backend: Int32

    /// Called for each NOTIFY that arrives.
    public var onNotification: (@LoopActor (Notification) -> Void)?
    /// Called for each NOTICE, WARNING, INFO … of the server: severity and text.
    public var onNotice: (@LoopActor (_ severity: String, _ message: String) -> Void)?
    /// Called once when the session ends, whoever ended it.
    public var onEnd: (@LoopActor (PostgresError) -> Void)?

    /// Why the session ended; nil while it lives.
    public private(set) var ended: PostgresError?

    /// Takes over a session that is established and idle.
    init(
        owning connection: OpaquePointer, parameters: ConnectionParameters
    ) throws(PostgresError) {
        unsafe self.connection = unsafe connection
        self.parameters = parameters
        unsafe backend = PQbackendPID(connection)
        guard unsafe PQsetnonblocking(connection, 1) == 0,
            unsafe PQenterPipelineMode(connection) == 1
        else {
            let error = unsafe PostgresError.from(connection: connection)
            unsafe PQfinish(connection)
            throw error
        }
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe PQsetNoticeReceiver(connection, Self.receiveNotice, context)
        do {
            registration = try unsafe EventLoop.shared.register(
                PQsocket(connection), for: .readable
            ) { [unowned self] ready in service(ready) }
        } catch {
            unsafe PQfinish(connection)
            throw PostgresError(.connection, "\(error)")
        }
    }

    isolated deinit {
        close()
    }

    // MARK: Asking

    /// The server's major version times 10,000, such as 150018.
    public var serverVersion: Int32 {
        unsafe PQserverVersion(connection)
    }

    /// A setting that the server reports by itself, such as `TimeZone`.
    public func reportedSetting(_ name: String) -> String? {
        unsafe PQparameterStatus(connection, name).map { unsafe String(cString: $0) }
    }

    /// Whether a transaction block is open (in progress or failed) after all answered so far.
    public var isInTransaction: Bool {
        let status = unsafe PQtransactionStatus(connection)
        return status == PQTRANS_INTRANS || status == PQTRANS_INERROR
    }

    /// Whether the open transaction block has failed.
    public var isInFailedTransaction: Bool {
        unsafe PQtransactionStatus(connection) == PQTRANS_INERROR
    }

    /// True when nothing is under way.
    public var isIdle: Bool {
        pending.isEmpty && script == nil
    }

    /// Runs `commands` as one batch and returns the result of each.
    ///
    /// Throws the first failure. After `deadline` the session is given up and all in flight fails.
    public func run(
        _ commands: [Command], deadline: Duration? = nil
    ) async throws(PostgresError) -> [Rows] {
        let outcome = await withCheckedContinuation { continuation in
            send(commands, deadline: deadline) { continuation.resume(returning: $0) }
        }
        return try outcome.get()
    }

    /// Runs one command and returns its result.
    @discardableResult
    public func run(
        _ statement: Statement, _ parameters: [String?] = [], deadline: Duration? = nil
    ) async throws(PostgresError) -> Rows {
        let rows = try await run([Command(statement, parameters)], deadline: deadline)
        guard let last = rows.last else {
            throw PostgresError(.connection, "the server sent no result")
        }
        return last
    }

    /// Sends a batch; `answer` is called once, on the loop.
    public func send(
        _ commands: [Command], deadline: Duration? = nil,
        answer: @escaping @LoopActor (Outcome) -> Void
    ) {
        if let ended { return answer(.failure(ended)) }
        precondition(script == nil, "a script is under way on this connection")
        for command in commands {
            if let refusal = command.refusal { return answer(.failure(refusal)) }
        }
        var batch = Pending(expected: [], answer: answer)
        guard prepare(commands, into: &batch.expected),
            commands.allSatisfy({ queue($0, into: &batch.expected) }),
            sync(into: &batch.expected)
        else {
            return lose(unsafe .from(connection: connection), alsoAnswer: answer)
        }
        enqueue(batch, deadline: deadline)
    }

    private func enqueue(_ batch: consuming Pending, deadline: Duration?) {
        batch.deadline = deadline.map(giveUp(after:))
        pending.append(batch)
        flush()
    }

    private func giveUp(after limit: Duration) -> EventLoop.TimerID {
        EventLoop.shared.after(limit) { [weak self] in
            self?.lose(PostgresError(.timedOut, "no answer from the server within \(limit)"))
        }
    }

    private func sync(into expected: inout Deque<Expected>) -> Bool {
        expected.append(.sync)
        return unsafe PQpipelineSync(connection) == 1
    }

    /// Prepares what is not prepared yet, before a Sync of its own: a failure in the batch must not
    /// take the preparation with it, on which batches behind it already rely.
    private func prepare(_ commands: [Command], into expected: inout Deque<Expected>) -> Bool {
        let known = expected.count
        for command in commands {
            guard let name = command.statement.name, prepared.insert(name).inserted else {
                continue
            }
            expected.append(.preparation(of: name))
            let sent = unsafe PQsendPrepare(
                connection, serverName(name), command.statement.sql, 0, nil)
            guard sent == 1 else { return false }
        }
        return expected.count == known || sync(into: &expected)
    }

    /// A name that no task uses by accident.
    private func serverName(_ name: String) -> String {
        "carillon_\(generation)_\(name)"
    }

    private func queue(_ command: Command, into expected: inout Deque<Expected>) -> Bool {
        let statement = command.statement
        expected.append(.command(isPrepared: statement.name != nil))
        guard let name = statement.name else {
            return unsafe command.withParameters { count, values in
                unsafe PQsendQueryParams(
                    connection, statement.sql, count, nil, values, nil, nil, 0) == 1
            }
        }
        return unsafe command.withParameters { count, values in
            unsafe PQsendQueryPrepared(
                connection, serverName(name), count, values, nil, nil, 0) == 1
        }
    }

    /// Prepares statements before they are used: later a task may have taken the right to.
    public func prepare(
        _ statements: [Statement], deadline: Duration? = nil
    ) async throws(PostgresError) {
        if let ended { throw ended }
        let outcome = await withCheckedContinuation { continuation in
            var batch = Pending(expected: []) { continuation.resume(returning: $0) }
            guard prepare(statements.map { Command($0) }, into: &batch.expected),
                sync(into: &batch.expected)
            else {
                return lose(
                    unsafe .from(connection: connection), alsoAnswer: batch.answer)
            }
            enqueue(batch, deadline: deadline)
        }
        _ = try outcome.get()
    }

    // MARK: Answers

    private func service(_ ready: Interest) {
        if ready.contains(.readable) {
            guard unsafe PQconsumeInput(connection) == 1 else {
                return lose(unsafe .from(connection: connection))
            }
            isConsuming = true
            if script != nil { consumeScript() } else { consumeResults() }
            isConsuming = false
            deliverNotifications()
        }
        if ended == nil { flush() }
    }

    private func flush() {
        guard ended == nil else { return }
        switch unsafe PQflush(connection) {
        case 0: registration?.wait(for: .readable)
        case 1: registration?.wait(for: [.readable, .writable])
        default: lose(unsafe .from(connection: connection))
        }
    }

    private func consumeResults() {
        var separators = 0
        while ended == nil, !pending.isEmpty, unsafe PQisBusy(connection) == 0 {
            guard let result = unsafe PQgetResult(connection) else {
                // One nil ends the results of a command; more mean that libpq owes us nothing.
                separators += 1
                if separators > 2 { lose(PostgresError(.connection, "an answer is missing")) }
                continue
            }
            separators = 0
            unsafe take(Rows(owning: result), unsafe PQresultStatus(result), result)
        }
    }

    private func take(_ rows: Rows, _ status: ExecStatusType, _ result: OpaquePointer) {
        guard let expected = pending.first?.expected.first else { return }
        if status == PGRES_PIPELINE_SYNC {
            pending[0].expected.removeFirst()
            if pending[0].expected.isEmpty { finishFirst() }
            return
        }
        // An error in place of a Sync is that of the commit; the Sync itself still comes.
        if case .sync = expected {} else { pending[0].expected.removeFirst() }
        let succeeded =
            status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY
        switch expected {
        case .preparation(let name):
            if !succeeded { prepared.remove(name) }
        case .command:
            if succeeded {
                pending[0].rows.append(rows)
                noticeDropped(rows.commandTag)
            }
        case .sync: break
        }
        guard !succeeded, pending[0].failure == nil, status != PGRES_PIPELINE_ABORTED else {
            return
        }
        if status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH {
            // libpq can't leave COPY in pipeline mode.
            return lose(PostgresError(.unsupported, "COPY from or to the client is not possible"))
        }
        let failure = unsafe PostgresError.from(result)
        pending[0].failure = failure
        if failure.sqlstate == "26000", case .command(isPrepared: true) = expected {
            forgetPrepared()
        }
    }

    /// What was prepared is gone when a task has dropped it.
    private func noticeDropped(_ commandTag: String) {
        if commandTag == "DISCARD ALL" || commandTag == "DEALLOCATE ALL" { forgetPrepared() }
    }

    private func forgetPrepared() {
        prepared.removeAll()
        generation += 1
    }

    private func finishFirst() {
        guard let batch = pending.popFirst() else { return }
        if let deadline = batch.deadline { EventLoop.shared.cancelTimer(deadline) }
        batch.answer(batch.failure.map { .failure($0) } ?? .success(batch.rows))
    }

    private func deliverNotifications() {
        while ended == nil, let raw = unsafe PQnotifies(connection) {
            let notification = unsafe Notification(
                channel: String(cString: raw.pointee.relname),
                payload: String(cString: raw.pointee.extra), sender: raw.pointee.be_pid)
            unsafe PQfreemem(raw)
            onNotification?(notification)
        }
    }

    // MARK: Scripts

    private struct Script {
        var rows: [Rows] = []
        var failure: PostgresError?
        var deadline: EventLoop.TimerID?
        var answer: @LoopActor (Outcome) -> Void
    }

    /// Runs any number of statements in one string by the simple protocol; nothing else may be
    /// under way. Returns the result of each.
    ///
    /// COPY from or to the client fails with an error of kind `unsupported`.
    public func runScript(
        _ sql: String, deadline: Duration? = nil
    ) async throws(PostgresError) -> [Rows] {
        let outcome = await withCheckedContinuation { continuation in
            sendScript(sql, deadline: deadline) { continuation.resume(returning: $0) }
        }
        return try outcome.get()
    }

    private func sendScript(
        _ sql: String, deadline: Duration?, answer: @escaping @LoopActor (Outcome) -> Void
    ) {
        if let ended { return answer(.failure(ended)) }
        precondition(isIdle, "a script needs the connection for itself")
        if let refusal = Command(sql: sql).refusal { return answer(.failure(refusal)) }
        guard unsafe PQexitPipelineMode(connection) == 1,
            unsafe PQsendQuery(connection, sql) == 1
        else {
            return lose(unsafe .from(connection: connection), alsoAnswer: answer)
        }
        script = Script(answer: answer)
        script?.deadline = deadline.map(giveUp(after:))
        flush()
    }

    private func consumeScript() {
        while ended == nil, script != nil, unsafe PQisBusy(connection) == 0 {
            guard let result = unsafe PQgetResult(connection) else { return finishScript() }
            let rows = unsafe Rows(owning: result)
            switch unsafe PQresultStatus(result) {
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
                script?.rows.append(rows)
                noticeDropped(rows.commandTag)
            case PGRES_COPY_IN, PGRES_COPY_BOTH:
                refuseCopy("FROM STDIN")
                unsafe PQputCopyEnd(connection, "COPY FROM STDIN is not possible in a task")
            case PGRES_COPY_OUT:
                refuseCopy("TO STDOUT")
                guard drainCopy() else { return }
            default:
                let failure = unsafe PostgresError.from(result)
                if script?.failure == nil { script?.failure = failure }
            }
        }
    }

    private func refuseCopy(_ direction: String) {
        guard script?.failure == nil else { return }
        script?.failure = PostgresError(
            .unsupported, "COPY \(direction) is not possible in a task",
            hint: "use COPY with a file on the server, or a built-in that copies")
    }

    /// Throws away what COPY TO STDOUT sends; false when more is to come.
    private func drainCopy() -> Bool {
        while true {
            var buffer: UnsafeMutablePointer<CChar>?
            let length = unsafe PQgetCopyData(connection, &buffer, 1)
            unsafe PQfreemem(buffer)
            if length == 0 { return false }
            if length < 0 { return true }
        }
    }

    private func finishScript() {
        guard let done = script else { return }
        script = nil
        if let deadline = done.deadline { EventLoop.shared.cancelTimer(deadline) }
        guard unsafe PQenterPipelineMode(connection) == 1 else {
            return lose(unsafe .from(connection: connection), alsoAnswer: done.answer)
        }
        done.answer(done.failure.map { .failure($0) } ?? .success(done.rows))
    }

    // MARK: Ending

    /// Ends the session; what is under way fails. May be called again.
    public func close() {
        lose(PostgresError(.connection, "the connection was closed"))
    }

    private func lose(
        _ error: PostgresError, alsoAnswer: (@LoopActor (Outcome) -> Void)? = nil
    ) {
        guard ended == nil else {
            alsoAnswer?(.failure(error))
            return
        }
        ended = error
        registration?.cancel()
        registration = nil
        unsafe PQfinish(connection)
        let unanswered = pending
        pending.removeAll()
        for batch in unanswered {
            if let deadline = batch.deadline { EventLoop.shared.cancelTimer(deadline) }
            // What the server said before the end tells more than that it ended.
            batch.answer(.failure(batch.failure.map { Self.lost(after: $0) } ?? error))
        }
        if let done = script {
            script = nil
            if let deadline = done.deadline { EventLoop.shared.cancelTimer(deadline) }
            done.answer(.failure(done.failure.map { Self.lost(after: $0) } ?? error))
        }
        alsoAnswer?(.failure(error))
        let onEnd = self.onEnd
        self.onEnd = nil
        onEnd?(error)
    }

    private static func lost(after failure: PostgresError) -> PostgresError {
        PostgresError(
            .connection, failure.message, sqlstate: failure.sqlstate, detail: failure.detail,
            hint: failure.hint, context: failure.context)
    }

    private static let receiveNotice: PQnoticeReceiver = { context, result in
        guard let context = unsafe context, let result = unsafe result else { return }
        let notice = unsafe PostgresError.from(result)
        let severity = unsafe PQresultErrorField(result, 83).map { unsafe String(cString: $0) }
        let address = UInt(bitPattern: context)
        LoopActor.assumeIsolated {
            guard let context = unsafe UnsafeRawPointer(bitPattern: address) else { return }
            let connection = unsafe Unmanaged<Connection>.fromOpaque(context).takeUnretainedValue()
            connection.onNotice?(severity ?? "NOTICE", notice.message)
        }
    }
}

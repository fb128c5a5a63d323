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
    enum Expected {
        case preparation(of: String)
        /// Of a statement by its name, or of one that is sent as it is.
        case execution(isByName: Bool)
    }

    struct Pending {
        let id: UInt64
        var expected: Deque<Expected>
        var rows: [Rows] = []
        var failure: PostgresError?
        var deadline: EventLoop.TimerID?
        var answer: @LoopActor (Outcome) -> Void
    }

    let connection: OpaquePointer
    var registration: Registration?
    var pending = Deque<Pending>()
    private var lastBatch: UInt64 = 0
    var prepared = PreparedStatements()
    var script: Script?
    var copy: Copy?
    /// What libpq handed over in the middle of its parsing, to be told after it.
    var notices = Deque<(severity: String, message: String)>()
    /// Open when the last request to cancel was taken.
    var cancelRequest: Gate?
    /// Whether a script has prepared statements of its own: DEALLOCATE ALL drops them, and ours.
    public private(set) var holdsForeignStatements = false
    /// The server's own word about the end of the session.
    private var fatal: PostgresError?

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
            // All members are set: deinit runs, and closes.
            throw unsafe PostgresError.from(connection: connection)
        }
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe PQsetNoticeReceiver(connection, Self.receiveNotice, context)
        do {
            registration = try unsafe EventLoop.shared.register(
                PQsocket(connection), for: .readable
            ) { [unowned self] ready in service(ready) }
        } catch {
            throw PostgresError(.connection, "\(error)")
        }
    }

    isolated deinit {
        close()
    }

    // MARK: Asking

    /// The server's major version times 10,000, such as 150018; 0 after the end.
    public var serverVersion: Int32 {
        ended == nil ? unsafe PQserverVersion(connection) : 0
    }

    /// How the server was reached: its host or the folder of its socket, and its port.
    public var address: (host: String, port: String) {
        guard ended == nil else { return ("", "") }
        let host = unsafe PQhost(connection).map { unsafe String(cString: $0) }
        let port = unsafe PQport(connection).map { unsafe String(cString: $0) }
        return (host ?? "", port ?? "")
    }

    /// A setting that the server reports by itself, such as `TimeZone`.
    public func reportedSetting(_ name: String) -> String? {
        guard ended == nil else { return nil }
        return unsafe PQparameterStatus(connection, name).map { unsafe String(cString: $0) }
    }

    /// Whether a transaction block is open (in progress or failed) after all answered so far.
    public var isInTransaction: Bool {
        let status = transactionStatus
        return status == PQTRANS_INTRANS || status == PQTRANS_INERROR
    }

    /// Whether the open transaction block has failed.
    public var isInFailedTransaction: Bool {
        transactionStatus == PQTRANS_INERROR
    }

    private var transactionStatus: PGTransactionStatusType {
        ended == nil ? unsafe PQtransactionStatus(connection) : PQTRANS_UNKNOWN
    }

    /// True when nothing is under way.
    public var isIdle: Bool {
        pending.isEmpty && script == nil && copy == nil
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
        precondition(
            script == nil && copy == nil, "a script or COPY has this connection for itself")
        for command in commands {
            if let refusal = command.refusal { return answer(.failure(refusal)) }
        }
        lastBatch += 1
        var batch = Pending(id: lastBatch, expected: [], answer: answer)
        for command in commands {
            guard queue(command, into: &batch) else {
                return lose(unsafe .from(connection: connection), alsoAnswer: answer)
            }
        }
        guard unsafe PQpipelineSync(connection) == 1 else {
            return lose(unsafe .from(connection: connection), alsoAnswer: answer)
        }
        batch.deadline = deadline.map { limit in
            EventLoop.shared.after(limit) { [weak self] in
                self?.lose(
                    PostgresError(.timedOut, "no answer from the server within \(limit)"))
            }
        }
        pending.append(batch)
        flush()
    }

    private func queue(_ command: Command, into batch: inout Pending) -> Bool {
        let statement = command.statement
        if command.isOnlyDescribed {
            for _ in 1...2 { batch.expected.append(.execution(isByName: false)) }
            return unsafe PQsendPrepare(connection, "", statement.sql, 0, nil) == 1
                && PQsendDescribePrepared(connection, "") == 1
        }
        let use = statement.name.map { prepared.use($0, inBatch: batch.id) } ?? .unprepared
        let nameOnServer: String
        switch use {
        case .unprepared:
            batch.expected.append(.execution(isByName: false))
            return unsafe command.withParameters { count, values in
                unsafe PQsendQueryParams(
                    connection, statement.sql, count, nil, values, nil, nil, 0) == 1
            }
        case .prepare(let name):
            batch.expected.append(.preparation(of: statement.name ?? name))
            guard unsafe PQsendPrepare(connection, name, statement.sql, 0, nil) == 1 else {
                return false
            }
            nameOnServer = name
        case .execute(let name):
            nameOnServer = name
        }
        batch.expected.append(.execution(isByName: true))
        return unsafe command.withParameters { count, values in
            unsafe PQsendQueryPrepared(
                connection, nameOnServer, count, values, nil, nil, 0) == 1
        }
    }

    // MARK: Answers

    func service(_ ready: Interest) {
        let isUnasked = copy?.phase == .taking && hasUnreadInput
        if ready.contains(.readable) || isUnasked {
            let isAlive = unsafe PQconsumeInput(connection) == 1
            if !isAlive { noteLoss() } else if isUnasked { noteUnaskedInput() }
            consume()
            if ended == nil, !isAlive { return lose(unsafe .from(connection: connection)) }
        }
        if ended == nil { flush() }
    }

    /// Takes in all that has arrived, also from a connection that has broken meanwhile.
    func consume() {
        if script != nil {
            consumeScript()
        } else if let copy {
            consume(copy)
        } else {
            consumeResults()
        }
        deliverNotifications()
        deliverNotices()
        // Said to nobody in particular: it ends, and answers nothing that is asked from now on.
        if let fatal, isIdle { lose(fatal) }
    }

    func flush() {
        guard ended == nil else { return }
        switch unsafe PQflush(connection) {
        case 0:
            registration?.wait(for: readingInterest)
            copy?.room.open()
        case 1: registration?.wait(for: readingInterest.union(.writable))
        default:
            // What the server said before it closed tells why.
            noteLoss()
            consume()
            if ended == nil { lose(unsafe .from(connection: connection)) }
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
            let rows = unsafe Rows(owning: result)
            deliverNotices()
            if ended == nil { take(rows) }
        }
    }

    private func take(_ rows: Rows) {
        let status = rows.status
        if status == PGRES_PIPELINE_SYNC { return finishFirst() }
        guard !pending.isEmpty else { return }
        let succeeded =
            status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY
        // None is left when the Sync itself failed: the implicit transaction could not commit.
        let expected = pending[0].expected.popFirst()
        if case .preparation(let name) = expected {
            prepared.answered(name, inBatch: pending[0].id, succeeded: succeeded)
        } else if succeeded {
            notePreparedStatements(rows)
            pending[0].rows.append(rows)
        }
        guard !succeeded, pending[0].failure == nil, status != PGRES_PIPELINE_ABORTED else {
            return
        }
        if status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH {
            // libpq can't leave COPY in pipeline mode.
            return lose(PostgresError(.unsupported, "COPY from or to the client is not possible"))
        }
        let failure = failure(of: rows)
        pending[0].failure = failure
        switch (expected, failure.sqlstate) {
        case (.execution(isByName: true), "26000"), (.preparation, "42P05"):
            // Dropped where we could not see it, or a name that somebody took: all anew.
            prepared.forgetAll()
        default: break
        }
    }

    func notePreparedStatements(_ rows: Rows) {
        if rows.dropsPreparedStatements {
            prepared.forgetAll()
            holdsForeignStatements = false
        } else if rows.preparesStatement {
            holdsForeignStatements = true
        }
    }

    func failure(of rows: Rows) -> PostgresError {
        let failure = rows.failure
        // Libpq only knows that the connection is gone; the server may have said why before.
        if failure.sqlstate == nil, let fatal { return fatal }
        guard rows.endsSession else { return failure }
        let end = failure.asEnd
        fatal = end
        return end
    }

    private func finishFirst() {
        guard let batch = pending.popFirst() else { return }
        if let deadline = batch.deadline { EventLoop.shared.cancelTimer(deadline) }
        batch.answer(batch.failure.map { .failure($0) } ?? .success(batch.rows))
    }

    func deliverNotices() {
        while ended == nil, !notices.isEmpty {
            let (severity, message) = notices.removeFirst()
            onNotice?(severity, message)
        }
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

    // MARK: Ending

    /// Ends the session; what is under way fails. May be called again.
    public func close() {
        lose(PostgresError(.connection, "the connection was closed"))
    }

    func lose(
        _ error: PostgresError, alsoAnswer: (@LoopActor (Outcome) -> Void)? = nil
    ) {
        guard ended == nil else {
            alsoAnswer?(.failure(error))
            return
        }
        let error = error.kind == .connection ? fatal ?? error : error
        ended = error
        registration?.cancel()
        registration = nil
        unsafe PQfinish(connection)
        let unanswered = pending
        pending.removeAll()
        for batch in unanswered {
            if let deadline = batch.deadline { EventLoop.shared.cancelTimer(deadline) }
            // What the server said before the end tells more than that it ended.
            batch.answer(.failure(batch.failure?.asEnd ?? error))
        }
        if let done = script {
            script = nil
            if let deadline = done.deadline { EventLoop.shared.cancelTimer(deadline) }
            done.answer(.failure(done.failure?.asEnd ?? error))
        }
        if let done = copy {
            copy = nil
            done.finish(done.failure?.asEnd ?? error)
        }
        alsoAnswer?(.failure(error))
        let onEnd = self.onEnd
        self.onEnd = nil
        onEnd?(error)
    }

    private static let receiveNotice: PQnoticeReceiver = { context, result in
        guard let context = unsafe context, let result = unsafe result else { return }
        let notice = unsafe PostgresError.from(result)
        let severity = unsafe PostgresError.severity(of: result) ?? "NOTICE"
        let endsSession = unsafe PostgresError.endsSession(result)
        let address = UInt(bitPattern: context)
        LoopActor.assumeIsolated {
            guard let context = unsafe UnsafeRawPointer(bitPattern: address) else { return }
            let connection = unsafe Unmanaged<Connection>.fromOpaque(context).takeUnretainedValue()
            // Nothing may be called now: libpq is in the middle of its buffer.
            connection.notices.append((severity, notice.message))
            if endsSession { connection.fatal = notice.asEnd }
        }
    }
}

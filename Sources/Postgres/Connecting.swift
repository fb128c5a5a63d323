internal import CLibpq
internal import Glibc
internal import Reactor
internal import Timing

extension Connection {
    /// Opens a session without blocking the loop.
    ///
    /// Throws an error of kind `connection`, with the SQLSTATE if the server gave one, or
    /// `timedOut`; its text never holds the password.
    public static func open(
        _ parameters: ConnectionParameters, deadline: Duration = .seconds(10)
    ) async throws(PostgresError) -> Connection {
        let end = MonotonicInstant.now().advanced(by: deadline)
        let resolved = try await parameters.withAddresses(until: end)
        // All text that we send and read is UTF-8, whatever the database or PGCLIENTENCODING says.
        let attempt = try ConnectionAttempt(
            resolved.withTimeouts.with("client_encoding", "UTF8"))
        let outcome = await withCheckedContinuation { continuation in
            attempt.start(deadline: end.duration(since: .now())) {
                continuation.resume(returning: $0)
            }
        }
        _ = try outcome.get()
        return try attempt.connection(parameters)
    }
}

/// A session on its way: PQconnectStart and PQconnectPoll.
@LoopActor
@safe private final class ConnectionAttempt {
    private var connection: OpaquePointer?
    private var registration: Registration?
    private var deadline: EventLoop.TimerID?
    private var answer: (@LoopActor (Result<Void, PostgresError>) -> Void)?

    init(_ parameters: ConnectionParameters) throws(PostgresError) {
        let started = unsafe parameters.withKeywords { keys, values in
            unsafe PQconnectStartParams(keys, values, 1)
        }
        guard let started = unsafe started else {
            throw PostgresError(.connection, "libpq is out of memory")
        }
        guard unsafe PQstatus(started) != CONNECTION_BAD else {
            let error = unsafe PostgresError.from(connection: started)
            unsafe PQfinish(started)
            throw error
        }
        unsafe connection = started
        unsafe PQsetErrorVerbosity(started, PQERRORS_VERBOSE)
        // libpq would write warnings of the server to our standard error.
        _ = unsafe PQsetNoticeProcessor(started, { _, _ in }, nil)
    }

    isolated deinit {
        registration?.cancel()
        if let connection = unsafe connection { unsafe PQfinish(connection) }
    }

    func start(
        deadline limit: Duration,
        _ answer: @escaping @LoopActor (Result<Void, PostgresError>) -> Void
    ) {
        self.answer = answer
        deadline = EventLoop.shared.after(limit) { [weak self] in
            self?.finish(
                .failure(PostgresError(.timedOut, "the server did not answer within \(limit)")))
        }
        // As if PQconnectPoll had said so: libpq's manual.
        watch(.writable)
    }

    /// The established session, once.
    func connection(_ parameters: ConnectionParameters) throws(PostgresError) -> Connection {
        guard let established = unsafe connection else {
            throw PostgresError(.connection, "the connection was closed")
        }
        unsafe connection = nil
        unsafe PQsetErrorVerbosity(established, PQERRORS_DEFAULT)
        return try unsafe Connection(owning: established, parameters: parameters)
    }

    private func poll() {
        guard let connection = unsafe connection else { return }
        // The socket may change with every call (next address, TLS refused): registered anew.
        registration?.cancel()
        registration = nil
        switch unsafe PQconnectPoll(connection) {
        case PGRES_POLLING_OK: finish(.success(()))
        case PGRES_POLLING_READING: watch(.readable)
        case PGRES_POLLING_WRITING: watch(.writable)
        default:
            let text = unsafe String(cString: PQerrorMessage(connection))
            let error = PostgresError.whileConnecting(text)
            // libpq gives up by itself where there is none, so that no SQLSTATE comes.
            let lacksPassword = unsafe PQconnectionNeedsPassword(connection) == 1
            finish(
                .failure(
                    lacksPassword && error.sqlstate == nil
                        ? PostgresError(error.kind, error.message, sqlstate: "28P01") : error))
        }
    }

    private func watch(_ interest: Interest) {
        guard let connection = unsafe connection else { return }
        do {
            registration = try unsafe EventLoop.shared.register(
                PQsocket(connection), for: interest
            ) { [unowned self] _ in poll() }
        } catch {
            finish(.failure(PostgresError(.connection, "\(error)")))
        }
    }

    private func finish(_ outcome: Result<Void, PostgresError>) {
        registration?.cancel()
        registration = nil
        if let deadline { EventLoop.shared.cancelTimer(deadline) }
        deadline = nil
        let answer = self.answer
        self.answer = nil
        answer?(outcome)
    }
}

extension ConnectionParameters {
    /// Has the kernel find out within about 11 s that the other side is gone without a word, also
    /// below a statement that has no deadline; the defaults of Linux are 15 minutes and 2 hours.
    /// tcp(7): TCP_USER_TIMEOUT, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT. What the user says in
    /// the parameters counts more.
    fileprivate var withTimeouts: ConnectionParameters {
        let defaults = [
            ("tcp_user_timeout", "10000"), ("keepalives_idle", "5"), ("keepalives_interval", "2"),
            ("keepalives_count", "3"),
        ]
        return ConnectionParameters(defaults + keywords)
    }

    /// Calls `body` with the keywords and values as two NULL-ended lists of C strings.
    fileprivate func withKeywords<Value>(
        _ body: (
            UnsafePointer<UnsafePointer<CChar>?>, UnsafePointer<UnsafePointer<CChar>?>
        ) -> Value
    ) -> Value {
        // A later value wins, but `dbname` holding a whole string must stay first to be overridden.
        var keys: [String?] = keywords.map(\.key)
        var values: [String?] = keywords.map(\.value)
        keys.append(nil)
        values.append(nil)
        return unsafe withCStrings(keys) { keys in
            unsafe withCStrings(values) { values in
                unsafe body(keys, values)
            }
        }
    }
}

/// Calls `body` with a list of C strings; nil becomes NULL.
private func withCStrings<Value>(
    _ strings: [String?], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Value
) -> Value {
    let command = Command(Statement(nil, ""), strings)
    return unsafe command.withParameters { _, list in
        guard let list = unsafe list else { preconditionFailure("a list ends with nil") }
        return unsafe body(list)
    }
}

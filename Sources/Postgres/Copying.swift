internal import CLibpq
internal import Glibc
internal import Reactor

extension Connection {
    /// Gives the next bytes of a COPY, in pieces of any size; nil is the end.
    ///
    /// Runs in a task of its own, which is cancelled when the COPY ends before the source does:
    /// it should return then, for `copyIn` waits for it.
    public typealias CopySource = @LoopActor () async throws -> [UInt8]?

    /// Takes the next bytes of a COPY: no row is cut, and a piece is rarely larger than 512 KiB.
    ///
    /// Runs in a task of its own, which is cancelled when the COPY fails: it should return then,
    /// for `copyOut` waits for it.
    public typealias CopySink = @LoopActor ([UInt8]) async throws -> Void

    /// Runs `COPY … FROM STDIN` with the bytes of `source`, in the transaction that is open or in
    /// one of its own; nothing else may be under way. Returns the command tag, such as `COPY 12`.
    ///
    /// At most 256 KiB wait to be sent while the server is busy. What `source` throws ends the COPY
    /// with 57014 and that text. The server says nothing before the end unless a row is wrong:
    /// then the rest of the source is not asked for. After `deadline` the session is given up.
    /// Throws an error of kind `unsupported` for any other statement, without running it.
    @discardableResult
    public func copyIn(
        _ sql: String, deadline: Duration? = nil, from source: @escaping CopySource
    ) async throws(PostgresError) -> String {
        let copy = try start(.fromClient, sql, deadline)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.feed(copy, from: source) }
            await copy.finished.waitUninterrupted()
            group.cancelAll()
        }
        return try await end(copy)
    }

    /// Runs `COPY … TO STDOUT` and gives its bytes to `sink`, in the transaction that is open or in
    /// one of its own; nothing else may be under way. Returns the command tag, such as `COPY 12`.
    ///
    /// Nothing is read from the server while 256 KiB wait for the sink. What `sink` throws ends the
    /// COPY, by a cancel request: an error of kind `aborted`. After `deadline` the session is given
    /// up. Throws an error of kind `unsupported` for any other statement, without running it.
    @discardableResult
    public func copyOut(
        _ sql: String, deadline: Duration? = nil, to sink: @escaping CopySink
    ) async throws(PostgresError) -> String {
        let copy = try start(.toClient, sql, deadline)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.drain(copy, to: sink) }
            await copy.finished.waitUninterrupted()
            if copy.failure != nil { group.cancelAll() }
        }
        return try await end(copy)
    }

    private func start(
        _ direction: CopyDirection, _ sql: String, _ deadline: Duration?
    ) throws(PostgresError) -> Copy {
        if let ended { throw ended }
        precondition(isIdle, "a COPY needs the connection for itself")
        guard !sql.utf8.contains(0) else { throw .holdsNUL }
        let conforming = reportedSetting("standard_conforming_strings") != "off"
        switch CopyStatement(sql, conformingStrings: conforming) {
        case .withClient(direction), .invalid: break
        case .withClient, .other: throw .notCopy(direction)
        }
        // By the simple protocol. In the extended one libpq sends a Sync before the data and one
        // after: an error before the server reads the first (a trigger, a cancel) leaves one too
        // many, which would answer the next batch.
        guard unsafe PQexitPipelineMode(connection) == 1,
            unsafe PQsendQuery(connection, sql) == 1
        else {
            let error = unsafe PostgresError.from(connection: connection)
            lose(error)
            throw ended ?? error
        }
        let copy = Copy(direction)
        // The server may take it before the COPY, and know nothing of it then.
        if let cancelRequest, !cancelRequest.isOpen { copy.cancels.append(cancelRequest) }
        copy.deadline = deadline.map { limit in
            EventLoop.shared.after(limit) { [weak self] in
                self?.lose(PostgresError(.timedOut, "the COPY did not end within \(limit)"))
            }
        }
        self.copy = copy
        flush()
        return copy
    }

    /// Waits for cancel requests under way, which would hit the next statement.
    private func end(_ copy: Copy) async throws(PostgresError) -> String {
        for request in copy.cancels { await taken(request) }
        if let failure = copy.failure { throw failure }
        return copy.commandTag
    }

    // MARK: From the source

    private func feed(_ copy: Copy, from source: @escaping CopySource) async {
        await copy.begun.waitUninterrupted()
        do {
            while copy.phase == .taking, let bytes = try await source() {
                var rest = bytes[...]
                while !rest.isEmpty, copy.phase == .taking {
                    put(rest.prefix(Copy.bound), copy)
                    rest = rest.dropFirst(Copy.bound)
                    await copy.room.waitUninterrupted()
                }
                // A source that never waits must not hold the loop.
                await Task.yield()
            }
            endInput(copy, nil)
        } catch {
            endInput(copy, "\(error)")
        }
    }

    private func put(_ bytes: ArraySlice<UInt8>, _ copy: Copy) {
        // libpq reads while it sends: what came before is looked at before it is swallowed.
        if hasUnreadInput { service(.readable) }
        guard ended == nil, copy.phase == .taking else { return }
        let isTaken = unsafe bytes.withUnsafeBytes { bytes in
            let text = unsafe bytes.assumingMemoryBound(to: CChar.self)
            return unsafe PQputCopyData(connection, text.baseAddress, Int32(text.count)) == 1
        }
        guard isTaken else {
            // What the server said before it closed tells why.
            service(.readable)
            return lose(unsafe .from(connection: connection))
        }
        copy.room = Gate()
        flush()
    }

    /// Ends the data; with a reason, the server fails the COPY with it.
    private func endInput(_ copy: Copy, _ reason: String?) {
        guard ended == nil, copy.phase == .taking else { return }
        copy.phase = .ending
        copy.forgetDoubt()
        copy.room.open()
        // What fails here, the result tells. It may have been read already, while libpq sent, so
        // that the socket is silent; but whoever calls us may be in the middle of a result.
        unsafe PQputCopyEnd(connection, reason)
        _ = EventLoop.shared.after(.zero) { [weak self] in
            guard let self, ended == nil else { return }
            consume()
            flush()
        }
    }

    /// Whether bytes of the server wait in the socket.
    var hasUnreadInput: Bool {
        guard ended == nil else { return false }
        var byte: UInt8 = 0
        let flags = Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)
        return unsafe recv(PQsocket(connection), &byte, 1, flags) > 0
    }

    /// The server is gone while it takes our data: libpq tells its last words now.
    func noteLoss() {
        if let copy { endInput(copy, "the connection was lost") }
    }

    /// Something has come while the server takes our data: a notice, or the error that ended the
    /// COPY, which libpq does not look at before we end it too. So what is no notice within a
    /// second (it may come in parts) is an error. Before version 14 it could be a changed setting.
    func noteUnaskedInput() {
        guard let copy else { return }
        let known = notices.count
        _ = unsafe PQisBusy(connection)  // takes in whole notices
        if notices.count > known || serverVersion < 140_000 { return copy.forgetDoubt() }
        guard copy.doubt == nil else { return }
        copy.doubt = EventLoop.shared.after(.seconds(1)) { [weak self, weak copy] in
            guard let copy else { return }
            self?.endInput(copy, "the server had ended it")
        }
    }

    // MARK: To the sink

    private func drain(_ copy: Copy, to sink: @escaping CopySink) async {
        while true {
            await copy.arrived.waitUninterrupted()
            let bytes = copy.takeReceived()
            guard !bytes.isEmpty else { return }
            flush()
            do {
                try await sink(bytes)
            } catch {
                return abandon(copy, error)
            }
        }
    }

    private func abandon(_ copy: Copy, _ error: any Error) {
        // A sink that is cancelled because the COPY has failed is not the reason.
        guard copy.failure == nil else { return }
        copy.fail(PostgresError(.aborted, "\(error)"))
        guard !copy.finished.isOpen else { return }
        copy.discard()
        copy.cancels.append(sendCancel())
        flush()
    }

    /// What the socket shall wait for: data that nobody takes stays with the server.
    var readingInterest: Interest {
        (copy?.received.count ?? 0) < Copy.bound ? .readable : []
    }

    // MARK: Answers

    func consume(_ copy: Copy) {
        while ended == nil, !copy.finished.isOpen {
            switch copy.phase {
            case .taking: return
            case .giving:
                guard takeData(copy) else { return }
            case .asked, .ending:
                guard unsafe PQisBusy(connection) == 0 else { return }
                guard let result = unsafe PQgetResult(connection) else { return finish(copy) }
                let rows = unsafe Rows(owning: result)
                deliverNotices()
                if ended == nil { take(rows, copy) }
            }
        }
    }

    /// Takes the rows that have arrived; true when they were the last.
    private func takeData(_ copy: Copy) -> Bool {
        while true {
            var buffer: UnsafeMutablePointer<CChar>?
            let length = unsafe PQgetCopyData(connection, &buffer, 1)
            defer { unsafe PQfreemem(buffer) }
            guard length > 0 else {
                if !copy.received.isEmpty { copy.arrived.open() }
                if length < 0 { copy.phase = .ending }
                return length < 0
            }
            guard !copy.isDiscarding else { continue }
            let row = unsafe UnsafeRawBufferPointer(start: buffer, count: Int(length))
            unsafe copy.received.append(contentsOf: row)
        }
    }

    private func take(_ rows: Rows, _ copy: Copy) {
        switch rows.status {
        case PGRES_COPY_IN where copy.direction == .fromClient && copy.phase == .asked:
            copy.phase = .taking
            if !copy.cancels.isEmpty { endInput(copy, PostgresError.cancelled.message) }
            copy.begun.open()
        case PGRES_COPY_OUT where copy.direction == .toClient && copy.phase == .asked:
            copy.phase = .giving
            if !copy.cancels.isEmpty {
                copy.discard()
                // The one before may have come too early to stop it.
                copy.cancels.append(sendCancel())
            }
            copy.begun.open()
        case PGRES_COMMAND_OK where copy.phase == .ending:
            copy.commandTag = rows.commandTag
            // The server was done before the request reached it, but the sink did not get it all.
            if copy.isDiscarding { copy.fail(.cancelled) }
        case PGRES_FATAL_ERROR: copy.fail(failure(of: rows))
        // The server reads SQL otherwise than we do: nothing here can be trusted.
        default: lose(.notCopy(copy.direction))
        }
    }

    private func finish(_ copy: Copy) {
        guard unsafe PQenterPipelineMode(connection) == 1 else {
            return lose(unsafe .from(connection: connection))
        }
        self.copy = nil
        copy.finish(nil)
        flush()
    }

    /// A server that waits for our data, or for us to take its own, does not look at cancel
    /// requests: we end the data too, or let all that comes go by.
    func cancelled(_ copy: Copy, _ delivered: Gate) {
        copy.cancels.append(delivered)
        endInput(copy, PostgresError.cancelled.message)
        guard copy.phase == .giving else { return }
        copy.discard()
        flush()
    }
}

/// A COPY under way.
@LoopActor
final class Copy {
    enum Phase {
        /// Sent; the server has not said yet what it is.
        case asked
        /// The server takes our data, or gives us its own.
        case taking, giving
        /// No more data; the result is to come.
        case ending
    }

    /// How many bytes wait on our side, in either direction.
    static let bound = 256 * 1024

    let direction: CopyDirection
    var phase = Phase.asked
    var deadline: EventLoop.TimerID?
    /// Open when data may flow, or never will.
    let begun = Gate()
    /// Open when the server has answered it all, or is gone.
    let finished = Gate()
    private(set) var failure: PostgresError?
    var commandTag = ""
    /// Cancel requests, each open when delivered.
    var cancels: [Gate] = []

    /// Open when all that was put has left for the server.
    var room = Gate()
    /// Runs when something came that no notice explains.
    var doubt: EventLoop.TimerID?

    /// What the sink has not taken yet.
    var received: [UInt8] = []
    /// Open when something was received, or all.
    private(set) var arrived = Gate()
    private(set) var isDiscarding = false

    init(_ direction: CopyDirection) {
        self.direction = direction
    }

    /// Keeps the first failure.
    func fail(_ error: PostgresError) {
        failure = failure ?? error
    }

    func takeReceived() -> [UInt8] {
        let bytes = failure == nil ? received : []
        received = []
        if !finished.isOpen { arrived = Gate() }
        return bytes
    }

    /// What comes from now on is thrown away.
    func discard() {
        isDiscarding = true
        received = []
    }

    func forgetDoubt() {
        if let doubt { EventLoop.shared.cancelTimer(doubt) }
        doubt = nil
    }

    func finish(_ error: PostgresError?) {
        if let error { fail(error) }
        if let deadline { EventLoop.shared.cancelTimer(deadline) }
        forgetDoubt()
        phase = .ending
        finished.open()
        begun.open()
        room.open()
        arrived.open()
    }
}

extension PostgresError {
    /// In the server's words.
    fileprivate static let cancelled = PostgresError(
        .server, "canceling statement due to user request", sqlstate: "57014")

    fileprivate static func notCopy(_ direction: CopyDirection) -> PostgresError {
        PostgresError(.unsupported, "the statement is no COPY … \(direction.words)")
    }
}

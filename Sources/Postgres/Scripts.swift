internal import CLibpq
internal import Reactor

extension Connection {
    /// A script under way.
    struct Script {
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
        guard !sql.utf8.contains(0) else { return answer(.failure(.holdsNUL)) }
        guard unsafe PQexitPipelineMode(connection) == 1,
            unsafe PQsendQuery(connection, sql) == 1
        else {
            return lose(unsafe .from(connection: connection), alsoAnswer: answer)
        }
        script = Script(answer: answer)
        script?.deadline = deadline.map { limit in
            EventLoop.shared.after(limit) { [weak self] in
                self?.lose(
                    PostgresError(.timedOut, "no answer from the server within \(limit)"))
            }
        }
        flush()
    }

    func consumeScript() {
        while ended == nil, script != nil, unsafe PQisBusy(connection) == 0 {
            guard let result = unsafe PQgetResult(connection) else { return finishScript() }
            let rows = unsafe Rows(owning: result)
            deliverNotices()
            guard ended == nil else { return }
            switch rows.status {
            case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
                notePreparedStatements(rows)
                script?.rows.append(rows)
            case PGRES_COPY_IN, PGRES_COPY_BOTH:
                refuseCopy("FROM STDIN")
                unsafe PQputCopyEnd(connection, "COPY FROM STDIN is not possible in a task")
            case PGRES_COPY_OUT:
                refuseCopy("TO STDOUT")
                guard drainCopy() else { return }
            default:
                let failure = failure(of: rows)
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
}

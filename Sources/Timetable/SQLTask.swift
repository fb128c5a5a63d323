internal import Postgres
internal import Reactor
internal import Timing

extension ChainRunner {
    /// Runs one invocation of an SQL task in the chain's transaction.
    ///
    /// When it is the last of the chain and can't disturb it, the end of the run and COMMIT go out
    /// in the same batch: one round trip for a chain of one task.
    func runSQL(
        _ element: Element, _ parameter: Parameter?, isFinal: Bool, _ execution: inout Execution
    ) async throws(TaskFailure) {
        let values = try sqlValues(parameter)
        let shape = ScriptShape(element.script)
        let session = try await chainSession()
        execution.pid = session.backend
        execution.began = .now()
        if let cancelReason { throw TaskFailure(cancelReason) }
        stopCurrent = { [weak session] in session?.requestCancel() }
        defer { stopCurrent = nil }

        var before: [Command] = []
        if !session.isInTransaction, !shape.controlsTransaction {
            before = [Command(Statements.begin)] + announcement
        }
        if element.ignoreError, !shape.controlsTransaction {
            before.append(Command(Statements.savepoint))
        }
        do throws(PostgresError) {
            let results: [Rows]
            if shape == .script, values.isEmpty {
                if !before.isEmpty { _ = try await session.run(before) }
                results = try await session.runScript(element.script)
                if element.ignoreError, session.isInTransaction {
                    try await session.run(Statements.releaseSavepoint)
                }
            } else {
                results = try await runStatement(
                    element, Command(Statement(nil, element.script), values), shape, before,
                    isFinal: isFinal, session)
            }
            execution.output = ResultText.render(results)
            try checkCommit(shape, results)
        } catch {
            try await failed(element, error, session)
        }
    }

    private func runStatement(
        _ element: Element, _ command: Command, _ shape: ScriptShape, _ before: [Command],
        isFinal: Bool, _ session: Connection
    ) async throws(PostgresError) -> [Rows] {
        var after: [Command] = []
        if shape.controlsTransaction {
            if shape.beginsTransaction { after = announcement }
        } else if element.ignoreError {
            after = [Command(Statements.releaseSavepoint)]
        } else if isFinal {
            after = ending
        }
        let rows = try await session.run(before + [command] + after)
        if isFinal, !shape.controlsTransaction, !element.ignoreError {
            try noteCommit(rows)
        }
        return Array(rows.dropFirst(before.count).prefix(1))
    }

    /// COMMIT of a failed transaction succeeds, and rolls back: only its tag says so.
    private func checkCommit(_ shape: ScriptShape, _ rows: [Rows]) throws(PostgresError) {
        if shape.commitsTransaction, rows.last?.commandTag == "ROLLBACK" {
            throw PostgresError(
                .server, "COMMIT rolled the transaction back: a statement before had failed",
                sqlstate: "25P02")
        }
    }

    private func failed(
        _ element: Element, _ error: PostgresError, _ session: Connection
    ) async throws(TaskFailure) {
        if element.ignoreError, session.ended == nil, session.isInTransaction {
            do throws(PostgresError) {
                _ = try await session.run([
                    Command(Statements.rollbackToSavepoint), Command(Statements.releaseSavepoint),
                ])
            } catch {
                throw TaskFailure(error)
            }
        }
        throw TaskFailure(error)
    }

    private func sqlValues(_ parameter: Parameter?) throws(TaskFailure) -> [String?] {
        guard let parameter else { return [] }
        guard let values = parameter.values else {
            throw TaskFailure(
                "the parameter of an SQL task must be a JSON array, one value for each $n; "
                    + "this is a JSON \(parameter.type): \(parameter.redacted)")
        }
        return values
    }

    private var announcement: [Command] {
        Statements.announce(run: run.id, config: run.config)
    }

    /// The end of the run with the COMMIT, and the session made clean for the next.
    private var ending: [Command] {
        [
            Command(Statements.resetRole),
            Command(
                Statements.chainDone,
                [
                    String(run.id), context.worker,
                    run.selfDestruct ? String(run.config) : nil,
                    run.wakesConfig ? String(run.config) : nil,
                ]),
            Command(Statements.commit),
        ] + Statements.clean.map { Command($0) }
    }

    private func noteCommit(_ rows: [Rows]) throws(PostgresError) {
        let commit = rows.dropLast(Statements.clean.count).last
        guard commit?.commandTag == "COMMIT" else {
            throw PostgresError(.server, "COMMIT rolled the chain back", sqlstate: "25P02")
        }
        isRecorded = true
    }

    // MARK: The session of the chain

    private func chainSession() async throws(TaskFailure) -> Connection {
        if let session { return session }
        do throws(PostgresError) {
            let acquired = try await context.pool.acquire()
            session = acquired
            return acquired
        } catch {
            var failure = TaskFailure(error)
            failure.message = "no connection for an SQL task: " + failure.message
            // Nothing had begun on it.
            failure.isUncertain = false
            throw failure
        }
    }

    /// After the last element: commits what is open, with the end of the run.
    func commitIfOpen() async throws(TaskFailure) {
        guard !isRecorded, let session, session.isInTransaction else { return }
        do throws(PostgresError) {
            try noteCommit(try await session.run(ending))
        } catch {
            throw TaskFailure(error)
        }
    }

    /// After a failure: nothing of what is open stays.
    func abandonTransaction() async {
        guard let session, session.ended == nil, session.isInTransaction else { return }
        do throws(PostgresError) {
            try await session.run(Statements.rollback)
        } catch {
            // A session that can't even roll back is given up, which rolls back.
            session.close()
        }
    }

    /// Cleans the session if that was not done with the COMMIT, and lets the next run have it.
    func giveBackSession() {
        guard let session else { return }
        self.session = nil
        let pool = context.pool
        if isRecorded || session.ended != nil { return pool.release(session) }
        session.send(Statements.clean.map { Command($0) }, deadline: .seconds(10)) { outcome in
            if case .failure = outcome { session.close() }
            pool.release(session)
        }
    }
}

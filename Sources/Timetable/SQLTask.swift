internal import Postgres
internal import Reactor

extension ChainRunner {
    /// What is done on a session to run one invocation.
    typealias Work = @LoopActor (Connection) async throws(PostgresError) -> Done

    /// What came of it: text for the log, and the tag of its last command.
    struct Done {
        let output: String
        let tag: String

        init(_ results: [Rows]) {
            output = ResultText.render(results)
            tag = results.last?.commandTag ?? ""
        }

        init(tag: String) {
            output = tag
            self.tag = tag
        }
    }

    /// Runs one invocation of an SQL task.
    ///
    /// When it is the last of the chain and can't disturb it, the end of the run and COMMIT go out
    /// in the same batch: one round trip for a chain of one task.
    func runSQL(
        _ element: Element, _ parameter: Parameter?, isFinal: Bool, _ execution: inout Execution
    ) async throws(TaskFailure) {
        let values = try sqlValues(parameter)
        let shape = ScriptShape(element.script)
        let command = Command(Statement(nil, element.script), values)
        // Alone in its message where it may: some statements refuse to share one.
        let isScript = (shape == .script || element.autonomous) && values.isEmpty
        let work: Work = { session throws(PostgresError) in
            Done(
                isScript
                    ? try await session.runScript(element.script)
                    : try await session.run([command]))
        }
        if element.autonomous {
            return try await runAutonomously(element, &execution, work)
        }
        if isScript || shape.controlsTransaction {
            return try await runInTransaction(element, shape, &execution, work)
        }
        try await runStatement(element, command, isFinal: isFinal, &execution)
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

    // MARK: In the transaction of the chain

    /// One statement, in one batch with all that surrounds it.
    private func runStatement(
        _ element: Element, _ command: Command, isFinal: Bool, _ execution: inout Execution
    ) async throws(TaskFailure) {
        let database = try await database(of: element)
        let session = try await session(in: database)
        let before = opening(element, session)
        let endsRun =
            isFinal && database.isOwn && !element.ignoreError
            && !databases.contains { !$0.isOwn && $0.holdsWork }
        let after = endsRun ? ending : closing(element)
        database.lastElement = element
        try begin(session, &execution)
        defer {
            stopCurrent = nil
            database.noteTransaction()
        }
        do throws(PostgresError) {
            let rows = try await session.run(before + [command] + after)
            execution.output = ResultText.render(Array(rows.dropFirst(before.count).prefix(1)))
            if endsRun { try noteCommit(rows) }
        } catch {
            try await failed(element, error, session)
        }
    }

    /// A script, a statement that begins or ends a transaction, or a built-in that copies: between
    /// two batches of ours.
    func runInTransaction(
        _ element: Element, _ shape: ScriptShape, _ execution: inout Execution, _ work: Work
    ) async throws(TaskFailure) {
        let database = try await database(of: element)
        let session = try await session(in: database)
        database.lastElement = element
        try begin(session, &execution)
        defer {
            stopCurrent = nil
            database.noteTransaction()
        }
        do throws(PostgresError) {
            if shape.controlsTransaction {
                if shape.commitsTransaction { try await holdRun(database, session) }
            } else {
                let before = opening(element, session)
                if !before.isEmpty { _ = try await session.run(before) }
            }
            let done = try await work(session)
            execution.output = done.output
            if shape.commitsTransaction, done.tag == "ROLLBACK" { throw PostgresError.notCommitted }
            let after =
                shape.controlsTransaction
                ? (shape.beginsTransaction ? Statements.announce(run) : [])
                : session.isInTransaction ? closing(element) : closing(element, savepoint: false)
            if !after.isEmpty { _ = try await session.run(after) }
        } catch {
            try await failed(element, error, session)
        }
    }

    /// From here on the invocation is recorded as one of this session, and a stop cancels there.
    private func begin(
        _ session: Connection, _ execution: inout Execution
    ) throws(TaskFailure) {
        if isStopping { throw TaskFailure("stopped before it began") }
        execution.pid = session.backend
        execution.began = .now()
        stopCurrent = { [weak session] in session?.requestCancel() }
    }

    /// What precedes a task: BEGIN where there is none, its savepoint, its role.
    private func opening(_ element: Element, _ session: Connection) -> [Command] {
        var commands: [Command] = []
        if !session.isInTransaction {
            commands = [Command(Statements.begin)] + Statements.announce(run)
        }
        if element.ignoreError { commands.append(Command(Statements.savepoint)) }
        if let role = element.runUID { commands.append(Statements.setRole(role)) }
        return commands
    }

    private func closing(_ element: Element, savepoint: Bool = true) -> [Command] {
        var commands: [Command] = []
        if element.runUID != nil { commands.append(Command(Statements.resetRole)) }
        if element.ignoreError, savepoint { commands.append(Command(Statements.releaseSavepoint)) }
        return commands
    }

    /// A COMMIT that is a task must not happen when the run was taken from us. As ourselves: the
    /// script may have changed its role, and keeps it.
    private func holdRun(
        _ database: ChainDatabase, _ session: Connection
    ) async throws(PostgresError) {
        guard database.isOwn, session.isInTransaction, !session.isInFailedTransaction else {
            return
        }
        let role = try await session.run(Statements.role).text(0, 0) ?? "none"
        var commands = [
            Command(Statements.resetRole),
            Command(Statements.holdRun, [String(run.id), String(run.attempt), context.worker]),
        ]
        if role != "none" { commands.append(Statements.setRole(role)) }
        _ = try await session.run(commands)
    }

    private func failed(
        _ element: Element, _ error: PostgresError, _ session: Connection
    ) async throws(TaskFailure) {
        // A cancel that comes late would hit what is done now.
        guard await settle(session) else { throw TaskFailure(error) }
        if element.ignoreError, session.isInTransaction {
            do throws(PostgresError) {
                _ = try await session.run([
                    Command(Statements.rollbackToSavepoint), Command(Statements.releaseSavepoint),
                ])
            } catch {
                throw TaskFailure(error)
            }
        }
        var failure = TaskFailure(error)
        if error.sqlstate == "25001" || error.sqlstate == "2D000" {
            failure.message +=
                element.autonomous
                ? "\nHint: give each such statement a task of its own"
                : "\nHint: set autonomous on its element: then it runs outside of the transaction"
        }
        if let role = element.runUID, error.sqlstate == "42501", error.message.contains("set role")
        {
            failure.message +=
                "\nHint: run_uid is the role of an SQL task: GRANT \(role.quotedIdentifier) to the "
                + "role of the daemon, or leave it NULL"
        }
        throw failure
    }

    /// The end of the run with the COMMIT, and the session made clean for the next.
    var ending: [Command] {
        [
            Command(Statements.resetRole),
            Command(
                Statements.chainDone,
                [
                    String(run.id), String(run.attempt), context.worker,
                    run.selfDestruct ? String(run.config) : nil,
                    run.wakesConfig || context.wakes(run.config) ? String(run.config) : nil,
                ]),
            Command(Statements.commit),
        ] + Statements.clean.map { Command($0) }
    }

    /// Takes the results of `ending`.
    func noteCommit(_ rows: [Rows]) throws(PostgresError) {
        let own = rows.dropLast(Statements.clean.count).suffix(2)
        try own.last?.checkCommitted()
        // False: the transaction was read only, so that the end is recorded outside of it.
        isRecorded = own.first?.boolean(0, 0) == true
    }

    // MARK: Outside of the transaction

    func runAutonomously(
        _ element: Element, _ execution: inout Execution, _ work: Work
    ) async throws(TaskFailure) {
        let database = try await database(of: element)
        let session = try await openSession(database.pool)
        hear(session)
        defer {
            stopCurrent = nil
            giveBack(session, to: database.pool, isClean: false)
        }
        try begin(session, &execution)
        do throws(PostgresError) {
            var before = Statements.announce(run, inTransaction: false)
            if let role = element.runUID { before.append(Statements.setRole(role)) }
            _ = try await session.run(before)
            execution.output = try await work(session).output
            if session.isInTransaction {
                try await session.run(Statements.rollback)
                throw PostgresError(
                    .unsupported, "it left a transaction open, which was rolled back",
                    hint: "end it in the same task")
            }
        } catch {
            if await settle(session), session.isInTransaction { session.close() }
            try await failed(element, error, session)
        }
    }
}

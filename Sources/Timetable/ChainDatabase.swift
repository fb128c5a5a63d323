internal import Postgres
internal import Programs
internal import Reactor

/// What a run holds in one database: room for sessions, and the session of its transaction there.
@LoopActor
final class ChainDatabase {
    /// Nil: our own.
    let connectString: String?
    let pool: SessionPool
    fileprivate let reservation: SessionPool.Reservation
    /// From the first SQL task in this database on.
    var session: Connection?
    /// The last element that ran in the transaction, to name it when its COMMIT fails.
    var lastElement: Element?

    var isOwn: Bool { connectString == nil }
    var isInTransaction: Bool { session?.isInTransaction ?? false }
    /// Whether a transaction is open, or was when the session ended.
    private(set) var holdsWork = false

    /// After each statement: a session that has ended does not tell any more.
    func noteTransaction() {
        if let session, session.ended == nil { holdsWork = session.isInTransaction }
    }

    fileprivate init(_ connectString: String?, _ pool: SessionPool, sessions: Int) {
        self.connectString = connectString
        self.pool = pool
        reservation = pool.reserve(sessions)
    }
}

extension ChainRunner {
    /// The database of an SQL element, once all that the chain may hold at once is reserved.
    func database(of element: Element) async throws(TaskFailure) -> ChainDatabase {
        if databases.isEmpty { try await reserveDatabases() }
        guard let database = databases.first(where: { $0.connectString == element.connectString })
        else { throw TaskFailure("no room was reserved for its database_connection") }
        return database
    }

    /// Room in all databases of the chain, always in one order: so no two runs hold what the other
    /// one waits for.
    private func reserveDatabases() async throws(TaskFailure) {
        var needs: [String?: (plain: Bool, autonomous: Bool)] = [:]
        for element in run.elements where element.usesDatabase {
            let need = needs[element.connectString] ?? (false, false)
            needs[element.connectString] = (
                need.plain || !element.autonomous, need.autonomous || element.autonomous
            )
        }
        for (connectString, need) in needs.sorted(by: { ($0.key ?? "") < ($1.key ?? "") }) {
            let database = ChainDatabase(
                connectString, context.pools.pool(for: connectString),
                sessions: need.plain && need.autonomous ? 2 : 1)
            databases.append(database)
            let gate = database.reservation.gate
            await untilStopped(gate)
            guard database.reservation.isGranted else {
                throw TaskFailure("stopped while it waited for a connection")
            }
        }
    }

    /// Waits for a gate, but no longer than until the run or its task is stopped.
    func untilStopped(_ gate: Gate) async {
        guard !gate.isOpen else { return }
        canStop { gate.open() }
        await gate.waitUninterrupted()
        stopCurrent = nil
    }

    /// An open session from a pool in which room is reserved, for a run that is still ours or is
    /// being stopped: its peers may have taken it while it waited.
    func openSession(_ pool: SessionPool) async throws(TaskFailure) -> Connection {
        let session = try await availableSession(pool)
        await untilUndoubted()
        return session
    }

    private func availableSession(_ pool: SessionPool) async throws(TaskFailure) -> Connection {
        if let session = pool.takeIdle() { return session }
        let opening = Opening(pool)
        await untilStopped(opening.done)
        switch opening.result {
        case .success(let session): return session
        case .failure(let error):
            var failure = TaskFailure(error)
            failure.message = "no connection for an SQL task: " + failure.message
            // Nothing had begun on it.
            failure.isUncertain = false
            throw failure
        case nil:
            opening.abandon()
            throw TaskFailure("stopped while it waited for a connection")
        }
    }

    /// The session of the chain's transaction in a database.
    func session(in database: ChainDatabase) async throws(TaskFailure) -> Connection {
        if let session = database.session { return session }
        let session = try await openSession(database.pool)
        database.session = session
        hear(session)
        return session
    }

    /// Takes notices to the record of the task that is under way.
    func hear(_ session: Connection) {
        session.onNotice = { [weak self] severity, message in
            self?.notices.append(Array("\(severity):  \(message)\n".utf8))
        }
    }

    // MARK: The end of the transactions

    /// After the last element: commits what is open, our own last, with the end of the run.
    func commitAll() async throws(TaskFailure) {
        guard !isRecorded else { return }
        for database in databases where database.holdsWork {
            // Nobody else would notice: nothing more is asked of that session.
            try await commit(database) { session throws(PostgresError) in
                if let ended = session.ended { throw ended }
            }
        }
        let open = databases.filter(\.isInTransaction)
        guard !open.isEmpty else { return }
        let own = open.first(where: \.isOwn)
        if open.count > 1, let own {
            // While nothing is committed elsewhere, a constraint of ours can still undo it all.
            try await commit(own) { session throws(PostgresError) in
                try await session.run(Statements.checkConstraints)
            }
        }
        for database in open where !database.isOwn {
            try await commit(database) { session throws(PostgresError) in
                let rows = try await session.run(Statements.commit)
                try rows.checkCommitted()
            }
        }
        if let own {
            try await commit(own) { session throws(PostgresError) in
                try self.noteCommit(try await session.run(self.ending))
            }
        }
    }

    private func commit(
        _ database: ChainDatabase,
        _ body: @LoopActor (Connection) async throws(PostgresError) -> Void
    ) async throws(TaskFailure) {
        guard let session = database.session else { return }
        let began = execution(of: database.lastElement, script: "COMMIT")
        do throws(PostgresError) {
            try await body(session)
        } catch {
            var failure = TaskFailure(error)
            failure.element = database.lastElement?.id
            if var execution = began {
                execution.fail(failure)
                context.log.add(execution)
            }
            throw failure
        }
    }

    /// After a failure: nothing of what is open stays.
    func abandonTransactions() async {
        for database in databases {
            guard let session = database.session, await settle(session), session.isInTransaction
            else { continue }
            do throws(PostgresError) {
                try await session.run(Statements.rollback, deadline: .seconds(10))
            } catch {
                // A session that can't even roll back is given up, which rolls back.
                session.close()
            }
        }
    }

    /// Waits until no cancel request is on its way to a session, where it would hit what comes
    /// next. False when the session has ended.
    func settle(_ session: Connection) async -> Bool {
        await session.cancelTaken()
        return session.ended == nil
    }

    /// Lets other runs have what this one held.
    func giveBackDatabases() {
        for database in databases {
            let pool = database.pool
            let reservation = database.reservation
            guard let session = database.session else {
                pool.end(reservation)
                continue
            }
            // Its COMMIT cleaned it too.
            let isClean =
                isRecorded && database.isOwn && !session.holdsForeignStatements
            giveBack(session, to: pool, isClean: isClean) { pool.end(reservation) }
        }
        databases.removeAll()
    }

    /// Cleans a session, if that is still to be done, and gives it back.
    func giveBack(
        _ session: Connection, to pool: SessionPool, isClean: Bool,
        then done: @escaping @LoopActor () -> Void = {}
    ) {
        session.onNotice = nil
        if isClean || session.ended != nil {
            pool.release(session)
            return done()
        }
        startTask {
            if await self.settle(session) {
                do throws(PostgresError) {
                    var all = Statements.clean
                    if session.holdsForeignStatements { all.append(Statements.deallocateAll) }
                    _ = try await session.run(all.map { Command($0) }, deadline: .seconds(10))
                } catch {
                    session.close()
                }
            }
            pool.release(session)
            done()
        }
    }
}

extension PostgresError {
    static let notCommitted = PostgresError(
        .server, "COMMIT rolled the transaction back: a statement before had failed",
        sqlstate: "25P02")
}

extension Rows {
    /// COMMIT of a failed transaction succeeds, and rolls back: only its tag says so.
    func checkCommitted() throws(PostgresError) {
        guard commandTag == "COMMIT" else { throw .notCommitted }
    }
}

/// A session that is being opened, whether or not somebody still waits for it.
@LoopActor
private final class Opening {
    /// Opened when there is a result; who waits may open it earlier.
    let done = Gate()
    private(set) var result: Result<Connection, PostgresError>?
    private var isAbandoned = false

    init(_ pool: SessionPool) {
        startTask { await self.open(pool) }
    }

    func abandon() {
        isAbandoned = true
    }

    private func open(_ pool: SessionPool) async {
        do throws(PostgresError) {
            let session = try await pool.acquire()
            if isAbandoned { pool.release(session) } else { result = .success(session) }
        } catch {
            result = .failure(error)
        }
        done.open()
    }
}

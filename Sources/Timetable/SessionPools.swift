internal import Postgres
internal import Reactor

/// The sessions for SQL tasks: those in our own database, and those of `database_connection`.
@LoopActor
final class SessionPools {
    let own: SessionPool
    private let limit: Int
    private let idleLimit: Duration
    private let worker: String
    /// By connect string, which is never shown: it may hold a password.
    private var others: [String: SessionPool] = [:]

    /// At most `limit` sessions for each connect string, each closed when unused for `idleLimit`.
    init(own: SessionPool, limit: Int, idleLimit: Duration, worker: String) {
        self.own = own
        self.limit = limit
        self.idleLimit = idleLimit
        self.worker = worker
    }

    /// The pool for a connect string; nil is our own database.
    func pool(for connectString: String?) -> SessionPool {
        guard let connectString else { return own }
        if let pool = others[connectString] { return pool }
        others = others.filter { !$0.value.isUnused }
        let worker = self.worker
        let pool = SessionPool(limit: limit, idleLimit: idleLimit) { () throws(PostgresError) in
            let parameters = try ConnectionParameters(checking: connectString)
            return try await Connection.open(
                parameters.with("fallback_application_name", "carillon \(worker) run"))
        }
        others[connectString] = pool
        return pool
    }

    /// Closes the sessions that nobody uses.
    func closeIdle() {
        own.closeIdle()
        for pool in others.values { pool.closeIdle() }
    }
}

internal import DequeModule
internal import Postgres
internal import Reactor

/// The connections that run SQL tasks: opened when needed, reused, bounded, closed when idle.
@LoopActor
final class SessionPool {
    private static let idleLimit: Duration = .seconds(60)

    private let limit: Int
    private let open: @LoopActor () async throws(PostgresError) -> Connection
    private let forget: @LoopActor (Connection) -> Void
    private var idle: [(session: Connection, timer: EventLoop.TimerID)] = []
    private var waiting = Deque<CheckedContinuation<Result<Connection, PostgresError>, Never>>()
    private var openCount = 0

    /// `forget` is told of each session that is closed.
    init(
        limit: Int, open: @escaping @LoopActor () async throws(PostgresError) -> Connection,
        forget: @escaping @LoopActor (Connection) -> Void
    ) {
        self.limit = max(1, limit)
        self.open = open
        self.forget = forget
    }

    /// The server processes of the idle sessions.
    var idleBackends: [Int32] { idle.map(\.session.backend) }

    /// A session of one's own, given back by `release`; the longest waiting is served first.
    ///
    /// Throws when none can be opened and none is open that could be waited for.
    func acquire() async throws(PostgresError) -> Connection {
        while let (session, timer) = idle.popLast() {
            EventLoop.shared.cancelTimer(timer)
            if session.ended == nil { return session }
            openCount -= 1
        }
        guard openCount < limit else { return try await turn() }
        openCount += 1
        do throws(PostgresError) {
            return try await open()
        } catch {
            openCount -= 1
            // The server may have no room for one more: then the others are shared.
            guard openCount > 0, error.kind == .connection else { throw error }
            return try await turn()
        }
    }

    private func turn() async throws(PostgresError) -> Connection {
        try await withCheckedContinuation { waiting.append($0) }.get()
    }

    /// Gives a session back. It must be idle, clean, and in no transaction.
    func release(_ session: Connection) {
        guard session.ended == nil else { return replace(session) }
        if let next = waiting.popFirst() {
            next.resume(returning: .success(session))
            return
        }
        let timer = EventLoop.shared.after(Self.idleLimit) { [weak self, weak session] in
            if let self, let session { retire(session) }
        }
        idle.append((session, timer))
    }

    /// Closes the sessions that nobody uses.
    func closeIdle() {
        for (session, timer) in idle {
            EventLoop.shared.cancelTimer(timer)
            openCount -= 1
            session.close()
        }
        idle.removeAll()
    }

    private func retire(_ session: Connection) {
        guard let index = idle.firstIndex(where: { $0.session === session }) else { return }
        idle.remove(at: index)
        openCount -= 1
        session.close()
        forget(session)
    }

    /// A session ended in somebody's hands: who waits for a turn gets a new one or the reason.
    private func replace(_ session: Connection) {
        openCount -= 1
        forget(session)
        guard let next = waiting.popFirst() else { return }
        openCount += 1
        // Not a child of any run: it serves whoever is next.
        startTask { await self.serve(next) }
    }

    private func serve(
        _ waiter: CheckedContinuation<Result<Connection, PostgresError>, Never>
    ) async {
        do throws(PostgresError) {
            waiter.resume(returning: .success(try await open()))
        } catch {
            openCount -= 1
            waiter.resume(returning: .failure(error))
            // Without a session under way nobody would ever wake the others.
            if openCount == 0 {
                while let other = waiting.popFirst() { other.resume(returning: .failure(error)) }
            }
        }
    }
}

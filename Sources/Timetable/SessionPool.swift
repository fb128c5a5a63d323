internal import DequeModule
internal import Postgres
internal import Reactor
internal import Timing

/// The connections that run SQL tasks in one database: opened when needed, reused, bounded, closed
/// when idle.
///
/// A run first reserves as many as it may hold at once, and then takes them without waiting for
/// others: so two runs never wait for each other's sessions in a circle.
@LoopActor
final class SessionPool {
    /// Room for some sessions, from when it is granted until it is given back.
    @LoopActor
    final class Reservation {
        let count: Int
        /// Opened when it is granted; who does not want it any more may open it too.
        let gate = Gate()
        fileprivate(set) var isGranted = false

        fileprivate init(_ count: Int) {
            self.count = count
        }
    }

    /// When the server has no room for another connection: how long one of ours is waited for.
    private static let patience: Duration = .seconds(30)

    private let limit: Int
    private let idleLimit: Duration
    private let open: @LoopActor () async throws(PostgresError) -> Connection
    private let forget: @LoopActor (Connection) -> Void
    private var idle: [(session: Connection, timer: EventLoop.TimerID)] = []
    private var waiting = Deque<Reservation>()
    private var reservedCount = 0
    /// Open connections in somebody's hands.
    private var lentCount = 0
    /// Who found no room on the server, and waits for a session to come back.
    private var wanting = Deque<Gate>()

    /// At most `limit` sessions, each closed when unused for `idleLimit`; `forget` is told of each.
    init(
        limit: Int, idleLimit: Duration,
        open: @escaping @LoopActor () async throws(PostgresError) -> Connection,
        forget: @escaping @LoopActor (Connection) -> Void = { _ in }
    ) {
        self.limit = max(1, limit)
        self.idleLimit = idleLimit
        self.open = open
        self.forget = forget
    }

    /// Whether nobody holds or waits for anything here.
    var isUnused: Bool {
        idle.isEmpty && waiting.isEmpty && reservedCount == 0 && lentCount == 0
    }

    // MARK: Room

    /// Asks for room for `count` sessions; more than the limit only when no one else has any.
    func reserve(_ count: Int) -> Reservation {
        let reservation = Reservation(count)
        waiting.append(reservation)
        grant()
        return reservation
    }

    /// Gives room back, or no longer waits for it.
    func end(_ reservation: Reservation) {
        if reservation.isGranted {
            reservation.isGranted = false
            reservedCount -= reservation.count
        } else {
            waiting.removeAll { $0 === reservation }
        }
        grant()
    }

    private func grant() {
        while let next = waiting.first,
            reservedCount == 0 || reservedCount + next.count <= limit
        {
            waiting.removeFirst()
            reservedCount += next.count
            next.isGranted = true
            next.gate.open()
        }
    }

    // MARK: Sessions

    /// A session of one's own, within what was reserved; given back by `release`.
    ///
    /// Throws when none can be opened.
    func acquire() async throws(PostgresError) -> Connection {
        let deadline = MonotonicInstant.now().advanced(by: Self.patience)
        while true {
            if let session = takeIdle() { return session }
            do throws(PostgresError) {
                lentCount += 1
                return try await open()
            } catch {
                lentCount -= 1
                // The server may have no room for one more: then the others are shared.
                guard lentCount > 0, error.kind == .connection,
                    await sessionComesBack(before: deadline)
                else { throw error }
            }
        }
    }

    /// An open session that nobody uses, if there is one; given back by `release`.
    func takeIdle() -> Connection? {
        while let (session, timer) = idle.popLast() {
            EventLoop.shared.cancelTimer(timer)
            guard session.ended == nil else {
                forget(session)
                continue
            }
            lentCount += 1
            return session
        }
        return nil
    }

    private func sessionComesBack(before deadline: MonotonicInstant) async -> Bool {
        let limit = deadline.duration(since: .now())
        guard limit > .zero else { return false }
        let back = Gate()
        wanting.append(back)
        await back.wait(atMost: limit)
        if !back.isOpen { wanting.removeAll { $0 === back } }
        return back.isOpen
    }

    /// Gives a session back. It must be idle, clean, and in no transaction.
    func release(_ session: Connection) {
        lentCount -= 1
        if session.ended == nil {
            let timer = EventLoop.shared.after(idleLimit) { [weak self, weak session] in
                if let self, let session { retire(session) }
            }
            idle.append((session, timer))
        } else {
            forget(session)
        }
        wanting.popFirst()?.open()
    }

    /// Closes the sessions that nobody uses.
    func closeIdle() {
        for (session, timer) in idle {
            EventLoop.shared.cancelTimer(timer)
            session.close()
        }
        idle.removeAll()
    }

    private func retire(_ session: Connection) {
        guard let index = idle.firstIndex(where: { $0.session === session }) else { return }
        idle.remove(at: index)
        session.close()
        forget(session)
    }
}

import Foundation
import Postgres
import Reactor
import TestSupport
import Testing

/// A COPY that is ended from outside, and one that one side is too slow for.
struct CopyEndingTests {
    enum Side: CaseIterable {
        /// The source says nothing more; there is always more; the sink does not come back; it
        /// takes all and there is always more.
        case silentSource, endlessSource, busySink, endlessRows
    }

    /// Begins a COPY that does not end by itself, lets `act` be done, and returns its error.
    @LoopActor
    private func unending(
        _ side: Side, _ session: Connection, _ other: Connection, deadline: Duration? = nil,
        _ act: @LoopActor () async throws -> Void
    ) async throws -> PostgresError? {
        try await session.ask("CREATE TEMP TABLE IF NOT EXISTS t (x text)")
        let started = Gate()
        let ended = Inbox<PostgresError?>()
        startTask {
            do throws(PostgresError) {
                try await copy(side, session, deadline, started)
                ended.send(nil)
            } catch {
                ended.send(error)
            }
            started.open()
        }
        await started.waitUninterrupted()
        try await act()
        return await ended.next()
    }

    @Test(arguments: Side.allCases) func cancellingEndsItOnly(side: Side) async throws {
        try await withSession { session, database in
            let other = try await database.open()
            for isInTransaction in [false, true] {
                if isInTransaction { try await session.ask("BEGIN") }
                let error = try await unending(side, session, other) { session.requestCancel() }
                #expect(error?.kind == .server)
                #expect(error?.sqlstate == "57014", "\(String(describing: error))")
                #expect(session.isInFailedTransaction == isInTransaction)
                if isInTransaction { try await session.ask("ROLLBACK") }
                #expect(try await session.ask("SELECT pg_sleep(0.01)") == [""])
            }
            other.close()
        }
    }

    /// The server may have taken the request before the COPY, and then knows nothing of it.
    @Test(arguments: Side.allCases) func aCancelOnItsWayEndsTheNext(side: Side) async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (x text)")
            for _ in 0..<20 {
                session.requestCancel()
                do throws(PostgresError) {
                    try await copy(side, session, .seconds(30), Gate())
                    Issue.record("it ended by itself")
                } catch {
                    #expect(error.sqlstate == "57014", "\(error)")
                }
                #expect(try await session.ask("SELECT 1") == ["1"])
            }
        }
    }

    /// It has no effect while the server waits for the one side, as for any other client.
    @Test(arguments: [Side.endlessSource, .endlessRows])
    func theServersOwnCancelEndsItOnly(side: Side) async throws {
        try await withSession { session, database in
            let other = try await database.open()
            let error = try await unending(side, session, other) {
                try await other.ask("SELECT pg_cancel_backend(\(session.backend))")
            }
            #expect(error?.sqlstate == "57014", "\(String(describing: error))")
            #expect(try await session.ask("SELECT 1") == ["1"])
            other.close()
        }
    }

    @Test(arguments: Side.allCases) func aTerminatedBackendEndsIt(side: Side) async throws {
        try await withSession { session, database in
            let other = try await database.open()
            let error = try await unending(side, session, other) {
                try await other.ask("SELECT pg_terminate_backend(\(session.backend))")
            }
            #expect(error?.kind == .connection)
            // A server that can't get rid of its data at that moment goes without a word.
            let mayBeWordless = side == .busySink || side == .endlessRows
            let sqlstates: [String?] = mayBeWordless ? [nil, "57P01"] : ["57P01"]
            #expect(sqlstates.contains(error?.sqlstate), "\(String(describing: error))")
            #expect(session.ended == error)
            #expect(session.isIdle)
            #expect(await session.copyInFailure("COPY t FROM STDIN", []) == error)
            other.close()
        }
    }

    @Test(arguments: Side.allCases) func aDeadlineGivesTheSessionUp(side: Side) async throws {
        try await withSession { session, database in
            let other = try await database.open()
            let limit = Duration.milliseconds(200)
            let error = try await unending(side, session, other, deadline: limit) {}
            #expect(error?.kind == .timedOut)
            #expect(session.ended?.kind == .timedOut)
            other.close()
        }
    }

    @Test(arguments: Side.allCases) func aClosedSessionEndsIt(side: Side) async throws {
        try await withSession { session, database in
            let other = try await database.open()
            let error = try await unending(side, session, other) { session.close() }
            #expect(error?.kind == .connection)
            #expect(error?.message == "the connection was closed")
            other.close()
        }
    }

    @Test func aServerThatStopsEndsIt() async throws {
        let cluster = try await onOwnThread { try PrivateCluster() }
        let database = try await cluster.createDatabase("stopped")
        try await onTestLoop {
            for side in Side.allCases {
                let (session, other) = (try await database.open(), try await database.open())
                let error = try await unending(side, session, other) {
                    try await onOwnThread {
                        try cluster.stop(.immediate)
                        try cluster.start()
                    }
                }
                #expect(error?.kind == .connection, "\(side): \(String(describing: error))")
                other.close()
            }
        }
    }

    /// While the sink is busy nothing is read: the server waits, and goes on afterwards.
    @Test func aBusySinkHoldsTheServerBack() async throws {
        try await withSession { session, database in
            let other = try await database.open()
            let (go, done) = (Gate(), Inbox<String?>())
            let total = Counter()
            startTask {
                let copy = """
                    COPY (SELECT repeat('x', 999) FROM generate_series(1, 20000)) TO STDOUT
                    """
                done.send(
                    try? await session.copyOut(copy) { piece in
                        total.value = max(total.value, piece.count)
                        total.bytes += piece.count
                        await go.wait()
                    })
            }
            try await waitUntilItWaitsForUs(session, other)
            #expect(total.bytes < 2 << 20)
            go.open()
            #expect(await done.next() == "COPY 20000")
            #expect(total.bytes == 20_000_000)
            #expect(total.value <= 1 << 19)
            other.close()
        }
    }

    /// 300 MB in each direction, and what the process holds at any time meanwhile.
    @Test func memoryStaysFlat() async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (x text)")
            let before = try residentBytes()
            let peak = Counter()
            let piece = Array(
                String(repeating: String(repeating: "y", count: 999) + "\n", count: 1_000).utf8)
            let given = Counter()
            // Nothing is stored, so the server is faster than the source and as slow as it likes.
            let tag = try await session.copyIn("COPY t FROM STDIN WHERE x = ''") {
                given.value += 1
                if given.value % 20 == 0 { peak.value = max(peak.value, try residentBytes()) }
                return given.value <= 300 ? piece : nil
            }
            #expect(tag == "COPY 0")
            let copy = "COPY (SELECT repeat('x', 999) FROM generate_series(1, 300000)) TO STDOUT"
            let total = Counter()
            try await session.copyOut(copy) { piece in
                total.value += 1
                total.bytes += piece.count
                if total.value % 100 == 0 { peak.value = max(peak.value, try residentBytes()) }
            }
            #expect(total.bytes == 300_000_000)
            // Other tests of the process run at the same time.
            #expect(peak.value - before < 120_000_000, "\(before) \(peak.value)")
        }
    }
}

/// The resident set of this process, proc_pid_statm(5).
private func residentBytes() throws -> Int {
    let statm = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
    let pages = statm.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    return pages * 4_096
}

@LoopActor
private func waitUntilItWaitsForUs(_ session: Connection, _ other: Connection) async throws {
    let waits = "SELECT wait_event FROM pg_stat_activity WHERE pid = \(session.backend)"
    try await eventually("the server waits for us") {
        try await other.ask(waits) == ["ClientWrite"]
    }
}

@LoopActor
private func copy(
    _ side: CopyEndingTests.Side, _ session: Connection, _ deadline: Duration?, _ started: Gate
) async throws(PostgresError) {
    // In FROM the server would make all of them before it sends the first.
    let rows = "COPY (SELECT repeat('x', 999), generate_series(1, 100000000)) TO STDOUT"
    switch side {
    case .silentSource:
        let pieces = Pieces([Array("one\n".utf8)])
        try await session.copyIn("COPY t FROM STDIN", deadline: deadline) {
            if let piece = pieces.next() { return piece }
            started.open()
            return try await Pieces.never()
        }
    case .endlessSource:
        let piece = Array(String(repeating: "row\n", count: 10_000).utf8)
        try await session.copyIn("COPY t FROM STDIN WHERE x = ''", deadline: deadline) {
            started.open()
            return piece
        }
    case .busySink:
        try await session.copyOut(rows, deadline: deadline) { _ in
            started.open()
            _ = try await Pieces.never()
        }
    case .endlessRows:
        try await session.copyOut(rows, deadline: deadline) { _ in started.open() }
    }
}

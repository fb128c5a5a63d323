import Postgres
import Reactor
import TestSupport
import Testing

struct ScriptTests {
    @Test func eachStatementHasItsResult() async throws {
        try await withSession { session, _ in
            let rows = try await session.runScript(
                "CREATE TEMP TABLE t (n int); INSERT INTO t VALUES (1), (2); SELECT n FROM t;;")
            #expect(rows.map(\.commandTag) == ["CREATE TABLE", "INSERT 0 2", "SELECT 2"])
            #expect(try await session.runScript("").map(\.commandTag) == [""])
            #expect(try await session.runScript(" -- nothing").count == 1)
            #expect(try await session.ask("SELECT count(*) FROM t") == ["2"])
        }
    }

    @Test func anErrorInsideEndsItAndUndoesIt() async throws {
        try await withSession { session, _ in
            let error = await session.scriptFailure(
                "CREATE TABLE gone (); SELECT 1/0; CREATE TABLE never ()")
            #expect(error?.sqlstate == "22012")
            let left = "SELECT to_regclass('gone'), to_regclass('never')"
            #expect(try await session.ask(left) == [nil])
            #expect(await session.scriptFailure("BEGIN; SELECT 1/0")?.sqlstate == "22012")
            #expect(session.isInFailedTransaction)
            _ = try await session.runScript("ROLLBACK")
            #expect(!session.isInTransaction)
        }
    }

    @Test(arguments: [
        "COPY t FROM STDIN", "COPY t TO STDOUT", "SELECT 1; COPY t FROM STDIN; SELECT 2",
        "SELECT 1; COPY (SELECT repeat('x', 1000) FROM generate_series(1, 20000)) TO STDOUT",
        "COPY t TO STDOUT; COPY t TO STDOUT; COPY t FROM STDIN",
    ]) func copyWithTheClientIsRefused(script: String) async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (n int)")
            try await session.ask("INSERT INTO t SELECT generate_series(1, 1000)")
            let error = await session.scriptFailure(script)
            #expect(error?.kind == .unsupported)
            #expect(error?.message.hasPrefix("COPY ") == true)
            #expect(try await session.ask("SELECT count(*) FROM t") == ["1000"])
        }
    }

    @Test func batchesAndScriptsTakeTurns() async throws {
        try await withSession { session, _ in
            for number in 0..<50 {
                #expect(try await session.ask("SELECT \(number)") == ["\(number)"])
                let rows = try await session.runScript("SELECT \(number); SELECT 2")
                #expect(rows.first?.text(0, 0) == "\(number)")
            }
        }
    }

    @Test func aScriptMayFollowInsideAnAnswer() async throws {
        try await withSession { session, _ in
            let inbox = Inbox<Int>()
            session.send([Command(sql: "SELECT 1")]) { _ in
                startTask {
                    inbox.send((try? await session.runScript("SELECT 1; SELECT 2"))?.count ?? 0)
                }
            }
            #expect(await inbox.next() == 2)
        }
    }

    @Test func aLargeResultArrives() async throws {
        try await withSession { session, _ in
            let rows = try await session.runScript(
                "SELECT n, repeat('x', 200) FROM generate_series(1, 50000) n")
            #expect(rows.first?.count == 50_000)
            #expect(rows.first?.text(49_999, 0) == "50000")
        }
    }

    @Test func noticesComeBeforeTheAnswer() async throws {
        try await withSession { session, _ in
            let log = Log<String>()
            session.onNotice = { log.all.append("\($0): \($1)") }
            let raise = "DO $$BEGIN RAISE NOTICE 'n'; RAISE WARNING 'w'; END$$"
            session.send([Command(sql: raise), Command(sql: "SELECT 1")]) { _ in
                log.all.append("answer")
            }
            session.send([Command(sql: raise)]) { _ in log.all.append("second") }
            try await session.ask("SELECT 1")
            let raised = ["NOTICE: n", "WARNING: w"]
            #expect(log.all == raised + ["answer"] + raised + ["second"])
            log.all = []
            _ = try await session.runScript(raise)
            #expect(log.all == raised)
        }
    }

    /// libpq calls the receiver in the middle of its parsing.
    @Test func aNoticeMayCloseTheSession() async throws {
        try await withSession { session, _ in
            session.onNotice = { _, _ in session.close() }
            let error = await session.failure(
                "DO $$BEGIN RAISE NOTICE 'n'; END$$", "SELECT repeat('x', 100000)")
            #expect(error?.kind == .connection)
        }
        try await withSession { session, _ in
            session.onNotice = { _, _ in session.close() }
            let error = await session.scriptFailure("DO $$BEGIN RAISE NOTICE 'n'; END$$")
            #expect(error?.kind == .connection)
        }
    }
}

import Postgres
import Reactor
import TestSupport
import Testing

struct BatchTests {
    @Test func theResultsComeInTheOrderOfTheCommands() async throws {
        try await withSession { session, _ in
            let rows = try await session.run([
                Command(sql: "SELECT 1, 'a' UNION ALL SELECT 2, NULL ORDER BY 1"),
                Command(sql: "CREATE TEMP TABLE t (n int)"),
                Command(sql: ""),
                Command(Statement(nil, "INSERT INTO t SELECT generate_series(1, $1::int)"), ["7"]),
            ])
            #expect(rows.map(\.commandTag) == ["SELECT 2", "CREATE TABLE", "", "INSERT 0 7"])
            #expect(rows.map(\.affected) == [2, 0, 0, 7])
            #expect(rows[0].integer(1, 0) == 2)
            #expect(rows[0].text(0, 1) == "a")
            #expect(rows[0].text(1, 1) == nil)
            #expect(rows[0].text(9, 9) == nil)
            #expect(try await session.run([]).isEmpty)
        }
    }

    @Test func manyBatchesAreInFlightAndAnsweredInOrder() async throws {
        try await withSession { session, _ in
            let answers = Log<Int64?>()
            for number in 0..<5_000 {
                let statement = Statement("echo", "SELECT $1::int")
                session.send([Command(statement, [String(number)])]) { outcome in
                    answers.all.append((try? outcome.get())?.first?.integer(0, 0))
                }
            }
            try await session.ask("SELECT 1")
            #expect(answers.all == (0..<5_000).map { Int64($0) })
            #expect(session.isIdle)
        }
    }

    @Test func aFailureSkipsTheRestOfItsBatchOnly() async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TABLE t (n int)")
            async let first = session.failure(
                "INSERT INTO t VALUES (1)", "SELECT 1/0", "INSERT INTO t VALUES (2)")
            async let second = session.ask("INSERT INTO t VALUES (3)", "SELECT n FROM t")
            #expect(await first?.sqlstate == "22012")
            #expect(await first?.kind == .server)
            #expect(try await second == ["3"])
        }
    }

    @Test func aCommitThatFailsIsAFailure() async throws {
        try await withSession { session, _ in
            try await session.ask(
                "CREATE TABLE t (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
            let error = await session.failure(
                "BEGIN", "INSERT INTO t VALUES (1), (1)", "COMMIT")
            #expect(error?.sqlstate == "23505")
            #expect(error?.detail?.contains("(n)=(1)") == true)
            #expect(!session.isInTransaction)
            // The implicit transaction of a batch commits at its Sync: that may fail as well.
            let atSync = await session.failure("INSERT INTO t VALUES (2), (2)")
            #expect(atSync?.sqlstate == "23505")
            #expect(try await session.ask("SELECT n FROM t") == [])
        }
    }

    @Test func theStateOfTheTransactionIsFollowed() async throws {
        try await withSession { session, _ in
            #expect(!session.isInTransaction)
            try await session.ask("BEGIN")
            #expect(session.isInTransaction && !session.isInFailedTransaction)
            #expect(await session.failure("SELECT 1/0") != nil)
            #expect(session.isInTransaction && session.isInFailedTransaction)
            #expect(await session.failure("SELECT 1")?.sqlstate == "25P02")
            // COMMIT of a failed transaction succeeds, and says ROLLBACK.
            #expect(try await session.run(Statement(nil, "COMMIT")).commandTag == "ROLLBACK")
            #expect(!session.isInTransaction)
            session.close()
            #expect(!session.isInTransaction && !session.isInFailedTransaction)
            #expect(session.serverVersion == 0)
            #expect(session.reportedSetting("TimeZone") == nil)
        }
    }

    @Test(arguments: [
        nil, "", "NULL", "ü€😀", "'\"\\$1", " \t\n", String(repeating: "ä", count: 524_288),
    ]) func aParameterArrivesAsItIs(value: String?) async throws {
        try await withSession { session, _ in
            let statement = Statement(nil, "SELECT $1::text, octet_length($1), $1 IS NULL")
            let rows = try await session.run(statement, [value])
            #expect(rows.text(0, 0) == value)
            #expect(rows.integer(0, 1) == value.map { Int64($0.utf8.count) })
            #expect(rows.boolean(0, 2) == (value == nil))
        }
    }

    /// A C string would end at the NUL, and say less than was meant.
    @Test func whatHoldsANULIsRefused() async throws {
        try await withSession { session, _ in
            let inParameter = await session.failure([
                Command(Statement(nil, "SELECT $1::text"), ["a\0b"])
            ])
            #expect(inParameter?.kind == .unsupported)
            #expect(await session.failure("SELECT 1\0, 1/0")?.kind == .unsupported)
            #expect(await session.scriptFailure("SELECT 1;\0 SELECT 1/0")?.kind == .unsupported)
            try await session.ask("SELECT 1")
        }
    }

    @Test func tooManyParametersFailTheirBatchOnly() async throws {
        try await withSession { session, _ in
            let error = await session.failure([
                Command(Statement(nil, "SELECT 1"), Array(repeating: "1", count: 70_000))
            ])
            #expect(error?.kind == .unsupported)
            try await session.ask("SELECT 1")
        }
    }

    /// More than any buffer on the way holds, in both directions at once.
    @Test func aLargeBatchWithLargeAnswersDoesNotGetStuck() async throws {
        try await withSession { session, _ in
            let large = String(repeating: "x", count: 1_000_000)
            let command = Command(Statement(nil, "SELECT $1::text"), [large])
            let rows = try await session.run(Array(repeating: command, count: 30))
            #expect(rows.count == 30)
            #expect(rows.allSatisfy { $0.text(0, 0)?.utf8.count == 1_000_000 })
        }
    }

    @Test func anAnswerMaySendTheNextBatchAndAScript() async throws {
        try await withSession { session, _ in
            let gate = Gate()
            let log = Log<String?>()
            session.send([Command(sql: "SELECT 1")]) { _ in
                session.send([Command(sql: "SELECT 2")]) { outcome in
                    log.all.append((try? outcome.get())?.first?.text(0, 0))
                    gate.open()
                }
            }
            await gate.waitUninterrupted()
            #expect(log.all == ["2"])
        }
    }

    @Test func aCopyInABatchEndsTheSessionWithoutAHang() async throws {
        let database = try await PrivateCluster.database("copy")
        try await database.psql("CREATE TABLE t (n int)")
        for statement in ["COPY t FROM STDIN", "COPY t TO STDOUT"] {
            try await onTestLoop {
                let session = try await database.open()
                let ends = Log<PostgresError>()
                session.onEnd = { ends.all.append($0) }
                let error = await session.failure("SELECT 1", statement, "SELECT 2")
                #expect(error?.kind == .unsupported)
                #expect(ends.all.count == 1)
                #expect(session.ended?.kind == .unsupported)
            }
        }
    }

    @Test func valuesOfAnotherServerEncodingAreText() async throws {
        let shared = try await PrivateCluster.database("encoding")
        try await shared.psql(
            """
            CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'
            """)
        try await onTestLoop {
            let session = try await Connection.open(shared.parameters.with("dbname", "latin"))
            let rows = try await session.run(
                Statement(nil, "SELECT chr(252), $1::text, ascii($1)"), ["é"])
            #expect(rows.text(0, 0) == "ü")
            #expect(rows.text(0, 1) == "é")
            #expect(rows.integer(0, 2) == 233)
            session.close()
        }
        try await shared.psql("DROP DATABASE latin WITH (FORCE)")
    }
}

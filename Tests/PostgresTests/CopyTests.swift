import Postgres
import Reactor
import TestSupport
import Testing

struct CopyTests {
    @Test func twoHundredThousandRowsGoInAndComeOutAsTheyWere() async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (n int, x text)")
            let pieces = Pieces(rows: 200_000)
            let tag = try await session.copyIn("COPY t FROM STDIN") { pieces.next() }
            #expect(tag == "COPY 200000")
            #expect(try await session.ask("SELECT count(DISTINCT n) FROM t") == ["200000"])
            let sink = Sink()
            let out = try await session.copyOut("copy t to stdout") { sink.take($0) }
            #expect(out == "COPY 200000")
            #expect(sink.bytes.count == pieces.bytes.count)
            #expect(sink.bytes == pieces.bytes)
        }
    }

    @Test func nothingIsNothing() async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (n int)")
            #expect(try await session.copyIn("COPY t FROM STDIN") { nil } == "COPY 0")
            let pieces = Pieces([[], Array("1\n".utf8), [], Array("2\n3".utf8), []])
            #expect(try await session.copyIn("COPY t FROM STDIN") { pieces.next() } == "COPY 3")
            let sink = Sink()
            let out = "COPY (SELECT FROM t WHERE false) TO STDOUT"
            #expect(try await session.copyOut(out) { sink.take($0) } == "COPY 0")
            #expect(sink.bytes.isEmpty)
        }
    }

    @Test(arguments: ["TEXT", "CSV", "BINARY"]) func everyByteComesBack(format: String) async throws
    {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (b bytea, x text, n numeric)")
            try await session.ask(
                """
                INSERT INTO t SELECT decode(string_agg(lpad(to_hex(i), 2, '0'), ''), 'hex'),
                    E'\\t\\n\\\\."é\\r,', 12345678901234567890.5 FROM generate_series(0, 255) i
                """, "INSERT INTO t VALUES (NULL, NULL, 'NaN')")
            try await session.ask("CREATE TEMP TABLE u (LIKE t)")
            let sink = Sink()
            try await session.copyOut("COPY t TO STDOUT (FORMAT \(format))") { sink.take($0) }
            // In binary there are bytes that end a C string.
            #expect(sink.bytes.contains(0) == (format == "BINARY"))
            // Byte by byte: no piece needs to be a row.
            let pieces = Pieces(sink.bytes.map { [$0] })
            let tag = try await session.copyIn("COPY u FROM STDIN (FORMAT \(format))") {
                pieces.next()
            }
            #expect(tag == "COPY 2")
            let same = "SELECT count(*) FROM (SELECT * FROM t INTERSECT SELECT * FROM u) AS same"
            #expect(try await session.ask(same) == ["2"])
        }
    }

    @Test func aNULInTextIsTheServersToRefuse() async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (x text)")
            let error = await session.copyInFailure("COPY t FROM STDIN", [0x61, 0, 0x0A])
            #expect(error?.sqlstate == "22021")
            let sql = await session.copyInFailure("COPY t\0 FROM STDIN", [])
            #expect(sql?.kind == .unsupported)
            #expect(try await session.ask("SELECT count(*) FROM t") == ["0"])
        }
    }

    @Test(arguments: [
        ("1\t2\nx\t3\n", "22P02"), ("1\n", "22P04"), ("1\t2\t3\n", "22P04"),
        ("1\t2\n1\t3\n", "23505"),
        ("1\t\\N\n", "23502"),
    ]) func aWrongRowFailsWithItsReason(rows: String, sqlstate: String) async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (n int PRIMARY KEY, m int NOT NULL)")
            try await session.ask("BEGIN")
            let copy = "COPY t FROM STDIN"
            let error = await session.copyInFailure(copy, Array(rows.utf8))
            #expect(error?.kind == .server)
            #expect(error?.sqlstate == sqlstate)
            #expect(error?.context?.hasPrefix("COPY t, line") == true || sqlstate == "23502")
            #expect(session.isInFailedTransaction)
            try await session.ask("ROLLBACK")
            #expect(try await session.ask("SELECT count(*) FROM t") == ["0"])
            // The same without a transaction of its own.
            #expect(await session.copyInFailure(copy, Array(rows.utf8))?.sqlstate == sqlstate)
            #expect(!session.isInTransaction)
            #expect(try await session.ask("SELECT count(*) FROM t") == ["0"])
        }
    }

    @Test func aWrongRowEndsAnEndlessSource() async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (n int)")
            let piece = [UInt8](repeating: UInt8(ascii: "x"), count: 1_000) + [10]
            do throws(PostgresError) {
                try await session.copyIn("COPY t FROM STDIN") { piece }
                Issue.record("it ended well")
            } catch {
                #expect(error.sqlstate == "22P02")
            }
            // And one that has nothing more to say.
            let pieces = Pieces([piece])
            do throws(PostgresError) {
                try await session.copyIn("COPY t FROM STDIN") {
                    if let piece = pieces.next() { return piece }
                    return try await Pieces.never()
                }
                Issue.record("it ended well")
            } catch {
                #expect(error.sqlstate == "22P02")
            }
            #expect(try await session.ask("SELECT count(*) FROM t") == ["0"])
        }
    }

    /// A notice is the other thing that a server says while it takes data.
    @Test func noticesDoNotEndIt() async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (n int)")
            try await session.ask(
                """
                CREATE FUNCTION pg_temp.tell() RETURNS trigger LANGUAGE plpgsql
                AS $$BEGIN RAISE WARNING 'row %', NEW.n; RETURN NEW; END$$
                """,
                """
                CREATE TRIGGER tell BEFORE INSERT ON t
                FOR EACH ROW EXECUTE FUNCTION pg_temp.tell()
                """)
            let notices = Inbox<String>()
            session.onNotice = { notices.send($1) }
            let pieces = Pieces((1...3).map { Array("\($0)\n".utf8) + padding })
            let tag = try await session.copyIn("COPY t FROM STDIN") {
                guard let piece = pieces.next() else { return nil }
                if pieces.position == 2 {
                    #expect(await notices.next() == "row 1")
                    // Longer than an error would be waited for.
                    try await EventLoop.shared.sleep(for: .milliseconds(1_300))
                }
                return piece
            }
            #expect(tag == "COPY 30003")
        }
    }

    @Test func aSourceThatFailsLeavesNothing() async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (n int, x text)")
            for isInTransaction in [false, true] {
                if isInTransaction { try await session.ask("BEGIN") }
                let pieces = Pieces(rows: 50_000)
                do throws(PostgresError) {
                    try await session.copyIn("COPY t FROM STDIN") {
                        guard pieces.position < pieces.all.count / 2 else {
                            throw NotReached("the file broke off")
                        }
                        return pieces.next()
                    }
                    Issue.record("it ended well")
                } catch {
                    #expect(error.kind == .server)
                    #expect(error.sqlstate == "57014")
                    #expect(error.message == "COPY from stdin failed: the file broke off")
                }
                #expect(session.isInFailedTransaction == isInTransaction)
                if isInTransaction { try await session.ask("ROLLBACK") }
                #expect(try await session.ask("SELECT count(*) FROM t") == ["0"])
            }
        }
    }

    @Test(arguments: [1, 3, 1_000_000]) func aSinkThatFailsEndsItOnly(pieces: Int) async throws {
        try await withSession { session, _ in
            try await session.ask("BEGIN")
            let rows = pieces == 1 ? 10 : 200_000
            let copy = "COPY (SELECT repeat('x', 100) FROM generate_series(1, \(rows))) TO STDOUT"
            let taken = Counter()
            do throws(PostgresError) {
                try await session.copyOut(copy) { piece in
                    taken.value += 1
                    taken.bytes += piece.count
                    if taken.value == pieces || taken.bytes == rows * 101 {
                        throw NotReached("the disk is full")
                    }
                }
                Issue.record("it ended well")
            } catch {
                #expect(error == PostgresError(.aborted, "the disk is full"))
            }
            try await session.ask("ROLLBACK")
            #expect(try await session.ask("SELECT 1") == ["1"])
        }
    }

    /// The cancel request of one COPY must not reach the statement after it.
    @Test func aCancelledCopyLeavesTheNextStatementAlone() async throws {
        try await withSession { session, _ in
            for rows in 1...60 {
                do throws(PostgresError) {
                    try await session.copyOut(
                        "COPY (SELECT generate_series(1, \(rows * 50))) TO STDOUT"
                    ) { _ in throw NotReached("no") }
                } catch {
                    #expect(error.kind == .aborted)
                }
                let slept = try await session.ask("SELECT pg_sleep(0.002)")
                #expect(slept == [""])
            }
        }
    }

    @Test func aSavepointUndoesIt() async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (n int)")
            try await session.ask("BEGIN")
            let copy = "COPY t FROM STDIN"
            #expect(await session.copyInFailure(copy, Array("1\n".utf8)) == nil)
            try await session.ask("SAVEPOINT here")
            #expect(await session.copyInFailure(copy, Array("2\nx\n".utf8))?.sqlstate == "22P02")
            #expect(await session.copyInFailure(copy, Array("2\n".utf8))?.sqlstate == "25P02")
            try await session.ask("ROLLBACK TO SAVEPOINT here")
            #expect(await session.copyInFailure(copy, Array("3\n".utf8)) == nil)
            #expect(session.isInTransaction)
            try await session.ask("COMMIT")
            #expect(try await session.ask("SELECT string_agg(n::text, ',') FROM t") == ["1,3"])
        }
    }

    @Test(arguments: [
        "DELETE FROM t", "SELECT 1; COPY t FROM STDIN", "COPY t FROM '/nonexistent'",
        "COPY t TO STDOUT", "COPY (DELETE FROM t RETURNING n) TO STDOUT",
        "COPY t FROM PROGRAM 'id'",
        "COPY", "", "-- COPY t FROM STDIN", "COPY t FROM STDIN; DELETE FROM t", "COPY t FRM STDIN",
        #"COPY (DELETE FROM t RETURNING '\x') TO STDOUT"#, "TRUNCATE t; -- '\\",
        "COPY no.where FROM STDIN", "COPY t (n, n) FROM STDIN", "COPY t FROM STDIN (FORMAT none)",
        "COPY t FROM STDIN (DELIMITER '", "COPY t; DELETE FROM t", "COPY v FROM STDIN",
    ]) func onlyACopyFromTheClientIsOne(sql: String) async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (n int)")
            try await session.ask("CREATE TEMP VIEW v AS SELECT 1 AS n")
            try await session.ask("INSERT INTO t VALUES (1)")
            try await session.ask("BEGIN")
            let asked = Counter()
            do throws(PostgresError) {
                try await session.copyIn(sql) {
                    asked.value += 1
                    return nil
                }
                Issue.record("it ended well")
            } catch {
                let isRefused = error.kind == .unsupported && error.message.contains("FROM STDIN")
                #expect(isRefused || error.kind == .server, "\(error)")
            }
            // What is wrong with a view is known only after the server has asked for data.
            #expect(asked.value == 0 || sql.contains(" v "))
            try await session.ask("ROLLBACK")
            #expect(try await session.ask("SELECT count(*) FROM t") == ["1"])
        }
    }

    @Test(arguments: [
        " ; /* COPY t FROM STDIN */ COPY (SELECT ')', $a$) FROM STDIN$a$ FROM t) TO STDOUT -- ;",
        #"COPY (SELECT '\x', 2 AS "from") TO STDOUT"#, "cOPY t(n)\nTo\tsTDoUT csv;",
        "COPY t TO STDIN",
    ]) func aCopyToTheClientIsKnown(sql: String) async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (n int)")
            #expect(await session.copyInFailure(sql, [])?.kind == .unsupported)
            #expect(try await session.copyOut(sql) { _ in }.hasPrefix("COPY "))
            for other in ["COPY t FROM STDIN", "VACUUM", "COPY t FROM STDIN (DELIMITER '\\')"] {
                do throws(PostgresError) {
                    try await session.copyOut(other) { _ in }
                    Issue.record("it ended well")
                } catch {
                    #expect(error.kind == .unsupported)
                    #expect(error.message == "the statement is no COPY … TO STDOUT")
                }
            }
            #expect(try await session.ask("SELECT 1") == ["1"])
        }
    }

    /// It fails after the server has asked for data, and before it reads any.
    @Test func anErrorBeforeTheFirstRowLeavesTheSessionInStep() async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (n int)")
            try await session.ask(
                """
                CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql
                AS $$BEGIN RAISE 'not today' USING ERRCODE = 'P0099'; END$$
                """,
                """
                CREATE TRIGGER refuse BEFORE INSERT ON t EXECUTE FUNCTION pg_temp.refuse()
                """)
            for number in 0..<20 {
                let error = await session.copyInFailure("COPY t FROM STDIN", padding)
                #expect(error?.sqlstate == "P0099")
                let answer = try await session.ask("SELECT \(number)")
                #expect(answer == ["\(number)"])
            }
        }
    }

    @Test func aBackslashIsReadAsTheServerDoes() async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (n int, m int)")
            let pieces = Pieces([Array("1\\2\n".utf8)])
            let delimited = #"COPY t FROM STDIN (DELIMITER '\', NULL ';', FORMAT csv)"#
            #expect(try await session.copyIn(delimited) { pieces.next() } == "COPY 1")
            try await session.ask("SET standard_conforming_strings = off")
            let escaped = #"COPY (SELECT '\'; DELETE FROM t') TO STDOUT"#
            #expect(try await session.copyOut(escaped) { _ in } == "COPY 1")
            #expect(try await session.ask("SELECT count(*) FROM t") == ["1"])
        }
    }

    @Test func batchesScriptsAndCopiesTakeTurns() async throws {
        try await withSession { session, _ in
            try await session.ask("CREATE TEMP TABLE t (n int)")
            for number in 0..<30 {
                let piece = Array("\(number)\n".utf8)
                #expect(await session.copyInFailure("COPY t FROM STDIN", piece) == nil)
                #expect(session.isIdle)
                #expect(try await session.ask("SELECT max(n) FROM t") == ["\(number)"])
                #expect(try await session.runScript("SELECT 1; SELECT 2").count == 2)
                let sink = Sink()
                try await session.copyOut("COPY t TO STDOUT") { sink.take($0) }
                #expect(sink.bytes.suffix(piece.count) == piece[...])
            }
        }
    }
}

private let padding = Array(String(repeating: "0\n", count: 10_000).utf8)

extension Connection {
    /// The error that a COPY of one piece fails with.
    func copyInFailure(_ sql: String, _ bytes: [UInt8]) async -> PostgresError? {
        let pieces = Pieces([bytes])
        do throws(PostgresError) {
            try await copyIn(sql) { pieces.next() }
            return nil
        } catch {
            return error
        }
    }
}

/// A source of pieces that are known beforehand.
@LoopActor
final class Pieces {
    let all: [[UInt8]]
    private(set) var position = 0

    init(_ all: [[UInt8]]) {
        self.all = all
    }

    /// Rows of two columns, in pieces that end anywhere.
    convenience init(rows: Int) {
        var bytes: [UInt8] = []
        for number in 0..<rows { bytes += Array("\(number)\trow \\\\ \(number)\n".utf8) }
        var pieces: [[UInt8]] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            // Some larger than what may wait to be sent.
            let size = pieces.count % 5 == 4 ? 700_001 : 10_007
            pieces.append(Array(rest.prefix(size)))
            rest = rest.dropFirst(size)
        }
        self.init(pieces)
    }

    var bytes: [UInt8] { Array(all.joined()) }

    /// Waits until its task is cancelled.
    static func never() async throws -> [UInt8]? {
        await Gate().wait()
        throw CancellationError()
    }

    func next() -> [UInt8]? {
        guard position < all.count else { return nil }
        position += 1
        return all[position - 1]
    }
}

@LoopActor
final class Sink {
    private(set) var bytes: [UInt8] = []

    func take(_ piece: [UInt8]) {
        bytes += piece
    }
}

@LoopActor
final class Counter {
    var value = 0
    var bytes = 0
}

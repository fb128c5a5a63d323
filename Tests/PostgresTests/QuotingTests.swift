import Postgres
import Reactor
import TestSupport
import Testing

struct QuotingTests {
    static let nasty = [
        "a", "", "a b", "'", "''", "\"", "\"\"", "\\", "\\'", "'\\", "\\\\", "x'; SELECT 1; --",
        "\"; DROP TABLE t; --", "ü€😀", "line\nend\r\n\t", "$$", "E'", "%s", "select",
        // A quote and an accent: one character for Swift, two for the server.
        "'\u{301}", "a'\u{301}; SELECT 1/0; --", "\"\u{301}", "\\\u{301}", "'\u{20DD}\"\u{302}",
        "\\'\u{301}", "'\u{FE0F}",
    ]

    @Test(arguments: ["on", "off"]) func aLiteralIsReadAsItWasMeant(conforming: String) async throws
    {
        try await withSession { session, _ in
            try await session.ask("SET standard_conforming_strings = \(conforming)")
            try await session.ask("SET escape_string_warning = off")
            for text in Self.nasty {
                let answer = try await session.ask("SELECT \(text.quotedLiteral)")
                #expect(answer == [text], "\(text.debugDescription)")
            }
        }
    }

    @Test func anIdentifierIsReadAsItWasMeant() async throws {
        try await withSession { session, _ in
            for text in Self.nasty where !text.isEmpty {
                let rows = try await session.run([
                    Command(sql: "SELECT 1 AS \(text.quotedIdentifier)")
                ])
                #expect(rows.first?.columns == [text], "\(text.debugDescription)")
            }
        }
    }

    @Test func arrayLiteralsOfNumbersAndTextsReachTheServer() async throws {
        try await withSession { session, _ in
            let numbers = [Int64.min, -1, 0, .max]
            let back = try await session.run(
                Statement(nil, "SELECT unnest($1::bigint[])"), [numbers.arrayLiteral])
            #expect((0..<4).map { back.integer($0, 0) } == numbers)
            #expect([Int64]().arrayLiteral == "{}")
            let texts: [String?] = Self.nasty + [nil, "NULL", "null", "{", "}", ",", " "]
            let rows = try await session.run(
                Statement(nil, "SELECT unnest($1::text[]), $1::text[]"), [texts.arrayLiteral])
            #expect((0..<texts.count).map { rows.text($0, 0) } == texts)
            let literal = try #require(rows.text(0, 1))
            #expect(parseArrayLiteral(literal) == texts)
        }
    }

    @Test func parsingIsTheInverseOfWriting() {
        var generator = SystemRandomNumberGenerator()
        let pieces: [String?] = Self.nasty + [nil, "NULL", "{", "}", ",", " ", "\u{0B}"]
        for _ in 0..<5_000 {
            let values: [String?] = (0..<Int.random(in: 0...6, using: &generator)).map { _ in
                guard let first = pieces.randomElement(using: &generator) ?? nil else { return nil }
                return first + ((pieces.randomElement(using: &generator) ?? nil) ?? "")
            }
            #expect(parseArrayLiteral(values.arrayLiteral) == values)
        }
    }

    /// What is an array, and what is in it, is the server's to say.
    @Test func parsingAgreesWithTheServerOnAnyText() async throws {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("{}},,\"\"\\ aN\t")
        var literals = [
            "", "{}", " { } ", "{,}", "{a,}", "{NULL,null,\"NULL\",\\NULL}", "{a}b", "{a", "a}",
            "{\"a\"b}", "{a\"b\"}", "{ a b , c\\  }", "{\"a\" , b}", "{\"\"}", "{\\}", "{ \\ }",
        ]
        for _ in 0..<3_000 {
            let inner = (0..<Int.random(in: 0...6, using: &generator)).map { _ in
                alphabet.randomElement(using: &generator) ?? "a"
            }
            literals.append("{" + String(inner) + "}")
        }
        let all = literals
        try await withSession { session, _ in
            for literal in all {
                let theirs = await values(of: literal, session)
                #expect(parseArrayLiteral(literal) == theirs, "\(literal.debugDescription)")
            }
        }
    }
}

/// The values of a one-dimensional array as the server reads it; nil when it refuses.
@LoopActor
private func values(of literal: String, _ session: Connection) async -> [String?]? {
    let statement = Statement(
        "array",
        """
        SELECT u, coalesce(array_ndims($1::text[]), 1) FROM (VALUES (1)) AS one
        LEFT JOIN unnest($1::text[]) WITH ORDINALITY AS a (u, n) ON true ORDER BY n
        """)
    guard let rows = try? await session.run(statement, [literal]), rows.integer(0, 1) == 1 else {
        return nil
    }
    let isEmpty =
        (try? await session.run(
            Statement("empty", "SELECT cardinality($1::text[])"), [literal]))?.integer(0, 0) == 0
    return isEmpty ? [] : (0..<rows.count).map { rows.text($0, 0) }
}

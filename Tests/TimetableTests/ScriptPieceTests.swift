import Testing

@testable import Timetable

/// How a script is parted, and what its words tell.
@Suite struct ScriptPieceTests {
    private static func pieces(_ script: String) -> [ScriptPiece] {
        ScriptPiece.of(script, conformingStrings: true)
    }

    @Test(
        arguments: [
            ("", []), (" ;; -- nothing\n", []), ("SELECT 1", ["SELECT 1"]),
            ("SELECT 1;", ["SELECT 1"]), ("SELECT 1;SELECT ';' ; ", ["SELECT 1", "SELECT ';' "]),
            ("DO $$ BEGIN; END $$; SELECT 2", ["DO $$ BEGIN; END $$", " SELECT 2"]),
            ("SELECT 1 /* ; */; SELECT 2", ["SELECT 1 /* ; */", " SELECT 2"]),
            (
                "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3",
                ["CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", " SELECT 3"]
            ),
            (
                """
                CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; \
                SELECT 2; END; SELECT 3
                """,
                [
                    """
                    CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; \
                    SELECT 2; END
                    """, " SELECT 3",
                ]
            ),
            ("SELECT 'open; SELECT 2", ["SELECT 'open; SELECT 2"]),
        ] as [(String, [String])])
    func parts(script: String, expected: [String]) {
        #expect(Self.pieces(script).map(\.sql) == expected)
    }

    @Test(arguments: [
        ("VACUUM report", true), ("create database x", true), ("CREATE TABLE x ()", false),
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", true), ("CREATE INDEX i ON t (a)", false),
        ("REINDEX TABLE CONCURRENTLY t", true), ("REINDEX TABLE t", false), ("CLUSTER", true),
        ("CLUSTER t", false), ("ALTER SYSTEM SET work_mem = 1", true), ("SELECT 1", false),
        ("DROP INDEX CONCURRENTLY i", true), ("DROP TABLESPACE x", true),
    ])
    func whatNoTransactionTakes(sql: String, expected: Bool) {
        #expect(Self.pieces(sql).map(\.refusesTransaction) == [expected])
    }

    @Test(arguments: [
        ("CREATE TABLE x ()", true), ("INSERT INTO x VALUES (f(1))", false), ("DO 'x'", true),
        ("SELECT make_tables()", true), ("SELECT * INTO x FROM y", true),
        ("SELECT a FROM b", false),
        ("SET search_path = x", true), ("COMMIT", false), ("CALL p()", true),
        ("DROP TABLE x", true),
    ])
    func whatMayChangeWhatIsThere(sql: String, expected: Bool) {
        #expect(Self.pieces(sql).map(\.mayChangeWhatIsThere) == [expected])
    }

    @Test(arguments: [
        ("COPY t FROM STDIN", true), ("COPY t TO STDOUT (FORMAT csv)", true),
        ("COPY t FROM '/x'", false), ("SELECT 'COPY t FROM STDIN'", false),
    ])
    func copies(sql: String, expected: Bool) {
        #expect(Self.pieces(sql).map(\.copiesWithClient) == [expected])
    }

    @Test(arguments: [
        ("https://user:pass@host/x", true), ("https://host:80/a@b", false),
        ("host=x password=y", false), ("SELECT 'ftp://u:p@h'", true), ("a@example.com: b", false),
    ])
    func logins(text: String, expected: Bool) {
        #expect(text.holdsLogin == expected)
        #expect("host=x PASSWORD = y".holdsPassword)
        #expect(!"host=x passfile=/y".holdsPassword)
    }
}

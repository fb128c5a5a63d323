import TestSupport
import Testing

/// What fails only at COMMIT is a failed run, with its SQLSTATE.
struct CommitTests {
    /// Write skew, PostgreSQL manual section 13.2.3: another transaction commits meanwhile, and
    /// nothing but our COMMIT can notice. The COMMIT goes out with the last task, or after it.
    @Test(arguments: [("SQL", "SELECT pg_sleep(1.5)", ""), ("SHELL", "/bin/sleep", #"["1.5"]"#)])
    func aSerializationFailure(kind: String, script: String, parameter: String) async throws {
        let served = try await Served.fresh("skew")
        try await served.psql("CREATE TABLE a (x integer); CREATE TABLE b (x integer)")
        let config = try await served.addConfig(
            "skew",
            [
                ("SQL", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
                ("SQL", "SELECT count(*) FROM a"), ("SQL", "INSERT INTO b VALUES (1)"),
                (kind, script),
            ])
        if !parameter.isEmpty {
            try await served.psql(
                """
                INSERT INTO timetable.chain_execution_parameters
                VALUES (\(config), 4, 1, '\(parameter)')
                """)
        }
        let request = try await served.psql("SELECT timetable.run(\(config))")
        try await served.waitFor("3", "SELECT count(*) FROM timetable.execution_log")
        try await served.psql(
            """
            BEGIN ISOLATION LEVEL SERIALIZABLE;
            SELECT count(*) FROM b; INSERT INTO a VALUES (1);
            COMMIT
            """)
        let end = try await served.end(ofRequest: request)
        #expect(end.hasPrefix("CHAIN_FAILED|could not serialize access"))
        #expect(end.hasSuffix("|40001"))
        #expect(!end.contains("run_status"))
        #expect(try await served.psql("SELECT count(*) FROM b") == "0")
        // The last task's own row, or one for the COMMIT after the program.
        let row = kind == "SQL" ? "skew 3|SELECT pg_sleep(1.5)" : "skew 2|COMMIT"
        try await served.waitFor(
            "\(row)|1|40001",
            """
            SELECT name, script, returncode, sqlstate FROM timetable.execution_log
            WHERE returncode <> 0
            """)
        // Nobody disturbs the next one.
        #expect(try await served.run(config) == "CHAIN_DONE||")
    }

    /// By the end of the chain, after a program, and by a task of its own.
    @Test(arguments: [
        ([("SQL", "INSERT INTO t VALUES (1), (1)")], "late 0|INSERT INTO t VALUES (1), (1)"),
        ([("SQL", "INSERT INTO t VALUES (1), (1)"), ("SHELL", "/bin/true")], "late 0|COMMIT"),
        (
            [("SQL", "BEGIN"), ("SQL", "INSERT INTO t VALUES (1), (1)"), ("SQL", "COMMIT")],
            "late 2|COMMIT"
        ),
    ])
    func aDeferredConstraint(tasks: [(String, String)], row: String) async throws {
        let served = try await Served.fresh("deferred")
        try await served.psql("CREATE TABLE t (x integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        let config = try await served.addConfig(
            "late", tasks.map { (kind: $0.0, script: $0.1) })
        let end = try await served.run(config)
        #expect(end.hasPrefix("CHAIN_FAILED|duplicate key value violates unique constraint"))
        #expect(end.hasSuffix("|23505"))
        #expect(try await served.psql("SELECT count(*) FROM t") == "0")
        try await served.waitFor(
            "\(row)|1|23505",
            """
            SELECT name, script, returncode, sqlstate FROM timetable.execution_log
            WHERE returncode <> 0
            """)
    }

    /// COMMIT of a failed transaction succeeds with the tag ROLLBACK: no success for us.
    @Test func aCommitThatRollsBack() async throws {
        let served = try await Served.fresh("rollback")
        try await served.psql("CREATE TABLE t (x integer)")
        let config = try await served.addConfig(
            "rolling", [("SQL", "INSERT INTO t VALUES (1)"), ("SQL", "BEGIN; SELECT 1/0; COMMIT")])
        #expect(try await served.run(config) == "CHAIN_FAILED|division by zero|22012")
        #expect(try await served.psql("SELECT count(*) FROM t") == "0")
    }
}

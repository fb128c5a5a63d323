import TestSupport
import Testing

struct ChainTests {
    @Test func aFailingTaskLeavesNothingOfTheChain() async throws {
        let served = try await Served.fresh("chain")
        try await served.psql("CREATE TABLE t (x integer)")
        let config = try await served.addConfig(
            "failing",
            [
                ("SQL", "INSERT INTO t VALUES (1)"), ("SQL", "SELECT 1 / 0"),
                ("SQL", "INSERT INTO t VALUES (2)"),
            ])
        #expect(try await served.run(config) == "CHAIN_FAILED|division by zero|22012")
        #expect(try await served.psql("SELECT count(*) FROM t") == "0")
        try await served.waitFor(
            "0|\n1|22012",
            "SELECT returncode, sqlstate FROM timetable.execution_log ORDER BY chain_id")
        // The daemon goes on.
        let next = try await served.addConfig("next", [("SQL", "INSERT INTO t VALUES (3)")])
        #expect(try await served.run(next) == "CHAIN_DONE||")
        #expect(try await served.psql("SELECT x FROM t") == "3")
    }

    @Test func elementsRunInTheOrderOfTheirParents() async throws {
        let served = try await Served.fresh("chain")
        try await served.psql("CREATE TABLE t (id serial, run text, x text)")
        let insert = "INSERT INTO t (run, x) VALUES (current_setting('timetable.run'), "
        let config = try await served.addConfig(
            "ordered",
            [
                ("SQL", insert + "'a')"), ("SHELL", "/bin/true"),
                ("SQL", insert + "'b')"), ("BUILTIN", "NoOp"), ("SQL", insert + "'c')"),
            ])
        #expect(try await served.run(config) == "CHAIN_DONE||")
        #expect(
            try await served.psql(
                "SELECT string_agg(x, '' ORDER BY id), count(DISTINCT xmin::text), min(run) FROM t")
                == "abc|1|1")
    }

    @Test func ignoredErrorsLeaveTheRestOfTheTransaction() async throws {
        let served = try await Served.fresh("chain")
        try await served.psql("CREATE TABLE t (x integer PRIMARY KEY)")
        let config = try await served.addConfig(
            "ignoring",
            [
                ("SQL", "INSERT INTO t VALUES (1)"), ("SQL", "INSERT INTO t VALUES ($1)"),
                ("SHELL", "/bin/false"), ("SQL", "INSERT INTO t VALUES (9)"),
            ])
        try await served.psql(
            """
            UPDATE timetable.task_chain SET ignore_error = true WHERE chain_id IN (2, 3);
            INSERT INTO timetable.chain_execution_parameters VALUES
                (\(config), 2, 1, '[2]'), (\(config), 2, 2, '[1]'), (\(config), 2, 3, '[3]');
            """)
        #expect(try await served.run(config) == "CHAIN_DONE||")
        #expect(
            try await served.psql("SELECT string_agg(x::text, ',' ORDER BY x) FROM t")
                == "1,2,3,9")
        try await served.waitFor(
            "23505",
            "SELECT string_agg(sqlstate, ',') FROM timetable.execution_log WHERE kind = 'SQL'")
    }

    /// The savepoint's name is ours, whatever the task is called.
    @Test(arguments: [
        #"it's a "quoted" \\ name; SELECT 1 --"#, String(repeating: "name ", count: 40),
        "zwölf Boxkämpfer 😀",
    ])
    func aTaskOfAnyNameMayBeIgnored(name: String) async throws {
        let served = try await Served.fresh("chain")
        try await served.psql("CREATE TABLE t (x integer)")
        let config = try await served.addConfig(
            "ignoring",
            [
                ("SQL", "INSERT INTO t VALUES (1)"), ("SQL", "INSERT INTO t VALUES (2), (1 / 0)"),
                ("SQL", "INSERT INTO t VALUES (3)"),
            ])
        try await served.psql(
            """
            UPDATE timetable.base_task SET name = $n$\(name)$n$ WHERE name = 'ignoring 1';
            UPDATE timetable.task_chain SET ignore_error = true WHERE chain_id = 2
            """)
        #expect(try await served.run(config) == "CHAIN_DONE||")
        #expect(try await served.psql("SELECT string_agg(x::text, ',' ORDER BY x) FROM t") == "1,3")
        try await served.waitFor(
            name, "SELECT name FROM timetable.execution_log WHERE returncode = 1")
    }

    @Test func aTaskMayBeginAndCommitItself() async throws {
        let served = try await Served.fresh("chain")
        try await served.psql("CREATE TABLE t (x integer)")
        let config = try await served.addConfig(
            "committing",
            [
                ("SQL", "BEGIN"), ("SQL", "INSERT INTO t VALUES (1)"), ("SQL", "COMMIT"),
                ("SQL", "INSERT INTO t VALUES (2)"), ("SQL", "SELECT 1 / 0"),
            ])
        #expect(try await served.run(config) == "CHAIN_FAILED|division by zero|22012")
        #expect(try await served.psql("SELECT x FROM t") == "1")
    }

    @Test func aCommitThatFailsIsAFailedRun() async throws {
        let served = try await Served.fresh("chain")
        try await served.psql(
            "CREATE TABLE t (x integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        let config = try await served.addConfig(
            "deferred", [("SQL", "INSERT INTO t VALUES (1), (1)")])
        let end = try await served.run(config)
        #expect(end.hasPrefix("CHAIN_FAILED|duplicate key value"))
        #expect(end.hasSuffix("|23505"))
        #expect(try await served.psql("SELECT count(*) FROM t") == "0")
    }

    @Test(arguments: [
        ("SELECT 1; SELECT 2; INSERT INTO t VALUES (1)", "CHAIN_DONE||", "1"),
        ("INSERT INTO t VALUES (1); SELECT 1 / 0", "CHAIN_FAILED|division by zero|22012", "0"),
        ("", "CHAIN_DONE||", "0"), ("-- nothing", "CHAIN_DONE||", "0"),
        ("DO $do$ BEGIN INSERT INTO t VALUES (1); END $do$", "CHAIN_DONE||", "1"),
        ("SELECT ';'; -- ;\nINSERT INTO t VALUES (2)", "CHAIN_DONE||", "1"),
    ])
    func aScriptMayHoldSeveralStatements(script: String, end: String, rows: String) async throws {
        let served = try await Served.fresh("chain")
        try await served.psql("CREATE TABLE t (x integer)")
        let config = try await served.addConfig("script", [("SQL", script)])
        #expect(try await served.run(config) == end)
        #expect(try await served.psql("SELECT count(*) FROM t") == rows)
    }

    @Test(arguments: ["COPY t FROM STDIN", "COPY t TO STDOUT", "SELECT 1; COPY t TO STDOUT"])
    func copyFromOrToTheClientFailsWithAReason(script: String) async throws {
        let served = try await Served.fresh("chain")
        try await served.psql("CREATE TABLE t AS SELECT generate_series(1, 1000) AS x")
        let config = try await served.addConfig("copy", [("SQL", script)])
        let end = try await served.run(config)
        #expect(end.contains("is not possible in a task"))
        let next = try await served.addConfig("next", [("SQL", "SELECT 1")])
        #expect(try await served.run(next) == "CHAIN_DONE||")
    }

    /// With values it goes by the protocol that can't leave COPY: the server refuses it before.
    @Test(arguments: ["COPY t FROM STDIN", "COPY (SELECT $1::text) TO STDOUT"])
    func copyWithParametersFailsWithAReason(script: String) async throws {
        let served = try await Served.fresh("chain", ["--sql-connections", "1"])
        try await served.psql("CREATE TABLE t (x integer)")
        let config = try await served.addConfig("copy", [("SQL", script)])
        #expect(
            try await served.run(config, "'[[1]]'")
                == "CHAIN_FAILED|bind message supplies 1 parameters, but prepared statement \"\" "
                + "requires 0|08P01")
        let next = try await served.addConfig("next", [("SQL", "SELECT 1")])
        #expect(try await served.run(next) == "CHAIN_DONE||")
    }

    @Test func whatATaskSetsDoesNotReachTheNextRun() async throws {
        let served = try await Served.fresh("chain", ["--sql-connections", "1"])
        try await served.psql("CREATE ROLE other_\(served.database.name)")
        let leaving = try await served.addConfig(
            "leaving",
            [
                (
                    "SQL",
                    """
                    SET work_mem = '7MB'; CREATE TEMP TABLE left_over (); LISTEN left_over;
                    SELECT pg_advisory_lock(4711); SET ROLE other_\(served.database.name)
                    """
                )
            ])
        let looking = try await served.addConfig(
            "looking",
            [
                (
                    "SQL",
                    """
                    SELECT current_setting('work_mem') <> '7MB', to_regclass('left_over') IS NULL,
                        NOT EXISTS (SELECT FROM pg_listening_channels()),
                        NOT EXISTS (SELECT FROM pg_locks WHERE objid = 4711),
                        current_user = session_user, current_setting('timetable.client_name')
                    """
                )
            ])
        #expect(try await served.run(leaving) == "CHAIN_DONE||")
        #expect(try await served.run(looking) == "CHAIN_DONE||")
        try await served.waitFor(
            "t|t|t|t|t|worker001",
            """
            SELECT split_part(output, E'\\n', 2) FROM timetable.execution_log
            WHERE name = 'looking 0'
            """)
    }

    @Test func numbersAndNullsArriveAsTheyAre() async throws {
        let served = try await Served.fresh("chain")
        try await served.psql("CREATE TABLE t (n numeric, x text, j jsonb)")
        let config = try await served.addConfig(
            "binding", [("SQL", "INSERT INTO t VALUES ($1, $2, $3)")])
        let json = #"{"a": [9007199254740993, 0.10, "x\u00e9\n", null, {"b": []}]}"#
        let row = "[12345678901234567890.123456789, null, \(json)]"
        #expect(try await served.run(config, "'[\(row)]'") == "CHAIN_DONE||")
        #expect(
            try await served.psql("SELECT n, x IS NULL, j FROM t")
                == #"12345678901234567890.123456789|t|{"a": [9007199254740993, 0.10, "xé\n""#
                + #", null, {"b": []}]}"#
        )
        let whole = try await served.addConfig(
            "whole", [("SQL", "INSERT INTO t VALUES ($1::bigint), (($1::bigint - 1))")])
        #expect(try await served.run(whole, "'[[9007199254740993]]'") == "CHAIN_DONE||")
        #expect(
            try await served.psql("SELECT n FROM t ORDER BY n LIMIT 2")
                == "9007199254740992\n9007199254740993")
        try await served.waitFor(
            "[9007199254740993]",
            "SELECT parameters FROM timetable.execution_log WHERE name = 'whole 0'")
    }

    @Test func aSelfDestructConfigGoesWhenItsChainWasDone() async throws {
        let served = try await Served.fresh("chain")
        let columns = "schedule, self_destruct"
        let failing = try await served.addConfig(
            "failing", [("SQL", "SELECT 1 / 0")], columns: columns, values: "'@manual', true")
        let sql = try await served.addConfig(
            "sql", [("SQL", "SELECT 1")], columns: columns, values: "'@manual', true")
        let program = try await served.addConfig(
            "program", [("SHELL", "/bin/true")], columns: columns, values: "'@manual', true")
        #expect(try await served.run(failing).hasPrefix("CHAIN_FAILED|"))
        #expect(try await served.run(sql) == "CHAIN_DONE||")
        #expect(try await served.run(program) == "CHAIN_DONE||")
        #expect(
            try await served.psql("SELECT chain_name FROM timetable.chain_execution_config")
                == "failing")
    }

    @Test func aSkippedFireSaysWhatWasInTheWay() async throws {
        let served = try await Served.fresh("chain")
        _ = try await served.addConfig(
            "slow", [("SQL", "SELECT pg_sleep(1.2)")], columns: "schedule, max_instances",
            values: "'@every 500ms', 1")
        try await served.waitFor(
            "t",
            """
            SELECT count(*) > 0 FROM timetable.run_status
            WHERE execution_status = 'SKIPPED' AND reason LIKE '1 runs of this config%'
            """)
    }
}

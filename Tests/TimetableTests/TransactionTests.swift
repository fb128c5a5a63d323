import TestSupport
import Testing

/// Transactions of chains, tasks outside of them, other databases, roles.
struct TransactionTests {
    @Test(arguments: [
        "VACUUM t", "CREATE INDEX CONCURRENTLY i ON t (x)", "CALL committing()",
        "DO $do$ BEGIN INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2); END $do$",
        "BEGIN; INSERT INTO t VALUES (1); COMMIT",
    ])
    func autonomousTasksRunOutsideOfTheTransaction(script: String) async throws {
        let served = try await Served.fresh("autonomous")
        try await served.psql(
            """
            CREATE TABLE t (x integer);
            CREATE PROCEDURE committing() LANGUAGE plpgsql AS
                'BEGIN INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2); END';
            """)
        let config = try await served.addConfig("autonomous", [("SQL", script)])
        let inside = try await served.run(config)
        if !script.hasPrefix("BEGIN") {
            #expect(inside.hasPrefix("CHAIN_FAILED|"))
            #expect(inside.contains("set autonomous"))
        }
        try await served.psql("UPDATE timetable.task_chain SET autonomous = true")
        #expect(try await served.run(config) == "CHAIN_DONE||")
    }

    @Test func autonomousWorkStaysWhenTheChainFails() async throws {
        let served = try await Served.fresh("autonomous", ["--sql-connections", "1"])
        try await served.psql("CREATE TABLE t (x integer, run text)")
        let insert = "INSERT INTO t VALUES ($1, current_setting('timetable.run'))"
        let config = try await served.addConfig(
            "half", [("SQL", insert), ("SQL", insert), ("SQL", "SELECT 1 / 0")])
        try await served.psql(
            """
            UPDATE timetable.task_chain SET autonomous = true WHERE chain_id = 2;
            INSERT INTO timetable.chain_execution_parameters VALUES
                (\(config), 1, 1, '[1]'), (\(config), 2, 1, '[2]');
            """)
        #expect(try await served.run(config) == "CHAIN_FAILED|division by zero|22012")
        #expect(try await served.psql("SELECT x, run FROM t") == "2|1")
        let open = try await served.addConfig("open", [("SQL", "BEGIN; SELECT 1")])
        try await served.psql("UPDATE timetable.task_chain SET autonomous = true")
        #expect(try await served.run(open).contains("left a transaction open"))
    }

    @Test func aReadOnlyChainIsRecordedOutsideOfIt() async throws {
        let served = try await Served.fresh("readonly")
        let config = try await served.addConfig(
            "reading", [("SQL", "BEGIN READ ONLY"), ("SQL", "SELECT 1")],
            columns: "schedule, self_destruct", values: "'@manual', true")
        #expect(try await served.run(config) == "CHAIN_DONE||")
        #expect(
            try await served.psql("SELECT count(*) FROM timetable.chain_execution_config") == "0")
    }

    @Test(arguments: [
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "BEGIN ISOLATION LEVEL REPEATABLE READ",
    ])
    func aTaskMaySetTheIsolationLevel(script: String) async throws {
        let served = try await Served.fresh("isolation")
        let config = try await served.addConfig(
            "isolated", [("SQL", script), ("SQL", "SHOW transaction_isolation")])
        #expect(try await served.run(config) == "CHAIN_DONE||")
        try await served.waitFor(
            "t",
            """
            SELECT output ~ '(serializable|repeatable read)' FROM timetable.execution_log
            WHERE script LIKE 'SHOW%'
            """)
    }

    @Test func noticesStandInTheRecordOfTheTask() async throws {
        let served = try await Served.fresh("notices")
        let config = try await served.addConfig(
            "talking",
            [("SQL", "DO $do$ BEGIN RAISE NOTICE 'hello %', 1; RAISE WARNING 'w'; END $do$")])
        #expect(try await served.run(config) == "CHAIN_DONE||")
        try await served.waitFor(
            "NOTICE:  hello 1\nWARNING:  w\nDO", "SELECT output FROM timetable.execution_log")
    }

    // MARK: Roles

    @Test func sqlRunsAsTheRoleOfItsElement() async throws {
        let served = try await Served.fresh("role")
        let role = "odd \"role\" of \(served.database.name)"
        let quoted = "\"" + role.replacing("\"", with: "\"\"") + "\""
        try await served.psql(
            "CREATE ROLE \(quoted); CREATE TABLE seen (id serial, who text);"
                + "GRANT ALL ON seen, seen_id_seq TO \(quoted)")
        let look = "INSERT INTO seen (who) SELECT current_user = $1"
        let config = try await served.addConfig(
            "roles",
            [
                ("SQL", look), ("SQL", look),
                ("SQL", "INSERT INTO seen (who) SELECT current_user; COMMIT; SELECT 1"),
                ("SQL", look),
            ])
        let literal = role.replacing("\"", with: "\\\"")
        try await served.psql(
            """
            UPDATE timetable.task_chain SET run_uid = '\(role)' WHERE chain_id IN (1, 3);
            INSERT INTO timetable.chain_execution_parameters
            SELECT \(config), c, 1, '["\(literal)"]' FROM unnest(ARRAY[1, 2, 4]) AS c;
            """)
        #expect(try await served.run(config) == "CHAIN_DONE||")
        #expect(
            try await served.psql("SELECT who FROM seen ORDER BY id")
                == "true\nfalse\n\(role)\nfalse")
    }

    @Test func aMissingRoleIsAFailedRunWithItsReason() async throws {
        let served = try await Served.fresh("role")
        let config = try await served.addConfig("nobody", [("SQL", "SELECT 1")])
        try await served.psql("UPDATE timetable.task_chain SET run_uid = 'nobody at all'")
        #expect(
            try await served.run(config)
                == #"CHAIN_FAILED|role "nobody at all" does not exist|22023"#)
        try await served.waitFor(
            "1|22023|t",
            "SELECT attempt, sqlstate, finished > last_run FROM timetable.execution_log")
    }

    /// Not a superuser, as in the README: it may become only what it was granted.
    @Test func aRoleThatMayNotBeTakenSaysWhatToDo() async throws {
        let database = try await PrivateCluster.database("role")
        let (poor, other) = ("poor_\(database.name)", "other_\(database.name)")
        try await database.psql(
            """
            CREATE ROLE \(poor) LOGIN; CREATE ROLE \(other);
            GRANT CREATE ON DATABASE \(database.name) TO \(poor)
            """)
        let served = try await Served.on(database, ["--user", poor])
        let config = try await served.addConfig("as other", [("SQL", "SELECT current_user")])
        try await served.psql("UPDATE timetable.task_chain SET run_uid = '\(other)'")
        #expect(
            try await served.run(config) == """
                CHAIN_FAILED|permission denied to set role "\(other)"
                Hint: run_uid is the role of an SQL task: GRANT "\(other)" to the role of the \
                daemon, or leave it NULL|42501
                """)
        try await served.psql("GRANT \(other) TO \(poor)")
        #expect(try await served.run(config) == "CHAIN_DONE||")
    }

    // MARK: Other databases

    @Test func aTaskMayRunInAnotherDatabase() async throws {
        let served = try await Served.fresh("here")
        let other = try await PrivateCluster.database("there")
        try await served.psql("CREATE TABLE t (x integer)")
        try await other.psql("CREATE TABLE t (x integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        let config = try await served.addConfig(
            "both",
            [
                ("SQL", "INSERT INTO t VALUES ($1)"), ("SQL", "INSERT INTO t VALUES ($1)"),
                ("SQL", "SELECT current_database()"),
            ])
        try await served.psql(
            """
            INSERT INTO timetable.database_connection (connect_string)
            VALUES ('dbname=\(other.name)');
            UPDATE timetable.task_chain SET database_connection = 1 WHERE chain_id IN (2, 3);
            INSERT INTO timetable.chain_execution_parameters VALUES
                (\(config), 1, 1, '[1]'), (\(config), 2, 1, '[2]');
            """)
        #expect(try await served.run(config) == "CHAIN_DONE||")
        #expect(try await served.psql("SELECT x FROM t") == "1")
        #expect(try await other.psql("SELECT x FROM t") == "2")
        try await served.waitFor(
            other.name,
            """
            SELECT split_part(output, E'\\n', 2) FROM timetable.execution_log
            WHERE script LIKE '%current_database%'
            """)
        // Its COMMIT fails: then ours is not done either.
        #expect(try await served.run(config).hasSuffix("|23505"))
        #expect(try await served.psql("SELECT x FROM t") == "1")
        try await served.waitFor(
            "1|23505",
            "SELECT returncode, sqlstate FROM timetable.execution_log WHERE script = 'COMMIT'")
    }

    @Test(arguments: [
        ("dbname=no_such_database_at_all", #"no connection for an SQL task: .*does not exist"#),
        ("host=/nowhere password=s3cret", "no connection for an SQL task: "),
        ("host=x password=s3cret and more", "can't be read"),
        ("postgresql://u:p@s3cret@host/db", "as %40"),
    ])
    func aBadConnectionIsAFailedRunThatShowsNoSecret(
        string: String, reason: String
    ) async throws {
        let served = try await Served.fresh("badconnection")
        let config = try await served.addConfig("away", [("SQL", "SELECT 1")])
        try await served.psql(
            """
            INSERT INTO timetable.database_connection (connect_string) VALUES ('\(string)');
            UPDATE timetable.task_chain SET database_connection = 1;
            """)
        let end = try await served.run(config)
        #expect(end.hasPrefix("CHAIN_FAILED|"))
        #expect(try end.contains(Regex(reason)))
        try await served.waitFor("1", "SELECT count(*) FROM timetable.execution_log")
        let told = try await served.psql(
            """
            SELECT (SELECT string_agg(r::text, '') FROM timetable.run_status r)
                || (SELECT string_agg(e::text, '') FROM timetable.execution_log e)
                || coalesce((SELECT string_agg(l::text, '') FROM timetable.log l), '')
            """)
        #expect(!told.contains("s3cret"))
        #expect(!served.daemon.lines.contains { $0.text.contains("s3cret") })
    }

    // MARK: Parameters

    @Test func fiveHundredUsersGetOneRowEach() async throws {
        let served = try await Served.fresh("users")
        try await served.psql("CREATE TABLE outbox (name text, note jsonb)")
        let config = try await served.addConfig(
            "warn", [("SQL", "INSERT INTO outbox VALUES ($1, $2)")])
        try await served.psql(
            """
            INSERT INTO timetable.chain_execution_parameters
            SELECT \(config), 1, n, jsonb_build_array('user ' || n, jsonb_build_object('n', n))
            FROM generate_series(1, 500) AS n
            """)
        #expect(try await served.run(config) == "CHAIN_DONE||")
        #expect(
            try await served.psql(
                "SELECT count(*), count(DISTINCT name), sum((note ->> 'n')::int) FROM outbox")
                == "500|500|125250")
        try await served.waitFor("500", "SELECT count(*) FROM timetable.execution_log")
        #expect(
            try await served.psql(
                "SELECT jsonb_array_length(parameters -> '1') FROM timetable.run_status") == "500")
    }

    @Test func aMegabyteArrivesWhole() async throws {
        let served = try await Served.fresh("megabyte")
        try await served.psql("CREATE TABLE t (x text)")
        let config = try await served.addConfig("long", [("SQL", "INSERT INTO t VALUES ($1)")])
        #expect(
            try await served.run(
                config, "jsonb_build_array(jsonb_build_array(repeat('ä', 500000)))")
                == "CHAIN_DONE||")
        #expect(try await served.psql("SELECT x = repeat('ä', 500000) FROM t") == "t")
        try await served.waitFor(
            "t|t",
            """
            SELECT e.parameters ->> 0 = repeat('ä', 500000),
                r.parameters -> '1' -> 0 ->> 0 = repeat('ä', 500000)
            FROM timetable.execution_log e JOIN timetable.run_status r USING (run_status)
            """)
    }
}

import TestSupport
import Testing

/// `timetable.add_job`, `delete_job` and what goes with them.
struct JobFunctionTests {
    @Test func aJobIsAddedChangedAndDeleted() async throws {
        let served = try await Served.fresh("jobs")
        try await served.psql("CREATE TABLE made (a text, b integer)")
        try await served.psql(
            """
            SELECT timetable.add_job('insert', '@manual', 'INSERT INTO made VALUES ($1, $2)',
                parameters := '[["x", 1], ["y", 2]]');
            SELECT timetable.add_job('echo', '@manual', program := '/bin/echo',
                arguments := '{hello,"big world"}', on_failure := 'insert', excluded := '{insert}');
            """)
        #expect(try await served.run(1) == "CHAIN_DONE||")
        #expect(try await served.run(2) == "CHAIN_DONE||")
        #expect(
            try await served.psql("SELECT string_agg(a || b, ' ' ORDER BY b) FROM made") == "x1 y2")
        try await served.waitFor(
            "hello big world",
            "SELECT rtrim(output, E'\\n') FROM timetable.execution_log "
                + "WHERE name = 'echo'")
        // What is not given stays.
        try await served.psql(
            """
            UPDATE timetable.chain_execution_config SET live = false WHERE chain_name = 'echo';
            SELECT timetable.add_job(
                'echo', '30 2 * * *', time_zone := 'Europe/Berlin', retries := 2)
            """)
        #expect(
            try await served.psql(
                """
                SELECT chain_execution_config, schedule, time_zone, retries, live, on_failure,
                    excluded_execution_configs
                FROM timetable.chain_execution_config WHERE chain_name = 'echo'
                """) == "2|30 2 * * *|Europe/Berlin|2|f|1|{1}")
        // Another task, in the same chain.
        try await served.psql("SELECT timetable.add_job('echo', program := '/bin/false')")
        #expect(try await served.run(2).hasPrefix("CHAIN_FAILED|"))
        try await served.psql(
            "SELECT timetable.delete_job('echo'), timetable.delete_job('insert')")
        #expect(
            try await served.psql(
                """
                SELECT (SELECT count(*) FROM timetable.chain_execution_config),
                    (SELECT count(*) FROM timetable.chain_execution_parameters),
                    (SELECT count(*) FROM timetable.task_chain),
                    (SELECT count(*) FROM timetable.base_task WHERE kind <> 'BUILTIN'),
                    (SELECT count(*) > 3 FROM timetable.run_status)
                """) == "0|0|0|0|t")
    }

    @Test func aChainOfOthersStays() async throws {
        let served = try await Served.fresh("jobs")
        let config = try await served.addConfig(
            "two", [("SQL", "SELECT $1"), ("SQL", "SELECT 2")])
        try await served.psql(
            """
            SELECT timetable.add_job('same', '@manual', chain := 1, parameters := '{"1": [[7]]}');
            INSERT INTO timetable.task_chain (task_id) VALUES (7);
            """)
        #expect(try await served.run(config + 1) == "CHAIN_DONE||")
        try await served.psql("SELECT timetable.delete_job('two')")
        #expect(try await served.psql("SELECT count(*) FROM timetable.task_chain") == "3")
        try await served.psql("SELECT timetable.delete_job('same')")
        // The second base task is in a chain of its own.
        #expect(
            try await served.psql(
                """
                SELECT string_agg(name, ',') FROM timetable.base_task JOIN timetable.task_chain
                    USING (task_id)
                """) == "two 1")
        #expect(
            try await served.psql("SELECT count(*) FROM timetable.base_task WHERE task_id > 5")
                == "1")
    }

    @Test(arguments: [
        ("'a', '@manual'", "give one of command (SQL), program and chain"),
        ("'a', '@manual', 'SELECT 1', '/bin/true'", "give one of"),
        ("'a', command := 'SELECT 1'", "a new one needs a schedule"),
        ("'a', 'at noon', 'SELECT 1'", "column \"schedule\" of config \"a\""),
        ("'NoOp', '@manual', 'SELECT 1'", "there is a base task \"NoOp\" already"),
        ("'a', '@manual', 'SELECT 1', parameters := '7'", "neither an array of rows nor an object"),
        ("'a', '@manual', 'SELECT 1', on_failure := 'b'", "no config with the chain_name or the"),
        ("'a', '@manual', chain := 99", "task_chain"),
        ("'a', '@manual', 'SELECT 1', misfire := 'never'", "misfire_is_skip_or_once_or_all"),
    ])
    func whatIsWrongIsSaid(arguments: String, reason: String) async throws {
        let database = try await PrivateCluster.database("jobs")
        _ = try await runProgram(
            DaemonProcess.builtCarillon(), ["migrate"], environment: database.environment)
        let error = await #expect(throws: PsqlFailed.self) {
            try await database.psql("SELECT timetable.add_job(\(arguments))")
        }
        #expect(error?.stderr.contains(reason) == true, "\(error?.stderr ?? "")")
        #expect(
            try await database.psql("SELECT count(*) FROM timetable.base_task WHERE task_id > 5")
                == "0")
    }

    /// As psql's `\df+` shows it.
    @Test func eachFunctionForUsersSaysWhatItDoes() async throws {
        let database = try await PrivateCluster.database("jobs")
        _ = try await runProgram(
            DaemonProcess.builtCarillon(), ["migrate"], environment: database.environment)
        let mute = try await database.psql(
            """
            SELECT n FROM unnest('{add_job, delete_job, pause_job, resume_job, run, cancel,
                next_fires, next_run}'::text[]) AS n
            WHERE NOT EXISTS (SELECT FROM pg_proc p WHERE p.proname = n
                    AND p.pronamespace = 'timetable'::regnamespace)
                OR EXISTS (SELECT FROM pg_proc p WHERE p.proname = n
                    AND p.pronamespace = 'timetable'::regnamespace
                    AND obj_description(p.oid, 'pg_proc') IS NULL)
            """)
        #expect(mute == "")
    }
}

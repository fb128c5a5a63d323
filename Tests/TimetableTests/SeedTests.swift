import TestSupport
import Testing

/// The seed's README, word for word.
struct SeedTests {
    static let baseTask = """
        INSERT INTO timetable.base_task (name, kind, script) VALUES ('/bin/date test', \
        'SHELL'::timetable.task_kind, '/bin/date') RETURNING task_id;
        """
    static let chain = "INSERT INTO timetable.task_chain (task_id) VALUES (6) RETURNING chain_id;"
    static let config = """
        INSERT INTO timetable.chain_execution_config (chain_id, chain_name, live) VALUES (1, \
        'output date every second', true);
        """

    @Test func itsExampleRunsAtTheNextFullMinuteAndOnce() async throws {
        let served = try await Served.fresh("seed")
        #expect(try await served.psql(Self.baseTask) == "6")
        #expect(try await served.psql(Self.chain) == "1")
        try await served.psql(Self.config)
        try await served.daemon.waitForLine(containing: "scheduled config 1, next fire")
        try await served.waitFor(
            "CHAIN_DONE", "SELECT execution_status FROM timetable.run_status LIMIT 1",
            within: .seconds(70))
        let run = try await served.psql(
            """
            SELECT count(*), min(extract(second FROM scheduled_for)),
                min(started - scheduled_for) >= interval '0',
                min(started - scheduled_for) < interval '1 second'
            FROM timetable.run_status WHERE scheduled_for <= now()
            """)
        #expect(run == "1|0.000000|t|t")
        try await served.waitFor(
            "1",
            """
            SELECT count(*) FROM timetable.execution_log
            WHERE name = '/bin/date test' AND returncode = 0 AND output LIKE '%20__%'
            """)
        try await served.daemon.waitForLine(containing: "Output of the shell command for command:")
    }

    /// The seed's exercise.
    @Test func oneEchoChainPrintsWhatEachConfigSays() async throws {
        let served = try await Served.fresh("seed")
        let world = try await served.addConfig("hello world", [("SHELL", "/bin/echo")])
        try await served.psql(
            """
            INSERT INTO timetable.chain_execution_config (chain_id, chain_name, live, schedule)
            SELECT chain_id, 'hello mars', true, '@manual' FROM timetable.chain_execution_config;
            INSERT INTO timetable.chain_execution_parameters
            SELECT chain_execution_config, chain_id, 1, jsonb_build_array(chain_name)
            FROM timetable.chain_execution_config;
            """)
        #expect(try await served.run(world) == "CHAIN_DONE||")
        #expect(try await served.run(world + 1) == "CHAIN_DONE||")
        try await served.waitFor(
            "hello mars|hello world",
            "SELECT string_agg(rtrim(output, E'\\n'), '|' ORDER BY output) "
                + "FROM timetable.execution_log")
    }

    @Test func itsFunctionsAnswer() async throws {
        let served = try await Served.fresh("seed")
        try await served.psql(Self.baseTask + Self.chain + Self.config)
        let appended = try await served.psql(
            "SELECT timetable.insert_base_task('NoOp', 1), timetable.check_task(1)")
        #expect(appended == "2|t")
        let error = await #expect(throws: PsqlFailed.self) {
            try await served.psql("SELECT timetable.insert_base_task('nope', 1)")
        }
        #expect(error?.stderr.contains("there is no base task \"nope\"") == true)
    }
}

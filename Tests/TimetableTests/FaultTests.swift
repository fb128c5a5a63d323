import TestSupport
import Testing

struct FaultTests {
    @Test func whatWasUnderWayWhenTheDaemonDiedIsDead() async throws {
        let first = try await Served.fresh("fault")
        try await first.psql("CREATE TABLE t (at timestamptz)")
        let slow = try await first.addConfig(
            "slow", [("SQL", "INSERT INTO t VALUES (now())"), ("SQL", "SELECT pg_sleep(60)")])
        let fire = try await first.addConfig(
            "fire", [("SQL", "INSERT INTO t VALUES (now())")], values: "'@every 500ms'")
        let request = try await first.psql("SELECT timetable.run(\(slow))")
        try await first.waitFor(
            "1",
            "SELECT count(*) FROM timetable.run_status WHERE run_request = \(request) "
                + "AND execution_status = 'STARTED'")
        first.daemon.kill()
        _ = try await first.daemon.waitForExit()

        let second = try await Served.on(first.database)
        #expect(
            try await second.end(ofRequest: request)
                == "DEAD|its daemon ended while it was under way|")
        let seen = try await second.psql("SELECT count(*) FROM timetable.run_status")
        try await second.waitFor(
            "t",
            "SELECT count(*) > \(seen) FROM timetable.run_status "
                + "WHERE execution_status = 'CHAIN_DONE'")
        // One effect for each fire that was done, and none of the dead run.
        try await eventually("effects and records agree") {
            try await second.psql(
                """
                SELECT (SELECT count(*) FROM t) = count(*) FROM timetable.run_status
                WHERE chain_execution_config = \(fire) AND execution_status = 'CHAIN_DONE'
                """) == "t"
        }
    }

    @Test func aRestartOfTheServerIsSurvived() async throws {
        let cluster = try await onOwnThread { try PrivateCluster() }
        let database = try await cluster.createDatabase("restart")
        let served = try await Served.on(database)
        _ = try await served.addConfig(
            "fire", [("SQL", "SELECT 1")], values: "'@every 200ms'")
        let done = "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'CHAIN_DONE'"
        try await served.waitFor("t", "SELECT (\(done)) > 2")
        try await onOwnThread {
            try cluster.stop(.immediate)
            try cluster.start()
        }
        let before = try await served.psql(done)
        try await served.daemon.waitForLine(
            containing: "connected to the database again; 1 schedules")
        try await served.waitFor("t", "SELECT (\(done)) > \(before) + 2")
    }

    @Test func aLostSessionFailsItsRunAndNoOther() async throws {
        let served = try await Served.fresh("fault")
        let config = try await served.addConfig("slow", [("SQL", "SELECT pg_sleep(60)")])
        let request = try await served.psql("SELECT timetable.run(\(config))")
        try await eventually("the session is ended") {
            try await served.psql(
                """
                SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep(60)'
                """) == "1"
        }
        let end = try await served.end(ofRequest: request)
        #expect(end.hasPrefix("CHAIN_FAILED|terminating connection"))
        let next = try await served.addConfig("next", [("SQL", "SELECT 1")])
        #expect(try await served.run(next) == "CHAIN_DONE||")
    }

    /// What a chain did before is gone with its session, also when nothing more is asked of that.
    @Test(arguments: ["here", "elsewhere", "ignored"])
    func aSessionThatIsLostUnderAProgramFailsTheRun(place: String) async throws {
        let served = try await Served.fresh("fault")
        try await served.psql("CREATE TABLE t (x integer)")
        let config = try await served.addConfig(
            "outlived",
            [
                ("SQL", "INSERT INTO t VALUES (1)"),
                place == "ignored" ? ("SQL", "SELECT pg_sleep(60)") : ("BUILTIN", "Sleep"),
            ])
        try await served.psql(
            """
            INSERT INTO timetable.database_connection (connect_string)
            VALUES ('\(served.database.connectionString)');
            UPDATE timetable.task_chain
            SET database_connection = CASE WHEN '\(place)' = 'elsewhere' AND parent_id IS NULL
                    THEN 1 END,
                ignore_error = '\(place)' = 'ignored' AND parent_id IS NOT NULL;
            INSERT INTO timetable.chain_execution_parameters
            SELECT \(config), chain_id, 1, '2' FROM timetable.task_chain
            WHERE parent_id IS NOT NULL AND '\(place)' <> 'ignored';
            """)
        let request = try await served.psql("SELECT timetable.run(\(config))")
        try await eventually("its session is ended") {
            try await served.psql(
                """
                SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name LIKE '% run'
                    AND CASE '\(place)' WHEN 'ignored' THEN query = 'SELECT pg_sleep(60)'
                        ELSE state = 'idle in transaction' END
                """) == "1"
        }
        let end = try await served.end(ofRequest: request)
        #expect(end.hasPrefix("CHAIN_FAILED|terminating connection"), "\(end)")
        #expect(try await served.psql("SELECT count(*) FROM t") == "0")
    }

    /// Claims that were committed and their answers lost with the connection, `age` minutes ago:
    /// nobody would look for those fires again, since they, or later ones, were claimed.
    @Test(arguments: [
        ("SKIP", true, 150, "MISSED|1|its claim was lost with the connection"),
        ("SKIP", true, 30, "MISSED|1|its claim was lost with the connection"),
        ("ONCE", true, 150, "MISSED|1|its claim was lost with the connection"),
        ("ONCE", true, 30, "CHAIN_DONE||"),
        ("ALL", true, 150, "CHAIN_DONE||"),
        ("ALL", false, 150, "MISSED|1|its claim was lost with the connection"),
    ])
    func aClaimWhoseAnswerWasLostIsRunOrMissed(
        misfire: String, isLive: Bool, age: Int, end: String
    ) async throws {
        let served = try await Served.fresh("fault")
        let config = try await served.addConfig(
            "lost", [("SQL", "SELECT 1")], columns: "schedule, misfire, starts_at, live",
            values: "'@every 1h', '\(misfire)', now() - interval '150 minutes', false")
        try await served.psql(
            """
            BEGIN;
            UPDATE timetable.chain_execution_config SET live = \(isLive);
            UPDATE timetable.chain_execution_config
            SET scheduled_since = now() - interval '1 day';
            INSERT INTO timetable.run_status (execution_status, chain_id, started,
                chain_execution_config, scheduled_for, client_name)
            SELECT r.state::timetable.execution_status, c.chain_id, now(), \(config),
                c.starts_at + (150 - r.age) * interval '1 minute', 'worker001'
            FROM timetable.chain_execution_config c,
                (VALUES ('STARTED', \(age)), ('CHAIN_DONE', 30)) AS r (state, age)
            ON CONFLICT ON CONSTRAINT a_fire_is_claimed_once DO NOTHING;
            COMMIT;
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE '%control';
            """)
        try await served.waitFor(
            end,
            """
            SELECT r.execution_status, missed_count, reason
            FROM timetable.run_status r JOIN timetable.chain_execution_config c
                USING (chain_execution_config)
            WHERE scheduled_for = starts_at + (150 - \(age)) * interval '1 minute'
            """)
    }

    @Test func stoppingLetsRunsEnd() async throws {
        let served = try await Served.fresh("fault")
        let config = try await served.addConfig("slow", [("SQL", "SELECT pg_sleep(0.5)")])
        let request = try await served.psql("SELECT timetable.run(\(config))")
        try await served.waitFor("1", "SELECT count(*) FROM timetable.run_status")
        served.daemon.terminate()
        try await served.daemon.waitForNotify("STOPPING=1")
        #expect(try await served.daemon.waitForExit() == .exited(0))
        #expect(try await served.end(ofRequest: request) == "CHAIN_DONE||")
    }

    @Test(arguments: [("SQL", "SELECT pg_sleep(60)"), ("SHELL", "/bin/sh"), ("BUILTIN", "Sleep")])
    func stoppingCancelsWhatDoesNotEndInTime(kind: String, script: String) async throws {
        let served = try await Served.fresh("fault", ["--drain-timeout", "0.1"])
        let config = try await served.addConfig("slow", [(kind, script)])
        let parameters =
            switch kind {
            case "SHELL": #"'[["-c", "trap : TERM; sleep 61 & wait; sleep 62"]]'"#
            case "BUILTIN": "'[60]'"
            default: "NULL"
            }
        let request = try await served.psql("SELECT timetable.run(\(config), \(parameters))")
        try await served.daemon.waitForLine(containing: "executing task: slow 0")
        served.daemon.terminate()
        #expect(try await served.daemon.waitForExit(within: .seconds(30)) == .exited(0))
        #expect(try await served.end(ofRequest: request).hasPrefix("CANCELLED|the daemon stopped"))
    }

    @Test func twoDaemonsNeverShareANameOrAFire() async throws {
        let first = try await Served.fresh("fault")
        let refused = try DaemonProcess(
            ["serve", "--name", "worker001"], environment: first.database.environment)
        #expect(try await refused.waitForExit(within: .seconds(30)) == .exited(7))
        #expect(
            refused.lines.contains { $0.text.contains("worker named \"worker001\" is already") })

        let second = try await Served.on(first.database, name: "worker002")
        try await first.psql("CREATE TABLE t (run bigint)")
        _ = try await first.addConfig(
            "fire", [("SQL", "INSERT INTO t VALUES (current_setting('timetable.run')::bigint)")],
            values: "'@every 100ms'")
        try await second.waitFor(
            "t",
            """
            SELECT count(*) > 20 AND count(*) = count(DISTINCT scheduled_for)
            FROM timetable.run_status WHERE execution_status = 'CHAIN_DONE'
            """)
        try await first.psql("UPDATE timetable.chain_execution_config SET live = false")
        try await eventually("one effect for each run") {
            try await first.psql(
                """
                SELECT count(*) = count(DISTINCT run) AND count(*) = (
                    SELECT count(*) FROM timetable.run_status
                    WHERE execution_status = 'CHAIN_DONE')
                FROM t
                """) == "t"
        }
    }

    @Test func twoDaemonsInstallOneSchema() async throws {
        let database = try await PrivateCluster.database("install")
        // Held until both have seen no schema and wait for their turn.
        async let holder: String? = try? database.psql(
            """
            BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('carillon schema', 0));
            SELECT pg_sleep(60)
            """)
        let locks = """
            FROM pg_locks JOIN pg_database d ON d.oid = database
            WHERE locktype = 'advisory' AND datname = current_database()
            """
        try await eventually("the lock is held") {
            try await database.psql("SELECT count(*) \(locks) AND granted") == "1"
        }
        async let first = Served.on(database, name: "worker001")
        async let second = Served.on(database, name: "worker002")
        try await eventually(within: .seconds(30), "both wait for the lock") {
            try await database.psql("SELECT count(*) \(locks) AND NOT granted") == "2"
        }
        try await database.psql("SELECT pg_terminate_backend(pid) \(locks) AND granted")
        _ = await holder
        let both = try await [first, second]
        let installed = both.count { served in
            served.daemon.lines.contains { $0.text.contains("installed the schema") }
        }
        #expect(installed == 1)
        #expect(
            try await both[0].psql("SELECT count(*) FROM timetable.schema_version") == "1")
    }
}

import TestSupport
import Testing

@Suite struct FollowTests {
    @Test func theLog() async throws {
        let served = try await Served.fresh("log", ["--database-log-level", "debug"])
        let database = served.database
        let bad = try await served.addConfig("bad", [("SQL", "SELECT 1/0")])
        let log = try watched(database, "log", "-f", "--level", "error")
        let own = try watched(database, "log", "--follow", "bad")
        try await served.waitFor(
            "2",
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE application_name = 'carillon log' AND state = 'idle'
                AND datname = current_database()
                AND (query LIKE '%timetable.run_status r%' OR query LIKE '%timetable.log l%')
            """)
        _ = try await served.run(bad)
        try await log.waitForLine(containing: "worker001 ERROR: chain ")
        try await own.waitForLine(containing: "run 1 failed after ")
        #expect(own.lines.contains { $0.text.contains("run 1 began on worker001") })
        #expect(own.lines.contains { $0.text.contains("error:        division by zero") })
        for one in [log, own] {
            one.send(2)
            #expect(try await one.waitForExit() == .exited(0))
        }
        #expect(!log.lines.contains { $0.text.contains("DEBUG") })

        let lines = try await carillon(database, "log", "--json", "--level", "error").objects()
        #expect(!lines.isEmpty && lines.allSatisfy { $0["level"] as? String == "ERROR" })
        let all = try await carillon(database, "log", "-n", "1000")
        #expect(all.out.contains(" worker001 DEBUG: "))
        #expect(try await carillon(database, "log", "-n", "0").out == "")
        let runs = try await carillon(database, "log", "bad", "--json").objects()
        #expect((runs.first?["tasks"] as? [Any])?.count == 1)
    }

    /// Nobody follows, so nothing is told: not after the first look, and not after the last went.
    @Test func nobodyIsToldWhereNobodyFollows() async throws {
        let served = try await Served.fresh("nobody")
        let config = try await served.addConfig("job", [("SQL", "SELECT 1")])
        // Hears all, and has not said that it follows.
        let listening = """
            LISTEN timetable_news;
            DO $$ DECLARE request bigint; BEGIN request := timetable.run(\(config)); END $$;
            DO $$ BEGIN
                WHILE EXISTS (SELECT FROM timetable.run_request WHERE claimed_at IS NULL)
                    OR EXISTS (SELECT FROM timetable.run_status WHERE finished IS NULL)
                LOOP PERFORM pg_sleep(0.01); COMMIT; END LOOP;
            END $$;
            SELECT timetable.run(\(config));
            DO $$ BEGIN
                WHILE (SELECT count(*) FROM timetable.execution_log) % 2 = 1
                LOOP PERFORM pg_sleep(0.01); COMMIT; END LOOP;
            END $$;
            SELECT 'end';
            """
        let before = try await served.psql(listening)
        #expect(!before.contains("timetable_news") && before.hasSuffix("end"), "\(before)")

        let said = try await carillon(served.database, "run", "job", "--wait")
        #expect(said.code == 0)
        // The first look after it went finds nobody; from then on there is none.
        _ = try await served.run(config)
        let after = try await served.psql(listening)
        #expect(!after.contains("timetable_news"), "\(after)")

        // While somebody does follow, all who listen hear.
        let follower = try watched(served.database, "log", "-f", "job")
        try await served.waitFor(
            "1",
            """
            SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE l.locktype = 'advisory' AND a.application_name = 'carillon log'
                AND a.datname = current_database()
            """)
        let told = try await served.psql(listening)
        #expect(told.contains("\"timetable_news\" with payload"), "\(told)")
        withExtendedLifetime(follower) {}
    }

    /// A daemon that comes later, or has lost its connection, tells those who follow already.
    @Test func aReconnectLosesNoFollower() async throws {
        let served = try await Served.fresh("reconnect")
        let config = try await served.addConfig("job", [("SQL", "SELECT 1")])
        let log = try watched(served.database, "log", "-f", "-n", "0", "job")
        try await served.waitFor(
            "1",
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'carillon log'"
                + " AND query LIKE '%run_status%' AND state = 'idle'"
                + " AND datname = current_database()"
        )
        try await served.psql(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name LIKE 'carillon worker001%' AND datname = current_database()
            """)
        try await served.daemon.waitForLine(containing: "connected to the database again")
        _ = try await served.run(config)
        try await log.waitForLine(containing: "run 1 done")
    }
}

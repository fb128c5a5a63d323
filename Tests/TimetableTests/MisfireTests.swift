import TestSupport
import Testing

/// What was due while no daemon was up.
struct MisfireTests {
    /// A daemon has served until `seconds` ago; configs are as old as that.
    private func afterDowntime(
        _ seconds: Int, _ columns: String, _ values: String
    ) async throws -> (Served, Int) {
        let first = try await Served.fresh("misfire")
        let config = try await first.addConfig(
            "missing", [("SQL", "SELECT 1")], columns: columns + ", live",
            values: values + ", false")
        first.daemon.terminate()
        #expect(try await first.daemon.waitForExit() == .exited(0))
        try await first.psql(
            """
            UPDATE timetable.chain_execution_config SET live = true;
            UPDATE timetable.chain_execution_config
            SET scheduled_since = date_trunc('minute', now()) - interval '\(seconds) s';
            UPDATE timetable.worker SET seen_at = now() - interval '\(seconds) s';
            """)
        return (try await Served.on(first.database), config)
    }

    @Test func skipLeavesOneRowWithTheCount() async throws {
        let (served, _) = try await afterDowntime(
            7 * 86_400, "schedule, misfire_grace", "'0 * * * *', '0'")
        try await served.waitFor(
            "168|t",
            """
            SELECT missed_count, missed_until - scheduled_for = interval '167 hours'
            FROM timetable.run_status WHERE execution_status = 'MISSED'
            """)
        #expect(
            try await served.psql(
                "SELECT count(*) FROM timetable.run_status WHERE execution_status <> 'MISSED'")
                == "0")
    }

    @Test func onceRunsOnce() async throws {
        let (served, _) = try await afterDowntime(
            86_400, "schedule, misfire_grace, misfire", "'0 */2 * * *', '0', 'ONCE'")
        try await served.waitFor(
            "CHAIN_DONE|,MISSED|11",
            """
            SELECT string_agg(execution_status || '|' || coalesce(missed_count::text, ''), ','
                ORDER BY execution_status::text)
            FROM timetable.run_status
            """)
    }

    @Test func allRunsEachOneAfterTheOther() async throws {
        let (served, _) = try await afterDowntime(
            86_400, "schedule, misfire_grace, misfire, misfire_window, max_instances",
            "'0 */2 * * *', '0', 'ALL', '2 days', 1")
        try await served.waitFor(
            "12|12",
            """
            SELECT count(*), count(DISTINCT scheduled_for) FROM timetable.run_status
            WHERE execution_status = 'CHAIN_DONE'
            """)
        let overlaps = try await served.psql(
            """
            SELECT count(*) FROM timetable.run_status a JOIN timetable.run_status b
                ON a.run_status < b.run_status AND a.started < b.finished AND b.started < a.finished
            """)
        #expect(overlaps == "0")
    }

    /// The seed's promise: what was to run exactly once is tried again, if told to.
    @Test func aMissedSelfDestructConfigRunsWhenToldTo() async throws {
        let (served, _) = try await afterDowntime(
            86_400, "schedule, self_destruct, misfire, misfire_window",
            "'@at ' || (now() - interval '3 hours'), true, 'ONCE', '1 day'")
        try await served.waitFor(
            "CHAIN_DONE|0",
            """
            SELECT execution_status, (SELECT count(*) FROM timetable.chain_execution_config)
            FROM timetable.run_status
            """)
    }

    @Test func whatWasClaimedIsNotMissed() async throws {
        let (served, config) = try await afterDowntime(
            86_400, "schedule, misfire_grace", "'0 */2 * * *', '0'")
        try await served.waitFor(
            "1", "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'MISSED'")
        served.daemon.terminate()
        _ = try await served.daemon.waitForExit()
        try await served.psql("UPDATE timetable.worker SET seen_at = now() - interval '1 day'")
        let again = try await Served.on(served.database)
        // It has looked when it has taken a request.
        #expect(try await again.run(config) == "CHAIN_DONE||")
        #expect(
            try await again.psql(
                "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'MISSED'")
                == "1")
    }

    /// The daemon lives on and can't reach its database: each second is claimed or recorded, once.
    @Test(arguments: [("SKIP", "t"), ("ONCE", "t"), ("ALL", "f")])
    func anUnreachableDatabaseIsAccountedForToTheSecond(
        misfire: String, isMissed: String
    ) async throws {
        let served = try await Served.fresh("misfire")
        _ = try await served.addConfig(
            "each", [("SQL", "SELECT 1")], columns: "schedule, misfire_grace, misfire",
            values: "'@every 1s', '0', '\(misfire)'")
        let fires = "FROM timetable.run_status WHERE scheduled_for IS NOT NULL"
        try await served.waitFor("t", "SELECT count(*) > 1 \(fires)")
        let lines = served.daemon.lines.count
        let name = served.database.name
        try await served.psql(
            """
            \\connect postgres
            ALTER DATABASE "\(name)" ALLOW_CONNECTIONS false;
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '\(name)';
            SELECT pg_sleep(4);  -- the outage
            ALTER DATABASE "\(name)" ALLOW_CONNECTIONS true;
            """)
        try await served.daemon.waitForLine(
            containing: "connected to the database again", from: lines)
        try await served.waitFor(
            "t|\(isMissed)",
            """
            SELECT max(coalesce(missed_until, scheduled_for)) - min(scheduled_for)
                    = (sum(coalesce(missed_count, 1)) - 1) * interval '1 second'
                    AND max(scheduled_for) > now() - interval '2 seconds',
                coalesce(max(missed_count), 0) > 1
            \(fires)
            """)
    }

    @Test func afterCountsFromTheEndOfTheRunBefore() async throws {
        let first = try await Served.fresh("after")
        let second = try await Served.on(first.database, name: "worker002")
        _ = try await first.addConfig(
            "after", [("SQL", "SELECT pg_sleep(0.1)")], values: "'@after 200ms'")
        let done = "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'CHAIN_DONE'"
        try await first.waitFor("t", "SELECT (\(done)) >= 4")
        first.daemon.terminate()
        #expect(try await first.daemon.waitForExit() == .exited(0))
        let before = try await second.psql(done)
        try await second.waitFor("t", "SELECT (\(done)) >= \(before) + 2")
        let wrong = try await second.psql(
            """
            SELECT count(*) FROM (
                SELECT scheduled_for, started, lag(finished) OVER (ORDER BY run_status) AS ended
                FROM timetable.run_status) AS r
            WHERE started < ended + interval '200 ms'
                OR scheduled_for <> ended + interval '200 ms'
            """)
        #expect(wrong == "0")
    }
}

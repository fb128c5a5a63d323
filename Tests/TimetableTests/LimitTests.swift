import TestSupport
import Testing

/// Limits that hold for all daemons of a database.
struct LimitTests {
    /// Pairs of runs that were under way at the same time, by the names of their configs.
    private static func overlaps(_ condition: String) -> String {
        """
        SELECT count(*) FROM timetable.run_status a
        JOIN timetable.run_status b ON a.run_status < b.run_status
            AND a.started < b.finished AND b.started < a.finished
        JOIN timetable.chain_execution_config ca
            ON ca.chain_execution_config = a.chain_execution_config
        JOIN timetable.chain_execution_config cb
            ON cb.chain_execution_config = b.chain_execution_config
        WHERE a.execution_status = 'CHAIN_DONE' AND b.execution_status = 'CHAIN_DONE'
            AND (\(condition))
        """
    }

    private static func doneCount(_ name: String) -> String {
        """
        SELECT count(*) FROM timetable.run_status
        JOIN timetable.chain_execution_config USING (chain_execution_config)
        WHERE chain_name = '\(name)' AND execution_status = 'CHAIN_DONE'
        """
    }

    @Test func exclusiveRunsAreAloneAndAreNotStarved() async throws {
        let served = try await Served.fresh("limit")
        let second = try await Served.on(served.database, name: "worker002")
        _ = try await served.addConfig(
            "busy", [("SQL", "SELECT pg_sleep(0.25)")], columns: "schedule, overlap",
            values: "'@every 100ms', 'WAIT'")
        let alone = try await served.addConfig(
            "alone", [("SQL", "SELECT pg_sleep(0.05)")],
            columns: "schedule, exclusive_execution", values: "'@manual', true")
        try await served.waitFor("t", "SELECT (\(Self.doneCount("busy"))) > 3")
        for _ in 1...4 {
            #expect(try await served.run(alone) == "CHAIN_DONE||")
        }
        try await served.psql(
            "UPDATE timetable.chain_execution_config SET live = false WHERE chain_name = 'busy'")
        #expect(
            try await served.psql(Self.overlaps("ca.exclusive_execution OR cb.exclusive_execution"))
                == "0")
        // What waited meanwhile has run, on whichever daemon.
        try await served.waitFor(
            "0", "SELECT count(*) FROM timetable.run_status WHERE finished IS NULL")
        #expect(
            try await served.psql(
                "SELECT count(*) FROM timetable.run_status WHERE execution_status <> 'CHAIN_DONE'")
                == "0")
        withExtendedLifetime(second) {}
    }

    @Test func excludedConfigsAreKeptApartBothWaysAndTakeTurns() async throws {
        let served = try await Served.fresh("limit")
        let second = try await Served.on(served.database, name: "worker002")
        let task = [("SQL", "SELECT pg_sleep(0.03)")]
        let a = try await served.addConfig("a", task.map { (kind: $0.0, script: $0.1) })
        let b = try await served.addConfig("b", [("SQL", "SELECT pg_sleep(0.03)")])
        _ = try await served.addConfig("c", [("SQL", "SELECT pg_sleep(0.03)")])
        try await served.psql(
            """
            UPDATE timetable.chain_execution_config SET excluded_execution_configs = '{\(b)}'
            WHERE chain_execution_config = \(a);
            SELECT timetable.run(c)
            FROM generate_series(1, 20), unnest('{a,b,c}'::text[]) AS c;
            """)
        try await served.waitFor(
            "60", "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'CHAIN_DONE'")
        #expect(
            try await served.psql(
                Self.overlaps(
                    "least(ca.chain_name, cb.chain_name) || greatest(ca.chain_name, "
                        + "cb.chain_name) = 'ab'")) == "0")
        // Neither is kept out until the other one has done all.
        #expect(
            try await served.psql(
                """
                SELECT count(DISTINCT chain_execution_config) FROM (
                    SELECT chain_execution_config FROM timetable.run_status
                    WHERE chain_execution_config IN (\(a), \(b)) ORDER BY started LIMIT 30) AS first
                """) == "2")
        withExtendedLifetime(second) {}
    }

    @Test func aFireThatOverlapsWaitsOrSaysWhatWasInTheWay() async throws {
        let served = try await Served.fresh("limit")
        _ = try await served.addConfig(
            "long", [("SQL", "SELECT pg_sleep(2)")], columns: "schedule, exclusive_execution",
            values: "'@manual', true")
        _ = try await served.addConfig(
            "skipping", [("SQL", "SELECT 1")], columns: "schedule", values: "'@every 200ms'")
        try await served.psql("SELECT timetable.run('long')")
        try await served.waitFor(
            "t",
            """
            SELECT count(*) > 0 FROM timetable.run_status
            WHERE reason ~ '^run [0-9]+ of "long" is under way, which has exclusive_execution$'
                AND execution_status = 'SKIPPED' AND finished IS NOT NULL
            """)
        let waiting = try await served.addConfig(
            "waiting", [("SQL", "SELECT pg_sleep(0.3)")],
            columns: "schedule, max_instances, overlap", values: "'@every 200ms', 1, 'WAIT'")
        try await served.waitFor("t", "SELECT (\(Self.doneCount("waiting"))) > 3")
        try await served.psql(
            """
            UPDATE timetable.chain_execution_config SET live = false
            WHERE chain_execution_config = \(waiting)
            """)
        try await served.waitFor(
            "0|0",
            """
            SELECT count(*) FILTER (WHERE finished IS NULL), count(*) FILTER (WHERE attempt <> 1)
            FROM timetable.run_status WHERE chain_execution_config = \(waiting)
            """)
        #expect(
            try await served.psql(Self.overlaps("ca.chain_name = 'waiting' AND cb = ca")) == "0")
    }

    @Test func whatWaitsIsStartedByTheEndOnWhicheverDaemon() async throws {
        let served = try await Served.fresh("limit")
        let second = try await Served.on(served.database, name: "worker002")
        let blocker = try await served.addConfig(
            "blocker", [("SQL", "SELECT pg_sleep(0.4)")],
            columns: "schedule, exclusive_execution, client_name",
            values: "'@manual', true, 'worker001'")
        let bound = try await served.addConfig(
            "bound", [("SQL", "SELECT 1")], columns: "schedule, client_name",
            values: "'@manual', 'worker002'")
        for _ in 1...3 {
            let first = try await served.psql("SELECT timetable.run(\(blocker))")
            try await served.waitFor(
                "1", "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'STARTED'")
            #expect(try await served.run(bound) == "CHAIN_DONE||")
            #expect(try await served.end(ofRequest: first) == "CHAIN_DONE||")
        }
        #expect(
            try await served.psql(
                """
                SELECT string_agg(DISTINCT client_name, ',' ORDER BY client_name),
                    max(started - before) < interval '5 seconds', min(started - before) >= '0'
                FROM (SELECT client_name, started, chain_execution_config,
                    lag(finished) OVER (ORDER BY run_status) AS before
                    FROM timetable.run_status) AS r WHERE chain_execution_config = \(bound)
                """) == "worker002|t|t")
        withExtendedLifetime(second) {}
    }
}

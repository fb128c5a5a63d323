import TestSupport
import Testing

/// Claims as the database judges them, whoever makes them.
struct ClaimTests {
    private static let since = """
        CASE WHEN c.scheduled_since IS NOT NULL THEN
            greatest(least(extract(epoch FROM c.scheduled_since) * 1000000, 9e18), -9e18)::bigint
        END
        """

    /// A fire is claimed by the schedule by which it is due, and by no other.
    @Test(arguments: ["now() - interval '1 hour'", "'-infinity'", "'infinity'", "NULL"], [0, 1])
    func aFireOfAnotherScheduleIsGone(since: String, off: Int) async throws {
        let served = try await Served.fresh("claim")
        let config = try await served.addConfig(
            "claimed", [("SQL", "SELECT 1")], columns: "schedule, scheduled_since",
            values: "'@manual', \(since)")
        let outcome = try await served.psql(
            """
            SELECT f.outcome FROM timetable.chain_execution_config c,
                timetable.claim_fires(ARRAY[c.chain_execution_config],
                    ARRAY[(extract(epoch FROM now()) * 1000000)::bigint],
                    ARRAY[CASE \(off) WHEN 0 THEN \(Self.since)
                        ELSE coalesce(\(Self.since) - 1, 0) END], 'other') AS f
            WHERE c.chain_execution_config = \(config)
            """)
        #expect(outcome == (off == 0 ? "STARTED" : "GONE"))
    }

    /// An odd row is read, claimed and recorded like the others.
    @Test(arguments: ["'-infinity'", "NULL"])
    func whatWasAlwaysScheduledFiresAndIsRecordedAsMissed(since: String) async throws {
        let served = try await Served.fresh("claim")
        let config = try await served.addConfig(
            "always", [("SQL", "SELECT 1")],
            columns: "schedule, scheduled_since, starts_at, misfire_grace, live",
            values: "'@every 1h', \(since), now() - interval '90 min', '0', false")
        let line = served.daemon.lines.count
        try await served.psql(
            """
            BEGIN;
            UPDATE timetable.chain_execution_config SET live = true;
            UPDATE timetable.chain_execution_config SET scheduled_since = \(since);
            COMMIT
            """)
        try await served.daemon.waitForLine(
            containing: "scheduled config \(config)", from: line)
        try await served.waitFor(
            "MISSED|2",
            "SELECT execution_status, missed_count FROM timetable.run_status")
    }

    /// A fire that waited, was claimed, and never began since the answer was lost: its first
    /// attempt is one that begins later, and takes no room until then.
    @Test func aClaimGivenBackHasNotStarted() async throws {
        let served = try await Served.fresh("claim")
        let config = try await served.addConfig(
            "waits", [("SQL", "SELECT 1")], columns: "schedule, max_instances, overlap",
            values: "'@manual', 1, 'WAIT'")
        // Nobody serves by now: this is about what the functions write.
        served.daemon.terminate()
        #expect(try await served.daemon.waitForExit() == .exited(0))
        let claim = """
            SELECT f.outcome FROM timetable.chain_execution_config c,
                timetable.claim_fires(ARRAY[c.chain_execution_config],
                    ARRAY[(extract(epoch FROM now()) * 1000000)::bigint],
                    ARRAY[\(Self.since)], 'other') AS f
            WHERE c.chain_execution_config = \(config)
            """
        #expect(try await served.psql(claim) == "STARTED")
        #expect(try await served.psql(claim) == "WAITING")
        let first = "(SELECT min(run_status) FROM timetable.run_status)"
        let requests = "ARRAY(SELECT run_request FROM timetable.run_request)"
        try await served.psql(
            "UPDATE timetable.run_status SET execution_status = 'CHAIN_DONE', finished = now() "
                + "WHERE run_status = \(first)")
        #expect(
            try await served.psql(
                "SELECT outcome FROM timetable.claim_requests(\(requests), 'other')") == "STARTED")
        try await served.psql("SELECT timetable.release_claims('other', '{}')")
        #expect(
            try await served.psql(
                """
                SELECT execution_status, attempt, started, (SELECT claimed_at
                    FROM timetable.run_request) FROM timetable.run_status
                WHERE run_status > \(first)
                """) == "WAITING|0||")
    }
}

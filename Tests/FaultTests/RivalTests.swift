import TestSupport
import Testing

/// Two workers that disagree about whether a fire was missed, since one of them is late: what is
/// recorded is one of both.
struct RivalTests {
    private static let fires = """
        SELECT execution_status, extract(second FROM scheduled_for)::int,
            extract(second FROM missed_until)::int, missed_count
        FROM timetable.run_status ORDER BY scheduled_for
        """

    /// A config that no daemon claims; fires are at the seconds of a minute that is past.
    private func prepared() async throws -> Served {
        let served = try await Served.fresh("rival")
        _ = try await served.addConfig(
            "fire", [("SQL", "SELECT 1")], columns: "schedule, client_name, scheduled_since",
            values: "'@every 1s', 'rival', now() - interval '1 day'")
        return served
    }

    /// Of seconds of one minute that is past whenever this is called, in the function's own terms.
    private func call(_ function: String, _ seconds: Int...) -> String {
        let list = seconds.map { second in
            """
            (SELECT (extract(epoch FROM date_trunc('minute', scheduled_since + interval '23 h')
                + \(second) * interval '1 s') * 1000000)::bigint
            FROM timetable.chain_execution_config)
            """
        }
        let since = """
            (SELECT ARRAY[(extract(epoch FROM scheduled_since) * 1000000)::bigint]
            FROM timetable.chain_execution_config)
            """
        return function == "claim"
            ? """
            SELECT outcome
            FROM timetable.claim_fires('{1}', ARRAY[\(list[0])], \(since), 'rival')
            """
            : """
            SELECT timetable.record_missed('{1}', ARRAY[\(list[0])], ARRAY[\(list[1])],
                '{\(seconds[1] - seconds[0] + 1)}', \(since), 'rival')
            """
    }

    @Test func whatARivalClaimedIsNotMissedAndTheRestIs() async throws {
        let served = try await prepared()
        for second in [10, 11, 12] {
            #expect(try await served.psql(call("claim", second)) == "STARTED")
        }
        try await served.psql(call("missed", 11, 20))
        #expect(
            try await served.psql(Self.fires)
                == "STARTED|10||\nSTARTED|11||\nSTARTED|12||\nMISSED|13|20|8")
        // All of it known by now.
        try await served.psql(call("missed", 10, 20))
        try await served.psql(call("missed", 15, 18))
        try await served.psql(call("missed", 15, 22))
        #expect(
            try await served.psql(Self.fires)
                == "STARTED|10||\nSTARTED|11||\nSTARTED|12||\nMISSED|13|20|8\nMISSED|21|22|2")
    }

    @Test func whatIsRecordedAsMissedIsNotClaimed() async throws {
        let served = try await prepared()
        try await served.psql(call("missed", 10, 20))
        for second in [10, 15, 20] {
            #expect(try await served.psql(call("claim", second)) == "TAKEN")
        }
        #expect(try await served.psql(call("claim", 21)) == "STARTED")
        #expect(try await served.psql(call("claim", 9)) == "STARTED")
        #expect(
            try await served.psql(Self.fires) == "STARTED|9||\nMISSED|10|20|11\nSTARTED|21||")
    }

    /// More were claimed than are looked at in one go.
    @Test func aLongListOfClaimsIsPassed() async throws {
        let served = try await prepared()
        try await served.psql(
            """
            UPDATE timetable.chain_execution_config SET schedule = '@every 100ms';
            UPDATE timetable.chain_execution_config SET scheduled_since = now() - interval '1 day';
            """)
        for tenth in [0, 399] {
            let claim = call("claim", 0).replacing(
                "0 * interval '1 s'", with: "\(tenth) * interval '100 ms'")
            #expect(try await served.psql(claim) == "STARTED")
        }
        let missed = call("missed", 0, 50).replacing("'{51}'", with: "'{501}'")
        try await served.psql(missed)
        #expect(
            try await served.psql(
                """
                SELECT missed_count, extract(second FROM scheduled_for)
                FROM timetable.run_status WHERE execution_status = 'MISSED'
                """) == "101|40.000000")
    }
}

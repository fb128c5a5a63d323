import Foundation
import TestSupport
import Testing
import Timing

/// Steps of the daemon's own clock and suspended hosts, lived through by the real loop.
struct ClockStepTests {
    /// A daemon with a clock of its own; the database's clock is the true one, or one of its own.
    private struct Stage {
        let clock: FakeClock
        let served: Served

        static func onOtherHost() async throws -> Stage {
            try await on(PrivateCluster.database("clock"))
        }

        static func withDatabase() async throws -> Stage {
            let cluster = try await onOwnThread {
                try PrivateCluster(clock: WallInstant(seconds: Int64(Date().timeIntervalSince1970)))
            }
            return try await on(cluster.createDatabase("clock"))
        }

        private static func on(_ database: TestDatabase) async throws -> Stage {
            let clock = try FakeClock()
            let served = try await Served.on(database, environment: clock.environment)
            return Stage(clock: clock, served: served)
        }

        /// Sets the clock of the host on which both the daemon and the server run.
        func stepBoth(bySeconds seconds: Double, isSuspended: Bool = false) throws {
            let now = Date().timeIntervalSince1970 + seconds
            try served.database.cluster.setClock(
                WallInstant(microseconds: Int64(now * 1_000_000)))
            if isSuspended {
                try clock.suspend(forSeconds: seconds)
            } else {
                try clock.step(bySeconds: seconds)
            }
        }
    }

    private static let done = """
        SELECT count(*) FROM timetable.run_status WHERE execution_status = 'CHAIN_DONE'
        """

    private func addEverySecond(_ stage: Stage) async throws {
        _ = try await stage.served.addConfig(
            "tick", [("SQL", "SELECT 1")], columns: "schedule", values: "'* * * * * *'")
        try await stage.served.waitFor("t", "SELECT (\(Self.done)) >= 2")
    }

    /// The database is the truth: the daemon takes its own step back, so each second fires once,
    /// at its time, before and after.
    @Test(arguments: [-8.0 * 3_600, 3_600, -5, 5, 0.3])
    func aStepOfTheDaemonsClockAloneChangesNothing(seconds: Double) async throws {
        let stage = try await Stage.onOtherHost()
        try await addEverySecond(stage)
        try stage.clock.step(bySeconds: seconds)
        try await stage.served.waitFor("t", "SELECT (\(Self.done)) >= 6")
        try await stage.served.stopFiring()
        #expect(
            try await stage.served.psql(
                """
                SELECT count(*) - 1 = extract(epoch FROM max(scheduled_for) - min(scheduled_for)),
                    bool_and(started >= scheduled_for),
                    bool_and(started < scheduled_for + interval '1.5 s'),
                    count(*) FILTER (WHERE execution_status = 'MISSED')
                FROM timetable.run_status
                """) == "t|t|t|0")
    }

    /// The host slept for three hours with its database, or its clock was set forward.
    @Test(arguments: [(3.0 * 3_600, true), (3_600, false)])
    func whatWasJumpedOverIsHandledAsItsPolicySays(
        seconds: Double, isSuspended: Bool
    ) async throws {
        let stage = try await Stage.withDatabase()
        for misfire in ["SKIP", "ONCE", "ALL"] {
            _ = try await stage.served.addConfig(
                misfire, [("SQL", "SELECT 1")], columns: "schedule, misfire, misfire_grace",
                values: "'@every 20m', '\(misfire)', '1 ms'")
        }
        try await addEverySecond(stage)
        let before = try await stage.served.psql(Self.done)
        try stage.stepBoth(bySeconds: seconds, isSuspended: isSuspended)
        // No silence: the seconds go on, in the new time.
        try await stage.served.waitFor("t", "SELECT (\(Self.done)) >= \(before) + 8")
        let fires = Int(seconds) / 1_200
        let counts =
            """
            SELECT c.chain_name, count(*) FILTER (WHERE execution_status = 'CHAIN_DONE'),
                coalesce(sum(missed_count), 0)
            FROM timetable.run_status r JOIN timetable.chain_execution_config c
                USING (chain_execution_config)
            WHERE c.chain_name <> 'tick' GROUP BY 1 ORDER BY 1
            """
        try await stage.served.waitFor(
            "ALL|\(fires)|0\nONCE|1|\(fires - 1)\nSKIP|0|\(fires)", counts)
        try await stage.served.stopFiring()
        // Of the seconds one row tells how many were missed; none was run twice, or in a burst.
        let ticks = try await stage.served.psql(
            """
            SELECT count(*) FILTER (WHERE execution_status = 'MISSED'),
                sum(missed_count) BETWEEN \(seconds) - 5 AND \(seconds) + 5,
                count(*) FILTER (WHERE execution_status = 'CHAIN_DONE') + sum(missed_count) - 1
                    = extract(epoch FROM max(scheduled_for) - min(scheduled_for))
            FROM timetable.run_status r JOIN timetable.chain_execution_config c
                USING (chain_execution_config)
            WHERE c.chain_name = 'tick'
            """)
        #expect(ticks == "1|t|t")
    }

    /// Nothing waits for the old time to return, and nothing of it runs twice.
    @Test(arguments: [-8.0 * 3_600, -5])
    func aStepBackOfBothClocksIsNoSilence(seconds: Double) async throws {
        let stage = try await Stage.withDatabase()
        try await addEverySecond(stage)
        let before = try await stage.served.psql(Self.done)
        try stage.stepBoth(bySeconds: seconds)
        try await stage.served.waitFor("t", "SELECT (\(Self.done)) >= \(before) + 8")
        try await stage.served.stopFiring()
        #expect(
            try await stage.served.psql(
                """
                SELECT count(*) FILTER (WHERE execution_status = 'CHAIN_DONE')
                        = count(DISTINCT scheduled_for),
                    min(scheduled_for) < min(started) FILTER (WHERE run_status = 1)
                        - interval '\(seconds < -100 ? 7 : 0) h',
                    count(*) FILTER (WHERE execution_status = 'MISSED')
                FROM timetable.run_status
                """) == "t|t|0")
    }
}

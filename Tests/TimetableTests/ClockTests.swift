import Foundation
import TestSupport
import Testing
import Timing

/// Clock changes and steps, lived through by the real daemon.
///
/// All daemons follow the database's clock, so it is enough that the server sees another one
/// (libfaketime): the daemon keeps the true time, and makes up for the months between the two. The
/// clock is set to seconds before what shall happen.
struct ClockTests {
    /// A cluster with a clock of its own, and an empty database in it.
    private static func database(at clock: String) async throws -> TestDatabase {
        let instant = try instant(clock)
        return try await onOwnThread { try PrivateCluster(clock: instant) }.createDatabase("clock")
    }

    /// Sets the clock while no daemon serves, so that the next one begins at that time.
    private static func serve(_ database: TestDatabase, at clock: String) async throws -> Served {
        try database.cluster.setClock(instant(clock))
        return try await Served.on(database)
    }

    private static func stop(_ served: Served) async throws {
        served.daemon.terminate()
        #expect(try await served.daemon.waitForExit() == .exited(0))
    }

    /// From `2026-03-29 00:59:57`, in UTC.
    private static func instant(_ text: String) throws -> WallInstant {
        let date = try Date(text.replacing(" ", with: "T") + "Z", strategy: .iso8601)
        return WallInstant(seconds: Int64(date.timeIntervalSince1970))
    }

    /// All fires of the config `night`, in UTC.
    private static let fires = """
        SELECT string_agg(r.execution_status || ' ' || (r.scheduled_for AT TIME ZONE 'UTC'), ', '
            ORDER BY r.scheduled_for)
        FROM timetable.run_status r JOIN timetable.chain_execution_config c
            USING (chain_execution_config)
        WHERE c.chain_name = 'night'
        """

    private func addNight(_ served: Served) async throws -> Int {
        try await served.addConfig(
            "night", [("SQL", "SELECT 1")], columns: "schedule, time_zone",
            values: "'30 2 * * *', 'Europe/Berlin'")
    }

    /// 02:30 does not exist on 29 March 2026 at Berlin: the clock goes from 02:00 to 03:00.
    @Test func aTimeInTheGapFiresOnceAtItsEnd() async throws {
        let database = try await Self.database(at: "2026-03-28 12:00:00")
        var served = try await Served.on(database)
        let config = try await addNight(served)
        try await served.daemon.waitForLine(
            containing: "scheduled config \(config), next fire 2026-03-29T01:00:00.000Z")
        try await Self.stop(served)
        served = try await Self.serve(database, at: "2026-03-29 00:59:57")
        try await served.waitFor("CHAIN_DONE 2026-03-29 01:00:00", Self.fires)
        // Never early, and by the database's clock: it began at 03:00 local time.
        try await served.waitFor(
            "2026-03-29 03:00|t",
            """
            SELECT to_char(started AT TIME ZONE 'Europe/Berlin', 'YYYY-MM-DD HH24:MI'),
                started >= scheduled_for
            FROM timetable.run_status
            """)
        try await eventually("the next fire is at 02:30 of the next day") {
            served.daemon.datagrams.last { $0.contains("STATUS=") }?
                .contains("next fire 2026-03-30T00:30:00.000Z") == true
        }
        try await Self.stop(served)
        served = try await Self.serve(database, at: "2026-03-30 00:29:57")
        try await served.waitFor(
            "CHAIN_DONE 2026-03-29 01:00:00, CHAIN_DONE 2026-03-30 00:30:00", Self.fires)
    }

    /// 02:30 is there twice on 25 October 2026: the clock goes from 03:00 back to 02:00.
    @Test func aRepeatedTimeFiresTheFirstTimeOnly() async throws {
        let database = try await Self.database(at: "2026-10-24 12:00:00")
        var served = try await Served.on(database)
        let config = try await addNight(served)
        try await served.daemon.waitForLine(
            containing: "scheduled config \(config), next fire 2026-10-25T00:30:00.000Z")
        try await Self.stop(served)
        served = try await Self.serve(database, at: "2026-10-25 00:29:57")
        try await served.waitFor("CHAIN_DONE 2026-10-25 00:30:00", Self.fires)
        // One that follows real time shows that the second 02:30 has passed.
        _ = try await served.addConfig(
            "hourly", [("SQL", "SELECT 1")], columns: "schedule, time_zone",
            values: "'30 * * * *', 'Europe/Berlin'")
        try await Self.stop(served)
        served = try await Self.serve(database, at: "2026-10-25 01:29:57")
        try await served.waitFor(
            "1",
            """
            SELECT count(*) FROM timetable.run_status
            WHERE execution_status = 'CHAIN_DONE' AND scheduled_for = '2026-10-25 01:30:00+00'
            """)
        #expect(try await served.psql(Self.fires) == "CHAIN_DONE 2026-10-25 00:30:00")
        try await Self.stop(served)
        served = try await Self.serve(database, at: "2026-10-26 01:29:57")
        try await served.waitFor(
            "CHAIN_DONE 2026-10-25 00:30:00, CHAIN_DONE 2026-10-26 01:30:00", Self.fires)
    }

    /// The database's clock is set while the daemon runs: what was jumped over is missed, not fired
    /// in a burst, and after a step back nothing fires twice.
    @Test func aStepOfTheDatabasesClockIsFollowed() async throws {
        let database = try await Self.database(at: "2026-06-01 12:00:30")
        let served = try await Served.on(database)
        for misfire in ["SKIP", "ONCE"] {
            _ = try await served.addConfig(
                misfire, [("SQL", "SELECT 1")], columns: "schedule, misfire, time_zone",
                values: "'0 * * * *', '\(misfire)', 'UTC'")
        }
        let asking = try await served.addConfig("asking", [("SQL", "SELECT 1")])
        let rows = """
            SELECT string_agg(concat_ws(' ', c.chain_name, r.execution_status,
                to_char(r.scheduled_for AT TIME ZONE 'UTC', 'HH24:MI'), r.missed_count), ', '
                ORDER BY c.chain_name, r.scheduled_for)
            FROM timetable.run_status r JOIN timetable.chain_execution_config c
                USING (chain_execution_config)
            WHERE c.chain_name <> 'asking'
            """
        try database.cluster.setClock(Self.instant("2026-06-01 15:10:00"))
        // Every claim's answer carries the time; else the next heartbeat would tell it.
        #expect(try await served.run(asking) == "CHAIN_DONE||")
        let afterwards = "ONCE MISSED 13:00 2, ONCE CHAIN_DONE 15:00, SKIP MISSED 13:00 3"
        try await served.waitFor(afterwards, rows)
        try await waitForNextFire("16:00:00", served)
        // Back again. What was fired at 15:00, or recorded as missed, is not fired when that comes
        // once more; nothing waits for the old time either.
        try database.cluster.setClock(Self.instant("2026-06-01 14:59:57"))
        #expect(try await served.run(asking) == "CHAIN_DONE||")
        try await waitForNextFire("15:00:00", served)
        try await waitForNextFire("16:00:00", served)
        #expect(try await served.psql(rows) == afterwards)
    }

    private func waitForNextFire(_ time: String, _ served: Served) async throws {
        try await eventually("the next fire at \(time)") {
            served.daemon.datagrams.last { $0.contains("STATUS=") }?
                .contains("next fire 2026-06-01T\(time)") == true
        }
    }
}

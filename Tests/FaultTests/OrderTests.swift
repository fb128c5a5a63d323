import TestSupport
import Testing

/// Claims of one worker happen in their order, or not at all: else a later one would hide that an
/// earlier one was refused.
struct OrderTests {
    /// A refusal that takes so long that later claims wait behind it on the way.
    @Test(arguments: ["STARTED", "MISSED"])
    func whatIsRefusedIsNotHiddenByWhatCameLater(status: String) async throws {
        let served = try await Served.fresh("order")
        try await served.psql(
            """
            CREATE SEQUENCE refusals;
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF NEW.execution_status = '\(status)'
                    AND (SELECT last_value FROM public.refusals) = 100 THEN
                    -- Not undone with the statement: the next one is let through.
                    PERFORM nextval('public.refusals');
                    PERFORM pg_sleep(0.6);
                    RAISE EXCEPTION 'no' USING ERRCODE = 'disk_full';
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON timetable.run_status
            FOR EACH ROW EXECUTE FUNCTION refuse();
            """)
        _ = try await served.addConfig(
            "often", [("SQL", "SELECT 1")], columns: "schedule, misfire_grace",
            values: "'@every 100ms', '1 ms'")
        let done = "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'CHAIN_DONE'"
        try await served.waitFor("t", "SELECT (\(done)) > 3")
        try await served.psql("SELECT setval('refusals', 100)")
        if status == "MISSED" {
            // What it missed is recorded, or refused, when it wakes.
            served.daemon.suspend()
            let before = try await served.psql("SELECT clock_timestamp() + interval '2 s'")
            try await served.waitFor("t", "SELECT clock_timestamp() > '\(before)'")
            served.daemon.resume()
        }
        try await served.daemon.waitForLine(containing: "connected to the database again")
        let before = try await served.psql(done)
        try await served.waitFor("t", "SELECT (\(done)) > \(before) + 5")
        try await served.stopFiring()
        #expect(try await served.psql("SELECT last_value FROM refusals") == "101")
        // Each tenth of a second has its run, or lies within a record of missed ones.
        #expect(
            try await served.psql(
                """
                SELECT count(*) FROM generate_series(
                    (SELECT min(scheduled_for) FROM timetable.run_status),
                    (SELECT max(scheduled_for) FROM timetable.run_status), interval '100 ms') AS f
                WHERE NOT EXISTS (
                    SELECT FROM timetable.run_status r
                    WHERE f BETWEEN r.scheduled_for AND coalesce(r.missed_until, r.scheduled_for))
                """) == "0")
    }
}

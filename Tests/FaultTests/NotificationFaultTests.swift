import TestSupport
import Testing

struct NotificationFaultTests {
    /// The listener's backend is terminated, and 50 ms later something changes that only a
    /// notification tells of: a request, a config, a cancel. None is missed.
    @Test func changesRightAfterTheListenerWasLostAreNotMissed() async throws {
        let served = try await Served.fresh("listener")
        let quick = try await served.addConfig("quick", [("SQL", "SELECT 1")])
        let slow = try await served.addConfig("slow", [("SQL", "SELECT pg_sleep(600)")])
        let timed = try await served.addConfig(
            "timed", [("SQL", "SELECT 1")], columns: "schedule, live",
            values: "'@every 100ms', false")
        try await served.psql(Self.changes(quick: quick, slow: slow, timed: timed))
        try await served.database.psql("CALL change_after_loss(100)", limit: .seconds(240))
        let figures = try await served.psql(
            """
            SELECT count(*), count(*) FILTER (WHERE took IS NULL),
                round(extract(epoch FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY took)), 3),
                round(extract(epoch FROM max(took)), 3)
            FROM change
            """
        ).split(separator: "|")
        print(
            "changes \(figures[0]), missed \(figures[1]), p50 \(figures[2]) s, max \(figures[3]) s")
        #expect(figures.prefix(2) == ["100", "0"])
        #expect(
            served.daemon.lines.count { $0.text.contains("connected to the database again") } == 100
        )
    }

    /// All in the server: a psql for each step would take longer than the steps.
    private static func changes(quick: Int, slow: Int, timed: Int) -> String {
        """
        CREATE TABLE change (id int, took interval);
        CREATE PROCEDURE change_after_loss(times int) LANGUAGE plpgsql AS $$
        DECLARE
            began timestamptz;
            request bigint;
            sleeper bigint;
        BEGIN
            FOR number IN 1..times LOOP
                IF number % 3 = 0 THEN
                    request := timetable.run(\(slow));
                    COMMIT;
                    LOOP
                        SELECT run_status INTO sleeper FROM timetable.run_status
                        WHERE run_request = request AND execution_status = 'STARTED';
                        -- Until it has begun, it may be given back and claimed anew.
                        EXIT WHEN FOUND AND EXISTS (
                            SELECT FROM pg_stat_activity
                            WHERE datname = current_database() AND state = 'active'
                                AND query LIKE 'SELECT pg_sleep(600)%');
                        PERFORM pg_sleep(0.005);
                        COMMIT;
                    END LOOP;
                END IF;
                PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name LIKE '%control';
                PERFORM pg_sleep(0.05);
                COMMIT;
                began := clock_timestamp();
                CASE number % 3
                    WHEN 0 THEN PERFORM timetable.cancel(sleeper);
                    WHEN 1 THEN request := timetable.run(\(quick));
                    ELSE
                        UPDATE timetable.chain_execution_config SET live = true
                        WHERE chain_execution_config = \(timed);
                END CASE;
                COMMIT;
                INSERT INTO change VALUES (number, NULL);
                WHILE clock_timestamp() < began + interval '20 s' LOOP
                    PERFORM FROM timetable.run_status
                    WHERE CASE number % 3
                        WHEN 0 THEN run_status = sleeper
                        WHEN 1 THEN run_request = request
                        ELSE chain_execution_config = \(timed) AND scheduled_for > began END
                        AND execution_status IN ('CHAIN_DONE', 'CANCELLED');
                    IF FOUND THEN
                        UPDATE change c SET took = clock_timestamp() - began
                        WHERE c.id = number;
                        EXIT;
                    END IF;
                    COMMIT;
                    PERFORM pg_sleep(0.005);
                END LOOP;
                UPDATE timetable.chain_execution_config SET live = false
                WHERE chain_execution_config = \(timed) AND live;
                COMMIT;
                -- Connected again, so that the next loss is one.
                LOOP
                    PERFORM FROM pg_stat_activity WHERE datname = current_database()
                        AND application_name LIKE '%claims' AND state = 'idle';
                    EXIT WHEN FOUND;
                    PERFORM pg_sleep(0.005);
                    COMMIT;
                END LOOP;
            END LOOP;
        END $$;
        """
    }

    /// A daemon that is frozen while a million changes are told reads everything once after it,
    /// and the server's queue, which all databases share, is empty again.
    @Test func aMillionChangesWhileFrozenAreOneLook() async throws {
        // A cluster of its own: the queue is the cluster's.
        let cluster = try await onOwnThread { try PrivateCluster() }
        let served = try await Served.on(cluster.createDatabase("frozen"))
        let config = try await served.addConfig("quick", [("SQL", "SELECT 1")])
        try await served.psql(
            """
            INSERT INTO timetable.chain_execution_config (chain_id, chain_name, schedule, live)
            SELECT chain_id, 'many ' || n, '@manual', true
            FROM timetable.chain_execution_config, generate_series(1, 1000) AS n;
            """)
        #expect(try await served.run(config) == "CHAIN_DONE||")
        let before = try ProcessFigures(of: served.daemon)
        let lines = served.daemon.lines.count
        served.daemon.suspend()
        // Statements of a thousand rows each, and single changes up to a million.
        let statements = FaultForm.either(20, 1_000)
        try await served.database.psql(
            """
            DO $$ BEGIN
                FOR number IN 1..\(statements) LOOP
                    UPDATE timetable.chain_execution_config SET max_instances = 1 + number
                    WHERE chain_name LIKE 'many%';
                    COMMIT;
                END LOOP;
                FOR part IN 0..99 LOOP
                    PERFORM pg_notify(
                        'timetable_config', 'chain_execution_config UPDATE ' || part * 10000 + n)
                    FROM generate_series(1, 10000) AS n;
                    COMMIT;
                END LOOP;
            END $$
            """, limit: .seconds(600))
        #expect(try await served.psql("SELECT pg_notification_queue_usage() > 0") == "t")
        served.daemon.resume()
        let request = try await served.psql("SELECT timetable.run(\(config))")
        #expect(try await served.end(ofRequest: request) == "CHAIN_DONE||")
        try await served.waitFor("t", "SELECT pg_notification_queue_usage() = 0")
        let after = try ProcessFigures(of: served.daemon)
        let looks = served.daemon.lines.dropFirst(lines).count {
            $0.text.contains("read all configs")
        }
        print(
            "resident \(before.residentKiB) KiB before, \(after.residentKiB) after, "
                + "at most \(after.peakKiB); \(looks) looks at all")
        #expect(looks == 1)
        #expect(after.peakKiB - before.residentKiB < 30_000)
        #expect(!served.daemon.lines.contains { $0.text.contains("connection to the") })
    }

    /// Anybody may NOTIFY anything. That costs a line now and then, and nothing else.
    @Test func hostilePayloadsCostALineAndNoMore() async throws {
        let cluster = try await onOwnThread { try PrivateCluster() }
        let served = try await Served.on(cluster.createDatabase("hostile"))
        let config = try await served.addConfig("quick", [("SQL", "SELECT 1")])
        let slow = try await served.addConfig("slow", [("SQL", "SELECT pg_sleep(600)")])
        let request = try await served.psql("SELECT timetable.run(\(slow))")
        try await served.waitFor("1", "SELECT count(*) FROM timetable.run_status")
        let sleeper = try await served.psql("SELECT run_status FROM timetable.run_status")
        try await served.psql("CREATE TABLE hostile (payload text); " + Self.hostilePayloads)
        let before = try ProcessFigures(of: served.daemon)
        for channel in ["timetable_config", "timetable_run", "timetable_cancel"] {
            let lines = served.daemon.lines.count
            let began = ContinuousClock.now
            // As a number for timetable_run it could be the id of a config that is there.
            let run = channel == "timetable_cancel" ? sleeper : "no"
            try await served.psql("SELECT pg_notify('\(channel)', payload) FROM hostile")
            // Each a payload of its own: equal ones of a transaction are merged.
            let flood = """
                DO $$ BEGIN
                    FOR part IN 1..120 LOOP
                        PERFORM pg_notify('\(channel)', format(form, part * 1000 + n))
                        FROM generate_series(1, 200) AS n, (VALUES ('nobody %1$s'),
                            ('{"config": %1$s, "delay": 0}'), ('{"requests": [%1$s, 7%1$s]}'),
                            ('chain_execution_config X %1$s 8%1$s'), ('\(run)%1$s'))
                            AS f (form);
                        PERFORM pg_notify('\(channel)', p) FROM (VALUES ('{"requests": "all"}'),
                            ('chain_execution_config X all'), ('worker STARTED'), ('\(run)'))
                            AS s (p);
                        COMMIT;
                    END LOOP;
                END $$
                """
            async let first = served.database.psql(flood)
            async let second = served.database.psql(flood)
            _ = try await [first, second]
            let sent = ContinuousClock.now - began
            #expect(try await served.run(config) == "CHAIN_DONE||", "after \(channel)")
            try await served.waitFor("t", "SELECT pg_notification_queue_usage() = 0")
            let said = served.daemon.lines.dropFirst(lines).filter {
                !$0.text.contains("DEBUG")
            }
            print(
                """
                \(channel): sent in \(sent), over in \(ContinuousClock.now - began), \
                \(said.count) lines
                """
            )
            #expect(said.count < 30, "\(said.suffix(5).map(\.text))")
        }
        // The best-effort way still works, too.
        let done = """
            SELECT count(*) FROM timetable.run_status
            WHERE chain_execution_config = \(config) AND execution_status = 'CHAIN_DONE'
            """
        #expect(try await served.psql(done) == "3")
        try await served.psql("NOTIFY timetable_run, 'quick'")
        try await served.waitFor("4", done)
        let after = try ProcessFigures(of: served.daemon)
        print("resident \(before.residentKiB) KiB before, at most \(after.peakKiB)")
        #expect(after.peakKiB - before.residentKiB < 40_000)
        #expect(!served.daemon.lines.contains { $0.text.contains("connection to the") })
        // A payload alone cancels nothing.
        #expect(
            try await served.psql(
                """
                SELECT execution_status FROM timetable.run_status WHERE run_request = \(request)
                """) == "STARTED")
    }

    private static let hostilePayloads = #"""
        INSERT INTO hostile
        SELECT substr(payload, 1, 7999) FROM (VALUES
            (repeat('x', 7999)), (repeat('[', 7999)), (repeat('{"a":', 1599)),
            (repeat('{"config":', 799)), (E'\x01\x02\x1b[2J\x07\r\n\t\x7f'), (''), (' '),
            ('null'), ('[]'), ('{}'), ('""'), ('{"config": null}'), ('{"config": true}'),
            ('{"config": {"a": [1]}}'), ('{"config": [1]}'), ('{"config": 1e400}'),
            ('{"config": 1.5}'), ('{"config": "quick", "delay": "NaN"}'),
            ('{"config": "quick", "delay": "infinity"}'), ('{"config": "quick", "delay": -1}'),
            ('{"config": "quick", "delay": 1e300}'), ('{"config": "quick", "delay": [1]}'),
            ('{"config": "quick", "delay": "1; DROP TABLE x"}'), (E'{"config": "\\u0000"}'),
            (E'{"config": "\\ud800"}'), ('9223372036854775807'), ('9223372036854775808'),
            ('-1'), ('0'), (repeat('9', 7999)), ('1e9'), ('+5'), ('0x10'),
            ('chain_execution_config UPDATE 9223372036854775808 -9223372036854775809 -1 0 x'),
            ('chain_execution_config UPDATE ' || repeat('1 ', 3900)),
            ('chain_execution_config  '), ('chain_execution_config ENDED'), ('all all all'),
            ('worker'), ('worker STARTED'), ('worker x y z'),
            ('{"requests": [9223372036854775808, -1, 0, 1.5, "x", null]}'),
            ('{"requests": ' || repeat('[', 7900)), ('{"requests": []}'), ('{"requests": '),
            ('{"requests": [' || repeat('1,', 3900)), ('''; DROP SCHEMA timetable CASCADE; --'),
            (U&'\202E\FEFF\2028\+01F512'), (repeat(U&'\+01F512', 1999)), ('%s%n%@ \(x) ${x}')
        ) AS p (payload);
        """#
}

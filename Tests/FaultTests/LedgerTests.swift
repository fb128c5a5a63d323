import TestSupport
import Testing
import Timing

/// The ledger must not be blind: a good history passes, and each rule rejects one that is not.
struct LedgerTests {
    /// Ten fires of one config, a request, runs of configs that exclude each other, and effects.
    private static let good = """
        ALTER TABLE timetable.run_status DROP CONSTRAINT a_fire_is_claimed_once;
        DROP INDEX timetable.a_request_is_claimed_once;
        INSERT INTO timetable.base_task (name, script) VALUES ('t', 'SELECT 1');
        INSERT INTO timetable.task_chain (task_id) SELECT task_id FROM timetable.base_task
        WHERE name = 't';
        INSERT INTO timetable.chain_execution_config (chain_execution_config, chain_id, chain_name,
            schedule, max_instances, retries, exclusive_execution, excluded_execution_configs)
        SELECT c.id, chain_id, c.id::text, '@every 1s', c.max, c.retries, c.alone, c.excluded
        FROM timetable.task_chain, (VALUES (101, 2, 1, false, NULL), (102, 1, 0, true, NULL),
            (103, NULL, 0, false, '{104}'::int[]), (104, NULL, 0, false, NULL))
            AS c (id, max, retries, alone, excluded);
        INSERT INTO timetable.worker (client_name, host, pid, version) VALUES ('w', '', 1, '');
        INSERT INTO timetable.run_request (run_request, chain_execution_config, requested_at,
            claimed_at)
        VALUES (501, 101, '2026-01-01 00:00:20Z', '2026-01-01 00:00:20.1Z');
        INSERT INTO timetable.run_status (run_status, start_status, execution_status,
            chain_execution_config, scheduled_for, started, finished, last_status_update,
            client_name, attempt, reason, error, missed_count, missed_until, run_request)
        SELECT id, id, status::timetable.execution_status, config, epoch + fire * sec,
            epoch + started * sec, epoch + finished * sec,
            epoch + coalesce(finished, started) * sec, 'w', attempt, reason, error, missed,
            epoch + until * sec, request
        FROM (VALUES
            (1, 'CHAIN_DONE', 101, 0, 0.1, 1.5, 1, NULL, NULL, NULL, NULL, NULL),
            (2, 'CHAIN_DONE', 101, 1, 1.1, 2.5, 1, NULL, NULL, NULL, NULL, NULL),
            (3, 'SKIPPED', 101, 2, 2.1, 2.1, 1, 'no room', NULL, NULL, NULL, NULL),
            (4, 'MISSED', 101, 3, NULL, 6.1, 1, 'nobody', NULL, 3, 5, NULL),
            (5, 'CHAIN_FAILED', 101, 6, 6.1, 6.2, 2, NULL, 'no', NULL, NULL, NULL),
            (6, 'DEAD', 101, 7, 7.1, 7.9, 1, NULL, 'gone', NULL, NULL, NULL),
            (7, 'CANCELLED', 101, 8, 8.1, 8.2, 1, NULL, 'asked', NULL, NULL, NULL),
            (8, 'CHAIN_DONE', 101, 9, 9.1, 9.2, 2, NULL, NULL, NULL, NULL, NULL),
            (9, 'CHAIN_DONE', 101, NULL, 20.2, 20.3, 1, NULL, NULL, NULL, NULL, 501),
            (10, 'CHAIN_DONE', 102, 30, 30, 31, 1, NULL, NULL, NULL, NULL, NULL),
            (11, 'CHAIN_DONE', 103, 31, 31, 32, 1, NULL, NULL, NULL, NULL, NULL),
            (12, 'CHAIN_DONE', 104, 32, 32, 33, 1, NULL, NULL, NULL, NULL, NULL))
            AS r (id, status, config, fire, started, finished, attempt, reason, error, missed,
                until, request),
            (SELECT timestamptz '2026-01-01 00:00:00Z' AS epoch, interval '1 s' AS sec) AS unit;
        INSERT INTO timetable.execution_log (run_status, chain_execution_config, name, last_run,
            finished, returncode, attempt, client_name)
        SELECT run_status, chain_execution_config, 't', started, finished, 0, n, 'w'
        FROM timetable.run_status, generate_series(1, attempt) AS n
        WHERE execution_status NOT IN ('SKIPPED', 'MISSED', 'DEAD');
        CREATE TABLE effect (run bigint);
        INSERT INTO effect SELECT run_status FROM timetable.run_status
        WHERE execution_status = 'CHAIN_DONE';
        """

    private static let bad: [(rule: String, history: String)] = [
        (
            "a fire has one run",
            "UPDATE timetable.run_status SET scheduled_for = '2026-01-01 00:00:00Z' "
                + "WHERE run_status = 2"
        ),
        (
            "a fire that was due is accounted for",
            "DELETE FROM timetable.run_status WHERE run_status = 6"
        ),
        (
            "a fire that was due is accounted for",
            "UPDATE timetable.run_status SET missed_until = missed_until - interval '1 s' "
                + "WHERE run_status = 4"
        ),
        (
            "nothing fires that was not due",
            "UPDATE timetable.run_status SET scheduled_for = scheduled_for - interval '1 ms' "
                + "WHERE run_status = 7"
        ),
        (
            "a missed fire did not run, and is missed once",
            "UPDATE timetable.run_status SET missed_until = missed_until + interval '1 s' "
                + "WHERE run_status = 4"
        ),
        (
            "a MISSED row counts what it spans",
            "UPDATE timetable.run_status SET missed_count = 2 WHERE run_status = 4"
        ),
        (
            "a request has one run",
            "UPDATE timetable.run_status SET run_request = 501 WHERE run_status = 8"
        ),
        (
            "a request that was claimed has a run",
            "UPDATE timetable.run_status SET run_request = NULL WHERE run_status = 9"
        ),
        (
            "what has ended, and nothing else, says when",
            "UPDATE timetable.run_status SET finished = NULL WHERE run_status = 1"
        ),
        (
            "what has ended, and nothing else, says when",
            "UPDATE timetable.run_status SET execution_status = 'WAITING' WHERE run_status = 1"
        ),
        (
            "times are in order",
            "UPDATE timetable.run_status SET started = scheduled_for - interval '1 us' "
                + "WHERE run_status = 1"
        ),
        (
            "times are in order",
            "UPDATE timetable.run_status SET finished = started - interval '1 us' "
                + "WHERE run_status = 9"
        ),
        (
            "times are in order",
            "UPDATE timetable.run_request SET run_after = '2026-01-01 00:01:00Z'"
        ),
        (
            "a reason is given where one is due",
            "UPDATE timetable.run_status SET reason = NULL WHERE run_status = 3"
        ),
        (
            "a reason is given where one is due",
            "UPDATE timetable.run_status SET error = '' WHERE run_status = 6"
        ),
        (
            "a reason is given where one is due",
            "UPDATE timetable.run_status SET sqlstate = '57014' WHERE run_status = 1"
        ),
        (
            "attempts are as many as allowed",
            "UPDATE timetable.run_status SET attempt = 3 WHERE run_status = 8"
        ),
        (
            "a run is in the hands of a worker",
            "UPDATE timetable.run_status SET client_name = 'x' WHERE run_status = 1"
        ),
        (
            "a task belongs to a run",
            "UPDATE timetable.execution_log SET run_status = 99 WHERE run_status = 1"
        ),
        (
            "a task does not begin outside of its run",
            "UPDATE timetable.execution_log SET last_run = last_run - interval '1 s' "
                + "WHERE run_status = 1"
        ),
        (
            "a task does not begin outside of its run",
            "UPDATE timetable.execution_log SET last_run = last_run + interval '1 h', "
                + "finished = finished + interval '1 h' WHERE run_status = 7"
        ),
        (
            "a task that was done lies within its run",
            "UPDATE timetable.execution_log SET finished = finished + interval '11 s' "
                + "WHERE run_status = 1"
        ),
        (
            "attempts count up",
            "UPDATE timetable.execution_log SET last_run = last_run + interval '10 ms' "
                + "WHERE run_status = 8 AND attempt = 1"
        ),
        (
            "attempts count up",
            "UPDATE timetable.execution_log SET attempt = 2 WHERE run_status = 1"
        ),
        (
            "max_instances holds",
            "UPDATE timetable.run_status SET finished = finished + interval '20 s' "
                + "WHERE run_status IN (1, 2)"
        ),
        (
            "exclusive_execution holds",
            "UPDATE timetable.run_status SET started = started - interval '1 ms', "
                + "scheduled_for = NULL WHERE run_status = 11"
        ),
        (
            "excluded_execution_configs holds",
            "UPDATE timetable.run_status SET finished = finished + interval '1 ms' "
                + "WHERE run_status = 11"
        ),
        (
            "excluded_execution_configs holds",
            "UPDATE timetable.run_status SET started = started - interval '1.5 s', "
                + "scheduled_for = NULL WHERE run_status = 12"
        ),
        (
            "an end is final",
            "UPDATE timetable.run_status SET execution_status = 'CHAIN_DONE', error = NULL "
                + "WHERE run_status = 6"
        ),
        ("an end is final", "DELETE FROM timetable.run_status WHERE run_status = 9"),
        (
            "an end is final",
            "UPDATE timetable.run_status SET execution_status = 'STARTED' WHERE run_status = 6; "
                + "UPDATE timetable.run_status SET client_name = 'x' WHERE run_status = 6"
        ),
        (
            "nothing is left under way",
            "UPDATE timetable.run_status SET execution_status = 'STARTED', finished = NULL "
                + "WHERE run_status = 9"
        ),
        (
            "no request is left open",
            "UPDATE timetable.run_request SET claimed_at = NULL"
        ),
        (
            "what is done has its tasks in the log",
            "DELETE FROM timetable.execution_log WHERE run_status = 1"
        ),
        (
            "what is done has its effect once", "DELETE FROM effect WHERE run = 9"
        ),
        (
            "what is done has its effect once", "INSERT INTO effect VALUES (9)"
        ),
        (
            "what is not done has no effect", "INSERT INTO effect VALUES (6)"
        ),
        (
            "what is not done has no effect", "INSERT INTO effect VALUES (99)"
        ),
    ]

    @Test func aBadHistoryIsRejectedByItsRule() async throws {
        let served = try await Served.fresh("ledger")
        served.daemon.terminate()
        try await served.daemon.waitForExit()
        try await served.psql(Self.good + Ledger.watch)

        let epoch = WallInstant(microseconds: 1_767_225_600_000_000)
        var ledger = Ledger(
            due: [
                .init(
                    config: 101, every: .seconds(1), from: epoch,
                    through: epoch.advanced(byMicroseconds: 9_000_000))
            ], effects: "effect")
        ledger.isWatched = true
        #expect(try await ledger.findings(in: served.database) == [])
        for (rule, history) in Self.bad {
            let found = try await served.psql("BEGIN; \(history); \(ledger.sql) ROLLBACK;")
            #expect(found.contains(rule + ":"), "\(history): \(found)")
        }
        // Each rule has a history that it rejects.
        let rules = ledger.sql.split(separator: "\n").compactMap { line in
            line.hasPrefix("SELECT '") ? line.dropFirst(8).prefix(while: { $0 != ":" }) : nil
        }
        #expect(Set(rules.map(String.init)) == Set(Self.bad.map(\.rule)))
    }
}

import TestSupport
import Testing

/// What `timetable.why_not_running` answers.
struct WhyTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// Made from the config "it", whose id is 1; "other" is one more, with the id 2.
        var schedule = "@every 1h"
        var script = "SELECT 1"
        let made: String
        /// What to wait for before asking: a query that gives t.
        var until = "SELECT true"
        let says: [String]
        var doesNotSay: [String] = []
    }

    static let live = [
        Case(
            testDescription: "it fires next", made: "",
            says: ["It fires next at 20", ", in ", "It has never run."],
            doesNotSay: ["daemon", "skipped"]),
        Case(
            testDescription: "not live",
            made: "UPDATE timetable.chain_execution_config SET live = false",
            says: ["It is not live: only timetable.run starts it."],
            doesNotSay: ["It fires next"]),
        Case(
            testDescription: "no chain",
            made: "UPDATE timetable.chain_execution_config SET chain_id = NULL",
            says: ["It has no chain: its chain_id is NULL."], doesNotSay: ["It fires next"]),
        Case(
            testDescription: "paused for a while",
            made: "SELECT timetable.pause_job('it', 'no disk.', '2100-01-01 00:30Z')",
            says: [
                "It is paused until 2100-01-01 00:30:00+00 by postgres: no disk.",
                "It fires next at 2100-01-01 01:00:00+00",
            ]),
        Case(
            testDescription: "paused for good",
            made: "SELECT timetable.pause_job('it')", says: ["It is paused by postgres."],
            doesNotSay: ["It fires next", "It never fires"]),
        Case(
            testDescription: "paused no more",
            made: "SELECT timetable.pause_job('it'), timetable.resume_job('it')",
            says: ["It fires next at 20"], doesNotSay: ["paused"]),
        Case(
            testDescription: "@manual", schedule: "@manual", made: "",
            says: ["Its schedule is @manual: it runs only when it is asked for"]),
        Case(
            testDescription: "@reboot", schedule: "@reboot", made: "",
            says: ["Its schedule is @reboot: it runs once, when a daemon becomes ready."]),
        Case(
            testDescription: "over",
            made: "UPDATE timetable.chain_execution_config SET ends_at = '2020-01-01Z'",
            says: ["Its schedule is over: ends_at was 2020-01-01 00:00:00+00."]),
        Case(
            testDescription: "not begun",
            made: "UPDATE timetable.chain_execution_config SET starts_at = '2100-01-01Z'",
            says: [
                "Its schedule has not begun: starts_at is 2100-01-01 00:00:00+00.",
                "It fires next at 2100-01-01 00:00:00+00",
            ]),
        Case(
            testDescription: "its one time has passed", schedule: "@at 2020-01-01 09:00Z",
            made: "", says: ["Its one time has passed: @at 2020-01-01 09:00z."]),
        Case(
            testDescription: "no fire before its end", schedule: "0 0 1 1 *",
            made: """
                UPDATE timetable.chain_execution_config SET ends_at = now() + interval '1 s'
                """, says: ["It never fires any more."]),
        Case(
            testDescription: "@after, while it runs", schedule: "@after 1h",
            script: "SELECT pg_sleep(3600)", made: "",
            until: "SELECT count(*) = 1 FROM timetable.run_status",
            says: [
                "It runs now: run 1, since 20", "on worker \"worker001\".",
                "Its schedule is @after 1h: it fires so long after its run before has ended.",
            ]),
        Case(
            testDescription: "@after, before the next", schedule: "@after 1h", made: "",
            until: "SELECT count(*) = 1 FROM timetable.run_status WHERE finished IS NOT NULL",
            says: ["It fires next at 20", ", in 0", "Its last run, 1, was done at 20"]),
        Case(
            testDescription: "it runs, and is being cancelled", script: "SELECT pg_sleep(3600)",
            made: "SELECT timetable.run(1)",
            until: """
                UPDATE timetable.run_status SET cancel_requested_at = now()
                WHERE execution_status = 'STARTED' RETURNING true
                """, says: ["It runs now: run 1", ", and is being cancelled."]),
        Case(
            testDescription: "its worker never served",
            made: """
                UPDATE timetable.chain_execution_config SET client_name = 'w2';
                SELECT timetable.run(1);
                """, until: "SELECT count(*) = 1 FROM timetable.run_request",
            says: ["Request 1 waits: its worker \"w2\" does not serve; it never did."]),
        Case(
            testDescription: "its worker was stopped",
            made: """
                UPDATE timetable.chain_execution_config SET client_name = 'w2';
                INSERT INTO timetable.worker (client_name, host, pid, version, stopped_at)
                VALUES ('w2', '', 1, '', '2026-01-01Z');
                """,
            says: [
                "Its worker \"w2\" does not serve; it is stopped since 2026-01-01 00:00:00+00."
            ]),
        Case(
            testDescription: "it waits for what it excludes", script: "SELECT pg_sleep(3600)",
            made: """
                UPDATE timetable.chain_execution_config SET excluded_execution_configs = '{2}'
                WHERE chain_execution_config = 1;
                SELECT timetable.run('other');
                """,
            until: """
                SELECT CASE count(*) WHEN 1 THEN timetable.run(1) = 2 END
                FROM timetable.run_status WHERE execution_status = 'STARTED'
                """,
            says: [
                "Request 2 waits: excluded_execution_configs: run 1 of \"other\" is under way.",
                "A fire now would be skipped: excluded_execution_configs: run 1 of \"other\"",
            ]),
        Case(
            testDescription: "it waits for room", script: "SELECT pg_sleep(3600)",
            made: """
                UPDATE timetable.chain_execution_config SET max_instances = 1, overlap = 'WAIT';
                SELECT timetable.run(1), timetable.run(1);
                """,
            until: """
                SELECT count(*) = 1 FROM timetable.run_request
                WHERE claimed_at IS NULL AND blocked_at IS NOT NULL
                """,
            says: [
                "Request 2 waits: max_instances: 1 of this config are under way.",
                "A fire now would wait: max_instances allows no more than 1.",
            ]),
        Case(
            testDescription: "asked for later",
            made: "SELECT timetable.run(1, NULL, '2100-01-01 00:00Z')",
            says: ["Request 1 waits: its time is 2100-01-01 00:00:00+00."]),
        Case(
            testDescription: "its last fire was skipped", schedule: "@every 200ms",
            script: "SELECT pg_sleep(3600)",
            made: "UPDATE timetable.chain_execution_config SET max_instances = 1",
            until: "SELECT count(*) > 1 FROM timetable.run_status",
            says: [
                "It runs now: run ", "was SKIPPED: 1 runs of this config are under way",
                "A fire now would be skipped: max_instances allows no more than 1.",
            ]),
        Case(
            testDescription: "its last fires were missed",
            made: """
                INSERT INTO timetable.run_status (execution_status, chain_execution_config,
                    scheduled_for, missed_until, missed_count, finished, reason)
                VALUES ('MISSED', 1, '2026-01-01Z', '2026-01-02Z', 25, now(), 'nobody was there')
                """,
            says: [
                """
                Its last fires were MISSED, 25 from 2026-01-01 00:00:00+00 to \
                2026-01-02 00:00:00+00: nobody was there.
                """
            ]),
        Case(
            testDescription: "it failed, and is tried again", script: "SELECT 1/0",
            made: """
                UPDATE timetable.chain_execution_config SET retries = 1, retry_delay = '1 day';
                SELECT timetable.run(1);
                """,
            until: """
                SELECT count(*) = 1 FROM timetable.run_status WHERE execution_status = 'WAITING'
                """,
            says: ["Attempt 1 of run 1 failed: ", "zero", "Run 1 waits: its next attempt is 20"]),
        Case(
            testDescription: "it failed", script: "SELECT 1/0", made: "SELECT timetable.run(1)",
            until: "SELECT count(*) = 1 FROM timetable.run_status WHERE finished IS NOT NULL",
            says: ["Its last run, 1, ended at 20", " as CHAIN_FAILED: ", "division by zero."]),
        Case(
            testDescription: "a row that no daemon can read",
            made: """
                SET session_replication_role = replica;
                UPDATE timetable.chain_execution_config SET schedule = '61 * * * *'
                WHERE chain_execution_config = 1;
                NOTIFY timetable_config, 'chain_execution_config UPDATE 1';
                """,
            until: "SELECT count(*) = 1 FROM timetable.log WHERE log_level = 'ERROR'",
            says: ["Its schedule can't be read: ", "A daemon said: config 1 (it): "]),
        Case(
            testDescription: "a zone that is not there",
            made: """
                SET session_replication_role = replica;
                UPDATE timetable.chain_execution_config SET time_zone = 'Mars/Base'
                WHERE chain_execution_config = 1;
                """, says: ["Its time zone \"Mars/Base\" is not known."]),
        Case(
            testDescription: "deleted", made: "SELECT timetable.run(1)",
            until: """
                DELETE FROM timetable.chain_execution_config WHERE EXISTS (
                    SELECT FROM timetable.run_status WHERE finished IS NOT NULL)
                RETURNING true
                """, says: ["There is no config 1. It was deleted: it last ran at 20"]),
    ]

    @Test(arguments: live)
    func itSaysWhatIsInTheWay(_ row: Case) async throws {
        let served = try await Served.fresh("why")
        _ = try await served.addConfig(
            "it", [("SQL", row.script)], columns: "schedule, live",
            values: "'\(row.schedule)', false")
        try await served.psql(
            """
            INSERT INTO timetable.chain_execution_config (chain_id, chain_name, schedule, live)
            SELECT chain_id, 'other', '@manual', true FROM timetable.chain_execution_config;
            UPDATE timetable.chain_execution_config SET live = true;
            \(row.made);
            """)
        try await eventually("\(row.until) gives t") {
            try await served.psql(row.until).hasPrefix("t")
        }
        let answer = try await served.psql("SELECT timetable.why_not_running(1)")
        for text in row.says { #expect(answer.contains(text), "\(answer)") }
        for text in row.doesNotSay { #expect(!answer.contains(text), "\(answer)") }
        // What runs for an hour would be waited for.
        served.daemon.kill()
    }

    @Test func itSaysThatNobodyIsThere() async throws {
        let served = try await Served.fresh("why")
        let config = try await served.addConfig("it", [("SQL", "SELECT 1")])
        let byName = try await served.psql("SELECT timetable.why_not_running('it')")
        #expect(try await served.psql("SELECT timetable.why_not_running(\(config))") == byName)
        #expect(
            try await served.psql("SELECT timetable.why_not_running('its')")
                == "There is no config with the chain_name \"its\".")
        #expect(
            try await served.psql("SELECT timetable.why_not_running(4711)")
                == "There is no config 4711.")
        served.daemon.terminate()
        #expect(try await served.daemon.waitForExit() == .exited(0))
        let answer = try await served.psql("SELECT timetable.why_not_running('it')")
        #expect(
            answer.contains(
                "No daemon serves this database; the last was \"worker001\", stopped since 20"),
            "\(answer)")
        try await served.psql("DELETE FROM timetable.worker; SELECT timetable.run('it')")
        let never = try await served.psql("SELECT timetable.why_not_running('it')")
        #expect(
            never.contains("Request 1 waits: no daemon serves this database; it never did."),
            "\(never)")
    }
}

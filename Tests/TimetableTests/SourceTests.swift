import Foundation
import TestSupport
import Testing

/// Jobs of the real pg_cron and pgAgent, and of pg_timetable's tables.
struct SourceTests {
    /// The server has to load pg_cron, so it is one of its own.
    @Test func pgCron() async throws {
        let cluster = try await onOwnThread {
            try PrivateCluster(settings: [
                "shared_preload_libraries=pg_cron", "cron.database_name=postgres",
            ])
        }
        let source = TestDatabase(cluster: cluster, name: "postgres")
        try await source.psql(
            """
            CREATE EXTENSION pg_cron;
            CREATE ROLE alice LOGIN;
            SELECT cron.schedule('vacuum', '30 3 * * *', 'VACUUM ANALYZE');
            SELECT cron.schedule('either day', '0 0 13 * 5', 'SELECT 1');
            SELECT cron.schedule('@hourly', 'DELETE FROM log');
            UPDATE cron.job SET username = 'alice' WHERE jobname = 'either day';
            UPDATE cron.job SET active = false WHERE jobname = 'vacuum';
            GRANT USAGE ON SCHEMA cron TO alice;
            """)
        let jobs = try await JobDatabase("sources", on: cluster)
        try await source.psql(
            """
            SELECT cron.schedule_in_database('here', '*/10 * * * *', 'CALL p()',
                '\(jobs.database.name)', 'alice')
            """)
        let from = ["--from", source.connectionString]
        let said = try await jobs.lines(["import", "pg_cron"] + from)
        let there = "in host=\(cluster.folder) port=5432 dbname=postgres"
        for line in [
            "+ config \"vacuum\": schedule 30 3 * * *, time_zone GMT, live false, "
                + "max_instances 1, overlap WAIT",
            "    \"vacuum\" (\(there) user=postgres, autonomous): SQL VACUUM ANALYZE",
            "    \"either day\" (\(there) user=alice): SQL SELECT 1",
            "    \"here\" (run_uid alice, autonomous): SQL CALL p()",
            "+ config \"pg_cron job 3\": schedule @hourly, time_zone GMT, live true, "
                + "max_instances 1, overlap WAIT",
        ] {
            #expect(said.contains(line), "\(line) is missing in \(said)")
        }
        let again = try await jobs.lines(["import", "pg_cron"] + from)
        #expect(again.last == "Nothing to change.")
        #expect(try await source.psql("SELECT count(*) FROM cron.job") == "4")
        let others = try await jobs.lines(
            [
                "import", "pg_cron", "--dry-run", "--prefix", "a ", "--from",
                source.connectionString.replacing("user=postgres", with: "user=alice"),
            ])
        #expect(others.contains { $0.contains("pg_cron shows alice only its own") })
    }

    private static let agentJobs = """
        CREATE EXTENSION pgagent;
        CREATE FUNCTION flags(chosen int[], size int) RETURNS boolean[] LANGUAGE sql AS
        $$ SELECT array_agg(i = ANY (chosen) ORDER BY i) FROM generate_series(1, size) AS i $$;
        INSERT INTO pgagent.pga_job (jobjclid, jobname, jobenabled) VALUES
            (1, 'maintain', true), (1, 'two times', false), (1, 'no steps', true);
        INSERT INTO pgagent.pga_jobstep
            (jstjobid, jstname, jstkind, jstcode, jstdbname, jstonerror, jstenabled) VALUES
            (1, '2 last', 's', 'SELECT 1', current_database(), 's', true),
            (1, '1 first', 's', 'VACUUM', current_database(), 'f', true),
            (2, 'only', 's', 'SELECT 2', current_database(), 'f', true),
            (2, 'off', 's', 'SELECT 3', current_database(), 'f', false);
        INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstonerror) VALUES
            (1, '3 script', 'b', E'echo a\\necho b', 'i');
        INSERT INTO pgagent.pga_schedule
            (jscjobid, jscname, jscminutes, jschours, jscmonthdays, jscweekdays, jscmonths) VALUES
            (1, 's', flags('{31}', 60), flags('{3,4,5,24}', 24), flags('{13}', 32), flags('{6}', 7),
                flags('{}', 12)),
            (2, 'month ends', flags('{1}', 60), flags('{1}', 24), flags('{32}', 32), flags('{}', 7),
                flags('{1,12}', 12)),
            (2, 'odd', flags('{1}', 60), flags('{1}', 24), flags('{1,32}', 32), flags('{}', 7),
                flags('{}', 12));
        INSERT INTO pgagent.pga_exception (jexscid, jexdate) VALUES (1, '2031-06-13');
        """

    @Test func pgAgent() async throws {
        let jobs = try await JobDatabase("agent")
        try await jobs.psql(Self.agentJobs)
        let said = try await jobs.lines(["import", "pgagent"])
        for line in [
            "+ config \"maintain\": schedule 30 2-4,23 13 * +fri, time_zone UTC, live true, "
                + "max_instances 1",
            "    \"maintain: 1 first\" (autonomous): SQL VACUUM",
            "    \"maintain: 2 last\" (autonomous, ignore_error): SQL SELECT 1",
            "    \"maintain: 3 script\" (ignore_error): SHELL /bin/sh",
            #"        ["-c", "echo a\necho b"]"#,
            "+ config \"two times: month ends\": schedule 0 0 L 1,12 *, time_zone UTC, "
                + "live false, max_instances 1",
            "~ config \"two times: odd\": excluded \"two times: month ends\"",
        ] {
            #expect(said.contains(line), "\(line) is missing in \(said)")
        }
        for part in [
            "its exceptions (2031-06-13)", "job 3 (no steps): it has no enabled step",
            "the step off is disabled", "the last day of the month has no effect beside other days",
        ] {
            #expect(said.contains { $0.contains(part) }, "\(part) is missing in \(said)")
        }
        #expect(try await jobs.lines(["import", "pgagent"]).last == "Nothing to change.")
        // Both say when it fires next.
        let theirs = try await jobs.psql(
            """
            SELECT to_char(pgagent.pga_next_schedule(jscid, jscstart, jscend, jscminutes, jschours,
                jscweekdays, '{f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,f,t}',
                jscmonths), 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
            FROM pgagent.pga_schedule WHERE jscname = 'month ends'
            """)
        let ours = try await jobs.psql(
            """
            UPDATE timetable.chain_execution_config SET live = true
            WHERE chain_name = 'two times: month ends'
            """)
        #expect(ours == "")
        #expect(
            try await jobs.lines(["next", "two times: month ends", "--utc", "--count", "1"])
                == [theirs])
    }

    /// The tables of version 5 and later; a renamed schema beside ours.
    private static let timetable = """
        CREATE SCHEMA old;
        CREATE TYPE old.command_kind AS ENUM ('SQL', 'PROGRAM', 'BUILTIN');
        CREATE TABLE old.chain (
            chain_id bigserial PRIMARY KEY, chain_name text NOT NULL UNIQUE, run_at text,
            max_instances integer, timeout integer DEFAULT 0, live boolean DEFAULT false,
            self_destruct boolean DEFAULT false, exclusive_execution boolean DEFAULT false,
            client_name text, on_error text);
        CREATE TABLE old.task (
            task_id bigserial PRIMARY KEY, chain_id bigint, task_order double precision NOT NULL,
            task_name text, kind old.command_kind NOT NULL DEFAULT 'SQL', command text NOT NULL,
            run_as text, database_connection text, ignore_error boolean NOT NULL DEFAULT false,
            autonomous boolean NOT NULL DEFAULT false, timeout integer DEFAULT 0);
        CREATE TABLE old.parameter (
            task_id bigint, order_id integer, value jsonb, PRIMARY KEY (task_id, order_id));
        INSERT INTO old.chain (chain_name, run_at, live, timeout, on_error, max_instances) VALUES
            ('both', '30 2 13 * 5', true, 90000, 'INSERT INTO failure VALUES (1)', 2),
            ('every', '@every 90 minutes', true, 0, NULL, NULL),
            ('night', '30 2 * * *', true, 0, NULL, NULL),
            ('empty', NULL, true, 0, NULL, NULL);
        INSERT INTO old.task (chain_id, task_order, task_name, kind, command, run_as,
            database_connection, ignore_error, autonomous, timeout) VALUES
            (1, 20, 'second', 'PROGRAM', '/bin/echo', NULL, NULL, true, false, 500),
            (1, 10, NULL, 'SQL', 'SELECT $1::int', 'alice', 'host=h password=secret', false, true,
                0),
            (2, 1, NULL, 'BUILTIN', 'Sleep', NULL, NULL, false, false, 0),
            (3, 1, NULL, 'SQL', 'SELECT 1', NULL, NULL, false, false, 0);
        INSERT INTO old.parameter VALUES (2, 5, '[2]'), (2, 1, '[1]'), (1, 1, '["a"]'), (3, 1, '5'),
            (4, 1, NULL);
        """

    @Test func pgTimetable() async throws {
        let jobs = try await JobDatabase("timetable")
        let name = jobs.database.name
        try await jobs.psql(
            "ALTER DATABASE \(name) SET TimeZone = 'Europe/Berlin';" + Self.timetable)
        let said = try await jobs.lines(["import", "pg_timetable", "--schema", "old"])
        for line in [
            "+ config \"both\": schedule 30 2 13 * +5, time_zone Europe/Berlin, live true, "
                + "max_instances 2, timeout 1 minute 30 seconds",
            "    \"both: task 1\" (run_uid alice, in host=h, autonomous): SQL SELECT $1::int",
            "        [1]", "        [2]",
            "    \"both: second\" (ignore_error, timeout 500 milliseconds): SHELL /bin/echo",
            "+ config \"every\": schedule @every 1 hour 30 minutes, live true",
            "~ config \"both\": on_failure \"both: on error\"",
        ] {
            #expect(said.contains(line), "\(line) is missing in \(said)")
        }
        for part in [
            "chain 1 (both): both the day and the day of week have to match in pg_timetable",
            "chain 1 (both): the password of its database connection is left out",
            "chain 3 (night): a time that the clock change leaves out fires right after it",
            "chain 3 (night): a time that comes twice fires the first time only",
            "chain 4 (empty): it has no tasks",
        ] {
            #expect(said.contains { $0.contains(part) }, "\(part) is missing in \(said)")
        }
        #expect(!(try await jobs.everything()).contains("secret "))
        let again = try await jobs.lines(["import", "pg_timetable", "--schema", "old"])
        #expect(again.last == "Nothing to change.")
        let missing = try await jobs.carillon(["import", "pg_timetable"])
        #expect(missing.stderr.contains("has no table \"timetable\".chain of pg_timetable"))
    }

    /// Version 4.0 had its commands in a table, tasks linked by `parent_id`.
    @Test func theFirstTablesOfVersionFour() async throws {
        let jobs = try await JobDatabase("timetable4")
        try await jobs.psql(
            """
            CREATE SCHEMA old;
            CREATE TABLE old.command (command_id bigint, name text, kind text, script text);
            CREATE TABLE old.task (task_id bigint, parent_id bigint, command_id bigint,
                run_as text, database_connection text, ignore_error boolean, autonomous boolean);
            CREATE TABLE old.chain (chain_id bigint, task_id bigint, chain_name text, run_at text,
                max_instances integer, live boolean, self_destruct boolean,
                exclusive_execution boolean, client_name text);
            CREATE TABLE old.parameter (
                chain_id bigint, task_id bigint, order_id integer, value jsonb);
            INSERT INTO old.command VALUES (7, 'say', 'PROGRAM', '/bin/echo'),
                (8, 'count', 'SQL', 'SELECT 1'), (3, 'Log', 'BUILTIN', 'Log');
            INSERT INTO old.task VALUES (1, NULL, 8), (2, 1, 7), (3, 2, 3);
            INSERT INTO old.chain (chain_id, task_id, chain_name, run_at, live, client_name) VALUES
                (1, 1, 'one', '@reboot', true, 'w1'), (2, 1, 'two', '1 2 * * *', false, NULL);
            INSERT INTO old.parameter VALUES (1, 2, 1, '["from one"]'), (2, 2, 1, '["from two"]');
            """)
        let said = try await jobs.lines(["import", "pg_timetable", "--schema", "old"])
        for line in [
            "+ config \"one\": schedule @reboot, live true, client_name w1",
            "    \"one: count\": SQL SELECT 1", "    \"one: say\": SHELL /bin/echo",
            "        [\"from one\"]", "    \"Log\"", "    \"two: say\": SHELL /bin/echo",
            "        [\"from two\"]",
        ] {
            #expect(said.contains(line), "\(line) is missing in \(said)")
        }
    }
}

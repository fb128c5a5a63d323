import TestSupport
import Testing

/// A database whose owner is an ordinary role, with a login role for each of ours, made by
/// `carillon migrate --roles`, and a daemon that takes no raw notifications.
struct RoleStage: Sendable {
    let database: TestDatabase
    let served: Served
    /// Login roles by what they may do: `admin`, `author`, `other` (an author too), `operator`,
    /// `reader`, `both` (author and reader), `stranger`, and `owner`.
    func login(_ who: String) -> String { "\(who)_\(database.name)" }

    static func made() async throws -> RoleStage {
        let database = try await PrivateCluster.database("roles")
        func login(_ who: String) -> String { "\(who)_\(database.name)" }
        try await database.psql(
            "CREATE ROLE \(login("owner")) LOGIN; "
                + "GRANT CREATE ON DATABASE \(database.name) TO \(login("owner"))")
        let carillon = try DaemonProcess.builtCarillon()
        for arguments in [["--user", login("owner")], ["--roles"], ["--roles"]] {
            let result = try await runProgram(
                carillon, ["migrate"] + arguments, environment: database.environment)
            try #require(result.end == .exited(0), "\(result.stderr)")
        }
        let members = [
            "admin": "admin", "author": "author", "other": "author", "operator": "operator",
            "reader": "reader", "both": "author, timetable_reader",
        ]
        for (name, role) in members {
            try await database.psql(
                "CREATE ROLE \(login(name)) LOGIN; GRANT timetable_\(role) TO \(login(name))")
        }
        try await database.psql(
            "CREATE ROLE \(login("stranger")) LOGIN; CREATE SCHEMA own; "
                + "GRANT ALL ON SCHEMA own TO PUBLIC")
        let served = try await Served.on(
            database, ["--user", login("owner"), "--no-notify"])
        let stage = RoleStage(database: database, served: served)
        try await stage.fill()
        return stage
    }

    /// Config 1 is the admin's; chains 2 and 3 are open to the authors, 4 to one of them.
    private func fill() async throws {
        try await psql(
            "owner", "CREATE TABLE own.seen (value text); GRANT ALL ON own.seen TO PUBLIC")
        try await psql(
            "admin",
            """
            SELECT timetable.add_job('nightly', '@manual', 'SELECT pg_sleep($1::float)',
                parameters := '[[0]]', secret := true);
            INSERT INTO timetable.database_connection (connect_string)
            VALUES ('host=/nowhere password=s3cret-pass');
            INSERT INTO timetable.base_task (name, kind, script) VALUES
                ('note', 'SQL', 'INSERT INTO own.seen VALUES ($1)'), ('echo', 'SHELL', '/bin/echo');
            INSERT INTO timetable.task_chain (task_id) VALUES (7), (8), (-4);
            INSERT INTO timetable.chain_author VALUES (2, 'timetable_author'),
                (3, 'timetable_author'), (4, '\(login("author"))');
            """)
        try await psql(
            "author",
            """
            SELECT timetable.add_job('mine', '@manual', chain := 2,
                parameters := '[["from author"]]');
            SELECT timetable.add_job('copy', '@manual', chain := 4)
            """)
        try await psql(
            "other",
            """
            SELECT timetable.add_job('theirs', '@manual', chain := 2,
                parameters := '[["from other"]]', secret := true)
            """)
    }

    @discardableResult
    func psql(_ who: String, _ sql: String) async throws -> String {
        try await database.psql(sql, user: login(who))
    }

    /// What comes of a statement: `42501`, or the rows that it gave.
    func outcome(_ who: String, _ sql: String) async throws -> String {
        do {
            return try await psql(who, "\\set VERBOSITY sqlstate\n\(sql)")
        } catch let error as PsqlFailed {
            return String(error.stderr.split(whereSeparator: \.isWhitespace).last ?? "?")
        }
    }
}

struct RoleTests {
    private static let refused = "42501"
    private static let insert =
        "INSERT INTO timetable.chain_execution_config (chain_name, schedule, "

    private static let madeUp = "jsonb_populate_record(NULL::timetable.run_status"

    /// Each is refused with this SQLSTATE, or changes and shows nothing.
    private static let forbiddenToAnAuthor: [(String, String)] = [
        ("INSERT INTO timetable.base_task (name, script) VALUES ('x', 'SELECT 1')", refused),
        ("UPDATE timetable.base_task SET script = 'SELECT 2'", refused),
        ("DELETE FROM timetable.base_task", refused),
        ("SELECT script FROM timetable.base_task", refused),
        ("INSERT INTO timetable.task_chain (task_id) VALUES (7)", refused),
        ("UPDATE timetable.task_chain SET run_uid = 'root' WHERE chain_id = 2", refused),
        ("SELECT run_uid FROM timetable.task_chain", refused),
        ("SELECT timetable.insert_base_task('note', 2)", refused),
        ("SELECT timetable.add_job('x', '@manual', 'DROP TABLE own.seen')", refused),
        ("SELECT timetable.add_job('mine', program := '/bin/sh')", refused),
        ("SELECT timetable.add_job('mine', run_uid := 'postgres')", refused),
        ("SELECT timetable.add_job('mine', database_connection := 'host=x')", refused),
        ("SELECT connect_string FROM timetable.database_connection", refused),
        ("SELECT * FROM timetable.log", refused),
        ("SELECT * FROM timetable.worker", refused),
        ("INSERT INTO timetable.chain_author VALUES (1, current_user)", refused),
        // Chains that are not open, limits of others, rows of others.
        ("\(insert)chain_id) VALUES ('x', '@manual', 1)", refused),
        ("UPDATE timetable.chain_execution_config SET chain_id = 1", refused),
        ("SELECT timetable.add_job('x', '@manual', chain := 1)", refused),
        ("\(insert)exclusive_execution) VALUES ('x', '@manual', true)", refused),
        ("SELECT timetable.add_job('mine', exclusive := true)", refused),
        ("\(insert)excluded_execution_configs) VALUES ('x', '@manual', '{1}')", refused),
        ("\(insert)excluded_execution_configs) VALUES ('x', '@manual', '{999}')", refused),
        ("\(insert)excluded_execution_configs) VALUES ('x', '@manual', '{2, 4}')", refused),
        ("\(insert)on_failure) VALUES ('x', '@manual', 1)", refused),
        (
            "UPDATE timetable.chain_execution_config SET on_failure = 4 WHERE chain_name = 'mine'",
            refused
        ),
        ("\(insert)owner) VALUES ('x', '@manual', 'postgres')", refused),
        ("UPDATE timetable.chain_execution_config SET owner = 'timetable_admin'", refused),
        ("\(insert)chain_execution_config) VALUES ('x', '@manual', 50)", refused),
        ("\(insert)scheduled_since) VALUES ('x', '@manual', '2000-01-01')", refused),
        ("UPDATE timetable.chain_execution_config SET paused_until = 'infinity'", refused),
        ("\(insert)live) VALUES ('nightly', '@manual', true)", "23505"),
        (
            "SELECT chain_name FROM timetable.chain_execution_config WHERE chain_name IN ('nightly', 'theirs')",
            ""
        ),
        (
            "UPDATE timetable.chain_execution_config SET live = false WHERE chain_name = 'theirs' RETURNING 1",
            ""
        ),
        (
            "DELETE FROM timetable.chain_execution_config WHERE chain_execution_config IN (1, 4) RETURNING 1",
            ""
        ),
        ("TRUNCATE timetable.chain_execution_parameters", refused),
        (
            "SELECT value FROM timetable.chain_execution_parameters WHERE chain_execution_config IN (1, 4)",
            ""
        ),
        (
            "UPDATE timetable.chain_execution_parameters SET value = '[1]' WHERE chain_execution_config = 4 RETURNING 1",
            ""
        ),
        ("INSERT INTO timetable.chain_execution_parameters VALUES (1, 1, 2, '[9]')", refused),
        ("SELECT value FROM timetable.shown_parameters WHERE chain_execution_config IN (1, 4)", ""),
        (
            """
            \(insert)live) VALUES ('theirs', '@daily', true)
            ON CONFLICT (chain_name) DO UPDATE SET live = true
            """, refused
        ),
        ("UPDATE timetable.chain_execution_config SET chain_name = 'theirs'", "23505"),
        ("SELECT timetable.config_named('theirs')", "22023"),
        ("SELECT timetable.next_fires(4)", "22023"),
        ("SELECT timetable.delete_job('theirs')", "22023"),
        ("SELECT chain_name FROM timetable.jobs WHERE chain_name NOT IN ('mine', 'copy')", ""),
        ("SELECT chain_name FROM timetable.running", ""),
        ("SELECT chain_name FROM timetable.failures", ""),
        ("SELECT timetable.why_not_running(1)", refused),
        ("CALL timetable.prune()", refused),
        // Parameters that are as good as code.
        (
            """
            INSERT INTO timetable.chain_execution_parameters
            SELECT chain_execution_config, 4, 1, '{"sql": "COPY own.seen TO STDOUT", "cmd": "sh"}'
            FROM timetable.chain_execution_config WHERE chain_name = 'copy'
            """, refused
        ),
        (
            """
            UPDATE timetable.chain_execution_parameters SET chain_id = 4
            WHERE chain_execution_config = 2
            """, refused
        ),
        ("SELECT timetable.run('copy', '[{\"cmd\": \"sh\"}]')", refused),
        // Runs.
        ("SELECT timetable.run(1)", refused),
        ("SELECT timetable.run('nightly')", "22023"),
        ("SELECT timetable.request_run(4, NULL, NULL)", refused),
        ("SELECT timetable.cancel(1)", refused),
        ("SELECT timetable.cancel_run(1, NULL)", refused),
        ("SELECT timetable.pause_job('nightly')", "22023"),
        ("SELECT timetable.set_pause(1, 'infinity', NULL)", refused),
        ("SELECT timetable.set_pause_directly(1, 'infinity', NULL)", refused),
        ("INSERT INTO timetable.run_request (chain_execution_config) VALUES (2)", refused),
        ("UPDATE timetable.run_status SET execution_status = 'CHAIN_DONE'", refused),
        ("SELECT parameters FROM timetable.run_status", refused),
        ("SELECT parameters FROM timetable.run_request", refused),
        ("SELECT run_status FROM timetable.run_status WHERE chain_execution_config = 1", ""),
        ("SELECT output FROM timetable.execution_log WHERE chain_execution_config = 1", ""),
        ("SELECT * FROM timetable.shown_run_parameters WHERE chain_execution_config = 1", ""),
        ("DELETE FROM timetable.execution_log", refused),
        // What is the daemon's.
        ("SELECT * FROM timetable.claim_fires('{1}', '{0}', '{0}', 'x')", refused),
        ("SELECT * FROM timetable.claim_requests('{1}', 'x')", refused),
        ("SELECT * FROM timetable.take_notified('{mine}')", refused),
        (
            "SELECT timetable.end_runs('{1}', '{1}', '{CHAIN_DONE}', '{NULL}', '{NULL}', 'worker001')",
            refused
        ),
        ("SELECT timetable.chain_done(1, 1, 'worker001', NULL, NULL)", refused),
        ("SELECT timetable.bury('worker001', 0, 'x')", refused),
        ("SELECT timetable.end_sessions('worker001', '{}')", refused),
        ("SELECT timetable.redact_runs('{1}')", refused),
        ("INSERT INTO timetable.schema_version VALUES (999)", refused),
        (
            "INSERT INTO timetable.worker (client_name, host, pid, version) VALUES ('x', '', 1, '')",
            refused
        ),
        // Ways around.
        ("SELECT timetable.current_task(\(madeUp), '{\"run_status\": 0, \"chain_id\": 1}'))", ""),
        ("SET row_security = off; SELECT 1 FROM timetable.chain_execution_config", refused),
        ("ALTER TABLE timetable.chain_execution_config DISABLE ROW LEVEL SECURITY", refused),
        ("ALTER TABLE timetable.chain_execution_config DISABLE TRIGGER ALL", refused),
        ("SET session_replication_role = replica", refused),
        ("CREATE FUNCTION timetable.x() RETURNS void LANGUAGE sql AS ''", refused),
        ("SET ROLE timetable_admin", refused),
        (
            """
            CREATE TEMP TABLE t (LIKE timetable.chain_execution_config);
            CREATE TRIGGER t AFTER INSERT ON t REFERENCING NEW TABLE AS new_rows
            FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_configs()
            """, refused
        ),
    ]

    private static let forbiddenToAnOperator = [
        "INSERT INTO timetable.base_task (name, script) VALUES ('x', 'SELECT 1')",
        "UPDATE timetable.chain_execution_config SET live = false",
        "UPDATE timetable.chain_execution_config SET paused_until = 'infinity'",
        "DELETE FROM timetable.chain_execution_config",
        "INSERT INTO timetable.run_request (chain_execution_config) VALUES (1)",
        "UPDATE timetable.run_status SET cancel_requested_at = now()",
        "SELECT timetable.run(1, '[[1]]')",
        "SELECT timetable.request_run(1, '{}', NULL)",
        "SELECT timetable.add_job('nightly', '@daily')",
        "SELECT timetable.delete_job('nightly')",
        "SELECT connect_string FROM timetable.database_connection",
        "SELECT value FROM timetable.chain_execution_parameters",
        "SELECT parameters FROM timetable.run_status",
    ]

    private static let forbiddenToAReader =
        forbiddenToAnOperator + [
            "SELECT timetable.run(1)", "SELECT timetable.cancel(1)",
            "SELECT timetable.request_run(1, NULL, NULL)", "SELECT timetable.cancel_run(1, NULL)",
            "SELECT timetable.pause_job('nightly')", "SELECT timetable.resume_job('nightly')",
            "SELECT timetable.set_pause(1, NULL, NULL)", "SELECT * FROM timetable.worker_backend",
            "DELETE FROM timetable.log", "SELECT parameters FROM timetable.run_request",
        ]

    @Test func whatIsForbiddenIsRefused() async throws {
        let stage = try await RoleStage.made()
        #expect(try await stage.served.run(1) == "CHAIN_DONE||")
        #expect(try await stage.served.run(1, "'[[\"x\"]]'").hasPrefix("CHAIN_FAILED|"))
        try await stage.served.psql("SELECT timetable.run(1, NULL, now() + interval '1 day')")
        try await stage.served.waitFor("2", "SELECT count(*) FROM timetable.execution_log")
        let before = try await digest(stage)
        for (sql, expected) in Self.forbiddenToAnAuthor {
            let outcome = try await stage.outcome("author", sql)
            #expect(outcome == expected, "author: \(sql)")
        }
        for sql in Self.forbiddenToAnOperator {
            let outcome = try await stage.outcome("operator", sql)
            #expect(outcome == Self.refused, "operator: \(sql)")
        }
        for sql in Self.forbiddenToAReader {
            let outcome = try await stage.outcome("reader", sql)
            #expect(outcome == Self.refused, "reader: \(sql)")
        }
        for table in ["base_task", "chain_execution_config", "run_status", "workers"] {
            let outcome = try await stage.outcome("stranger", "SELECT 1 FROM timetable.\(table)")
            #expect(outcome == Self.refused, "stranger: \(table)")
        }
        for sql in [
            "INSERT INTO timetable.schema_version VALUES (5)", "SET ROLE \(stage.login("owner"))",
        ] {
            #expect(try await stage.outcome("admin", sql) == Self.refused, "admin: \(sql)")
        }
        #expect(try await digest(stage) == before)
    }

    /// Everything that could have been changed.
    private func digest(_ stage: RoleStage) async throws -> String {
        try await stage.served.psql(
            """
            SELECT string_agg(md5(t::text), ',' ORDER BY md5(t::text))
            FROM (
                SELECT to_jsonb(t) AS t FROM timetable.base_task t
                UNION ALL SELECT to_jsonb(t) FROM timetable.task_chain t
                UNION ALL SELECT to_jsonb(t) FROM timetable.chain_execution_config t
                UNION ALL SELECT to_jsonb(t) FROM timetable.chain_execution_parameters t
                UNION ALL SELECT to_jsonb(t) FROM timetable.chain_author t
                UNION ALL SELECT to_jsonb(t) FROM timetable.run_status t
                UNION ALL SELECT to_jsonb(t) FROM timetable.run_request t
            ) AS t
            """)
    }

    @Test func anAuthorWorksWithHisOwn() async throws {
        let stage = try await RoleStage.made()
        let served = stage.served
        let request = try await stage.psql("author", "SELECT timetable.run('mine')")
        #expect(try await served.end(ofRequest: request) == "CHAIN_DONE||")
        let other = try await stage.psql(
            "author", "SELECT timetable.run('mine', '[[\"once\"]]')")
        #expect(try await served.end(ofRequest: other) == "CHAIN_DONE||")
        #expect(
            try await served.psql("SELECT string_agg(value, ',' ORDER BY value) FROM own.seen")
                == "from author,once")
        try await served.waitFor("2", "SELECT count(*) FROM timetable.execution_log")
        #expect(
            try await stage.psql(
                "author",
                """
                SELECT count(*), (SELECT count(*) FROM timetable.execution_log),
                    (SELECT string_agg(parameters::text, ',' ORDER BY run_status)
                        FROM timetable.shown_run_parameters),
                    (SELECT count(*) FROM timetable.run_request)
                FROM timetable.run_status
                """) == #"2|2|{"2": [["from author"]]},{"2": [["once"]]}|2"#)
        #expect(
            try await stage.psql(
                "author",
                "SELECT string_agg(chain_id || name, ',' ORDER BY chain_id) "
                    + "FROM timetable.open_chain") == "2note,3echo,4CopyToProgram")
        #expect(try await stage.psql("other", "SELECT count(*) FROM timetable.run_status") == "0")
        // Views with what its functions look up elsewhere.
        try await stage.psql(
            "author", "SELECT timetable.run('mine', NULL, now() + interval '1 day')")
        #expect(
            try await stage.psql(
                "author",
                """
                SELECT chain_name, last_outcome, waiting,
                    (SELECT reason LIKE 'its time is %' FROM timetable.running),
                    timetable.why_not_running('mine') LIKE '%Its last run, 2, was done at %'
                FROM timetable.jobs WHERE chain_name = 'mine'
                """) == "mine|CHAIN_DONE|1|t|t")
    }

    /// Fires by the clock, by a row of his own; then a pause, a change, the end.
    @Test func anAuthorSchedulesPausesAndDeletes() async throws {
        let stage = try await RoleStage.made()
        let served = stage.served
        try await stage.psql(
            "author",
            """
            INSERT INTO timetable.chain_execution_config
                (chain_id, chain_name, schedule, live, client_name)
            VALUES (3, 'ticks', '* * * * * *', true, 'worker001');
            SELECT timetable.add_job('ticks', arguments := '{tick}', on_failure := 'mine',
                excluded := '{mine}')
            """)
        try await served.waitFor(
            "tick",
            "SELECT rtrim(output, E'\\n') FROM timetable.execution_log "
                + "WHERE output LIKE 'tick%' LIMIT 1")
        try await stage.psql("author", "SELECT timetable.pause_job('ticks', 'enough')")
        #expect(
            try await served.psql(
                "SELECT paused_by, owner FROM timetable.chain_execution_config "
                    + "WHERE chain_name = 'ticks'")
                == "\(stage.login("author"))|\(stage.login("author"))")
        #expect(try await stage.psql("author", "SELECT timetable.resume_job('ticks')") == "t")
        // Closed again: it can be stopped and deleted, and not be changed.
        try await stage.psql("admin", "DELETE FROM timetable.chain_author WHERE chain_id = 3")
        let change =
            "UPDATE timetable.chain_execution_config SET retries = 1 WHERE chain_name = 'ticks'"
        #expect(try await stage.outcome("author", change) == Self.refused)
        try await stage.psql("author", "SELECT timetable.delete_job('ticks')")
        // The chain is left to others, his elements to nobody.
        #expect(try await served.psql("SELECT count(*) FROM timetable.task_chain") == "4")
        // A group may own a config.
        try await stage.psql(
            "author",
            """
            SET ROLE timetable_author; SELECT timetable.add_job('shared', '@manual', chain := 2)
            """)
        #expect(
            try await stage.psql("other", "SELECT timetable.config_named('shared') > 0") == "t")
    }

    @Test func anOperatorRunsAndStopsWhatOthersMade() async throws {
        let stage = try await RoleStage.made()
        let served = stage.served
        try await stage.psql(
            "admin", "SELECT timetable.add_job('nightly', parameters := '[[60]]', secret := true)")
        let request = try await stage.psql("operator", "SELECT timetable.run('nightly')")
        try await served.waitFor(
            "STARTED", "SELECT execution_status FROM timetable.run_status")
        #expect(
            try await stage.psql(
                "operator", "SELECT parameters FROM timetable.shown_run_parameters")
                == #"{"1": ["***"]}"#)
        try await stage.psql(
            "operator",
            "SELECT timetable.cancel(run_status, 'too long') FROM timetable.run_status")
        #expect(try await served.end(ofRequest: request).hasPrefix("CANCELLED|"))
        #expect(
            try await served.psql(
                "SELECT reason, cancel_requested_by FROM timetable.run_status")
                == "too long|\(stage.login("operator"))")
        try await stage.psql("operator", "SELECT timetable.pause_job('mine', 'wait')")
        #expect(
            try await stage.psql("operator", "SELECT timetable.resume_job('mine')") == "t")
        let mine = try await stage.psql("operator", "SELECT timetable.run('mine')")
        #expect(try await served.end(ofRequest: mine) == "CHAIN_DONE||")
        #expect(
            try await served.psql(
                "SELECT requested_by FROM timetable.run_request WHERE run_request = \(mine)")
                == stage.login("operator"))
    }

    @Test func aReaderSeesWhatIsNoSecret() async throws {
        let stage = try await RoleStage.made()
        #expect(try await stage.served.run(1) == "CHAIN_DONE||")
        let seen = try await stage.psql(
            "reader",
            """
            SELECT (SELECT count(*) FROM timetable.chain_execution_config),
                (SELECT count(*) FROM timetable.run_status),
                (SELECT string_agg(value::text, ',' ORDER BY chain_execution_config)
                    FROM timetable.shown_parameters),
                (SELECT count(*) FROM timetable.workers WHERE state = 'serving'),
                (SELECT count(database_connection) FROM timetable.database_connection),
                timetable.next_run('nightly') IS NULL, (SELECT count(*) > 0 FROM timetable.log),
                (SELECT count(*) FROM timetable.jobs), (SELECT count(*) FROM timetable.running),
                timetable.why_not_running(1) LIKE '%@manual%'
            """)
        #expect(seen == #"4|1|"***",["from author"],"***"|1|1|t|t|4|0|t"#)
        // Both at once: rows of others are seen, and neither changed nor their parameters read.
        for (sql, expected) in [
            ("SELECT count(*) FROM timetable.chain_execution_config", "4"),
            ("SELECT value FROM timetable.chain_execution_parameters", ""),
            ("UPDATE timetable.chain_execution_config SET live = false RETURNING 1", ""),
            ("DELETE FROM timetable.chain_execution_config RETURNING 1", ""),
            ("SELECT timetable.run('nightly')", Self.refused),
            (
                "\(Self.insert)on_failure) VALUES ('x', '@manual', 1)", Self.refused
            ),
            ("SELECT parameters FROM timetable.run_status", Self.refused),
        ] {
            #expect(try await stage.outcome("both", sql) == expected, "both: \(sql)")
        }
    }

    @Test func noRoleLendsItsRights() async throws {
        let stage = try await RoleStage.made()
        // By a function of his for somebody who has none.
        for (lender, sql) in [
            ("author", "timetable.request_run(1, NULL, NULL)"),
            ("operator", "timetable.request_run(1, NULL, NULL)"),
            ("author", "timetable.cancel_run(1, NULL)"),
        ] {
            try await stage.psql(
                lender,
                """
                CREATE OR REPLACE FUNCTION own.lent_by_\(lender)() RETURNS void LANGUAGE sql
                SECURITY DEFINER AS $$ SELECT \(sql) $$
                """)
            let outcome = try await stage.outcome("stranger", "SELECT own.lent_by_\(lender)()")
            #expect(outcome == Self.refused, "\(lender): \(sql)")
        }
        // By a function that sees rows before the view hides them.
        let seen = try await stage.psql(
            "author",
            """
            CREATE FUNCTION pg_temp.look(jsonb) RETURNS boolean LANGUAGE plpgsql COST 0.0001
            AS $$ BEGIN INSERT INTO own.seen VALUES ($1::text); RETURN true; END $$;
            SELECT count(*) FROM timetable.shown_parameters WHERE pg_temp.look(value);
            SELECT string_agg(value, ',') FROM own.seen
            """)
        #expect(seen == "1\n[\"from author\"]")
    }
}

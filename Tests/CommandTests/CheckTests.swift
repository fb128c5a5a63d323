import Foundation
import TestSupport
import Testing

@Suite struct CheckTests {
    /// A config with one thing wrong, or none: SQL that makes it, and the codes that are expected.
    struct Case: Sendable {
        let name: String
        let codes: Set<String>
        let sql: String

        init(_ name: String, _ codes: Set<String>, _ sql: String) {
            (self.name, self.codes, self.sql) = (name, codes, sql)
        }

        /// Made by add_job, whose remaining arguments are `arguments`.
        init(_ name: String, _ codes: Set<String>, job arguments: String, then: String = "") {
            self.init(
                name, codes, "SELECT timetable.add_job('\(name)', \(arguments)); \(then)")
        }

        /// With one task that is a built-in.
        init(_ name: String, _ codes: Set<String>, builtIn: String, _ parameters: String?) {
            let rows =
                parameters.map {
                    """
                    INSERT INTO timetable.chain_execution_parameters
                    SELECT chain_execution_config, chain_id, 1, $p$\($0)$p$
                    FROM timetable.chain_execution_config WHERE chain_name = '\(name)';
                    """
                } ?? ""
            self.init(
                name, codes,
                """
                INSERT INTO timetable.base_task (name, kind, script)
                VALUES ('\(builtIn)', 'BUILTIN', '\(builtIn)') ON CONFLICT DO NOTHING;
                INSERT INTO timetable.task_chain (task_id)
                SELECT task_id FROM timetable.base_task WHERE name = '\(builtIn)';
                INSERT INTO timetable.chain_execution_config (chain_id, chain_name, schedule, live)
                SELECT max(chain_id), '\(name)', '@daily', true FROM timetable.task_chain;
                \(rows)
                """)
        }
    }

    private static func change(_ name: String, _ columns: String) -> String {
        """
        UPDATE timetable.chain_execution_config SET \(columns) WHERE chain_name = '\(name)';
        """
    }

    private static func element(_ name: String, _ columns: String) -> String {
        """
        UPDATE timetable.task_chain t SET \(columns) FROM timetable.base_task b
        WHERE b.task_id = t.task_id AND b.name = '\(name)';
        """
    }

    /// What no trigger would let in, but an older version, or a superuser.
    private static func forced(_ sql: String) -> String {
        "SET session_replication_role = replica; \(sql) RESET session_replication_role;"
    }

    private static let insert = "'@daily', 'INSERT INTO report VALUES ($1, $2)'"
    private static let mail = """
        "ServerHost": "h", "SenderAddr": "a@example.com", "ToAddr": ["b@example.com"]
        """

    static let cases: [Case] = [
        Case("good", [], job: "\(insert), parameters := '[[\"2026-01-01\", 5]]'"),
        Case("good program", [], job: "'@daily', program := '/bin/true'"),
        Case("good vacuum", ["sql-syntax-only"], job: "'@daily', 'VACUUM', autonomous := true"),
        Case("good script", [], job: "'@daily', 'SELECT 1; SELECT 2'"),
        Case("good mail", [], builtIn: "SendMail", "{\(mail)}"),
        Case("good sleep", [], builtIn: "Sleep", "0.5"),
        Case(
            "schedule", ["schedule-syntax"], job: "'@daily', 'SELECT 1'",
            then: forced(change("schedule", "schedule = '61 * * * *'"))),
        Case(
            "zone", ["zone-unknown", "zone-missing-here"], job: "'@daily', 'SELECT 1'",
            then: forced(change("zone", "time_zone = 'Mars/Base'"))),
        Case(
            "far", ["schedule-far"], job: "'@daily', 'SELECT 1'",
            then: change("far", "starts_at = now() + interval '3 years'")),
        Case(
            "over", ["schedule-over"], job: "'@daily', 'SELECT 1'",
            then: change("over", "ends_at = now() - interval '1 day'")),
        Case(
            "no chain", ["no-chain"],
            """
            INSERT INTO timetable.chain_execution_config (chain_name, schedule, live)
            VALUES ('no chain', '@daily', true);
            """),
        Case(
            "worker", ["worker-absent"], job: "'@daily', 'SELECT 1'",
            then: change("worker", "client_name = 'nobody'")),
        Case(
            "limits", ["limits-moot", "excluded-missing"], job: "'@daily', 'SELECT 1'",
            then: change(
                "limits",
                "exclusive_execution = true, max_instances = 3, "
                    + "excluded_execution_configs = '{9999}'"
            )),
        Case(
            "failing", ["failing"], job: "'@daily', 'SELECT 1'",
            then: """
                INSERT INTO timetable.run_status
                    (chain_execution_config, execution_status, started, finished, error)
                SELECT chain_execution_config, 'CHAIN_FAILED', now(), now(), 'disk full'
                FROM timetable.chain_execution_config, generate_series(1, 3)
                WHERE chain_name = 'failing';
                """),
        Case("syntax", ["sql-syntax"], job: "'@daily', 'SELEC 1'"),
        Case("relation", ["sql-wrong"], job: "'@daily', 'SELECT * FROM nowhere'"),
        Case("column", ["sql-wrong"], job: "'@daily', 'SELECT nothing FROM report'"),
        Case("type", ["sql-wrong"], job: "'@daily', 'SELECT 1 + $1::date + $2::date'"),
        Case("empty", ["sql-empty"], job: "'@daily', '-- to do'"),
        Case("vacuum", ["sql-transaction", "sql-syntax-only"], job: "'@daily', 'VACUUM'"),
        Case(
            "begin", ["sql-transaction"], job: "'@daily', 'BEGIN', autonomous := true"),
        Case("copy", ["sql-copy", "sql-syntax-only"], job: "'@daily', 'COPY report FROM STDIN'"),
        Case(
            "made in a script", ["sql-unjudged", "sql-syntax-only"],
            job: "'@daily', 'CREATE TABLE later (a int); INSERT INTO later VALUES (1)'"),
        Case(
            "made in the chain", ["sql-unjudged", "sql-syntax-only"],
            job: "'@daily', 'CREATE TABLE later (a int)'",
            then: """
                INSERT INTO timetable.base_task (name, script)
                VALUES ('use it', 'INSERT INTO later VALUES (1)');
                SELECT timetable.insert_base_task('use it', chain_id)
                FROM timetable.chain_execution_config WHERE chain_name = 'made in the chain';
                """),
        Case(
            "too few", ["parameters-number"], job: "\(insert), parameters := '[[\"2026-01-01\"]]'"),
        Case(
            "too many", ["parameters-number"], job: "'@daily', 'SELECT 1', parameters := '[[1]]'"),
        Case(
            "to a script", ["parameters-number"],
            job: "'@daily', 'SELECT 1; SELECT 2', parameters := '[[1]]'"),
        Case("none", ["parameters-missing"], job: insert),
        Case("none yet", ["parameters-missing"], job: insert.replacing("@daily", with: "@manual")),
        Case(
            "value", ["parameters-value"],
            job: "\(insert), parameters := '[[\"2026-01-01\", 4], [\"geheim\", 5]]'"),
        Case(
            "form", ["parameters-form"], job: "'@daily', 'SELECT 1'",
            then: """
                INSERT INTO timetable.chain_execution_parameters
                SELECT chain_execution_config, chain_id, 1, '{"a": 1}'
                FROM timetable.chain_execution_config WHERE chain_name = 'form';
                """),
        Case(
            "elsewhere", ["parameters-elsewhere"], job: "'@daily', 'SELECT 1'",
            then: """
                INSERT INTO timetable.chain_execution_parameters
                SELECT c.chain_execution_config, (SELECT min(chain_id) FROM timetable.task_chain),
                    1, '[]'
                FROM timetable.chain_execution_config c WHERE c.chain_name = 'elsewhere';
                """),
        Case(
            "role", ["role-unknown"], job: "'@daily', 'SELECT 1'",
            then: element("role", "run_uid = 'no such role'")),
        Case(
            "program", ["program-missing"], job: "'@daily', program := '/usr/bin/no-such-program'"),
        Case("no file to run", ["program-missing"], job: "'@daily', program := '/etc/passwd'"),
        Case(
            "user", ["program-user"], job: "'@daily', program := '/bin/true'",
            then: element("user", "run_uid = 'no-such-user'")),
        Case("built-in", ["built-in-unknown"], builtIn: "Nope", nil),
        Case("mail", ["built-in-parameters"], builtIn: "SendMail", "{\"ServerHost\": \"h\"}"),
        Case(
            "password", ["secret-plain"], builtIn: "SendMail",
            "{\(mail), \"Username\": \"u\", \"Password\": \"geheim\"}"),
        Case("sleep", ["built-in-parameters"], builtIn: "Sleep", "\"long\""),
        Case("no sleep", ["parameters-missing"], builtIn: "Sleep", nil),
        Case(
            "download", ["built-in-parameters"], builtIn: "Download",
            "{\"fileurls\": [\"gopher://x/\"], \"destpath\": \"/tmp\"}"),
        Case(
            "copy program", ["program-missing", "sql-syntax"], builtIn: "CopyFromProgram",
            "{\"sql\": \"COPYY report FROM STDIN\", \"cmd\": \"/usr/bin/no-such-program\"}"),
        Case(
            "away", ["connection-unreachable"], job: "'@daily', 'SELECT * FROM x'",
            then: """
                INSERT INTO timetable.database_connection
                VALUES (1, 'host=/nowhere dbname=x password=geheim');
                """ + element("away", "database_connection = 1")),
        Case(
            "odd", ["connection-malformed"], job: "'@daily', 'SELECT 1'",
            then: "INSERT INTO timetable.database_connection VALUES (2, 'geheim');"
                + element("odd", "database_connection = 2")),
    ]

    /// What is the cluster's that the tests share: it need not survive a crash, and has other
    /// guests.
    private static let ofTheCluster: Set<String> = [
        "setting-unsafe", "clock-skew", "connections-few", "notify-queue",
    ]

    private func filled(_ served: Served) async throws {
        try await served.psql("CREATE TABLE report (day date, runs bigint)")
        for made in Self.cases { try await served.psql(made.sql) }
        // No trigger told of what was forced; from here on the daemon is quiet.
        try await served.psql("NOTIFY timetable_config, 'chain_execution_config UPDATE all'")
        try await served.waitFor(
            "2",
            """
            SELECT count(DISTINCT substring(message FROM 'config ([0-9]+)')) FROM timetable.log
            WHERE log_level = 'ERROR'
            """)
    }

    /// All rows of all tables, but for the signs of life of daemons; and where sequences are.
    private func everything(_ served: Served) async throws -> String {
        try await served.psql(
            """
            SELECT schemaname, tablename, query_to_xml(
                format('SELECT t::text FROM %I.%I AS t ORDER BY 1', schemaname, tablename),
                false, false, '')
            FROM pg_tables WHERE schemaname IN ('timetable', 'public')
                AND tablename <> 'worker' ORDER BY 1, 2;
            SELECT * FROM pg_sequences ORDER BY 1, 2;
            """)
    }

    @Test func eachFindingAndNothingElse() async throws {
        let served = try await Served.fresh("check", ["--log-level", "notice"])
        try await filled(served)
        let before = try await everything(served)
        let said = try await carillon(served.database, "check", "--json")
        #expect(try await everything(served) == before)
        #expect(said.code == 20)
        #expect(!said.out.contains("geheim") && !said.err.contains("geheim"), "\(said)")
        let found = try said.objects()
        for made in Self.cases {
            let own = found.filter { object in
                let place = object["where"] as? String ?? ""
                return place == made.name || place.hasPrefix("\(made.name) / ")
            }
            let codes = Set(own.compactMap { $0["code"] as? String })
            #expect(codes == made.codes, "\(made.name): \(own)")
        }
        let others = found.filter { $0["config"] is NSNull }
            .compactMap { "\($0["severity"] ?? "") \($0["code"] ?? "") \($0["where"] ?? "")" }
        let own = Set(
            others.filter { other in !Self.ofTheCluster.contains { other.contains(" \($0) ") } })
        #expect(
            own == [
                "warning daemon-superuser worker worker001", "note program-unjudged programs",
                "warning secret-plain database_connection 1", "note log-errors timetable.log",
            ])
        // Asked by request alone, so that whoever asks may give them.
        let asked = found.first { ($0["where"] as? String)?.hasPrefix("none yet / ") == true }
        #expect(asked?["severity"] as? String == "warning")
        // Each has its advice, but notes.
        for object in found where object["severity"] as? String != "note" {
            #expect(object["advice"] is String, "\(object)")
        }
    }

    @Test func oneConfigAndExitCodes() async throws {
        let served = try await Served.fresh("check")
        try await filled(served)
        func check(_ arguments: String...) async throws -> Said {
            let result = try await runProgram(
                DaemonProcess.builtCarillon(), ["check"] + arguments,
                environment: served.database.environment, limit: .seconds(60))
            guard case .exited(let code) = result.end else { throw NotReached("\(result)") }
            return Said(out: result.stdout, err: result.stderr, code: code)
        }
        let good = try await check("good")
        #expect(good.code == 0 && good.out == "", "\(good)")
        #expect(good.err == "0 errors, 0 warnings, 0 notes\n")
        let far = try await check("far")
        #expect(far.code == 0 && far.lines.count == 2, "\(far)")
        #expect(far.lines.first?.hasPrefix("SEVERITY  WHAT ") == true)
        #expect(far.lines.last?.hasPrefix("warning   schedule-far  far ") == true)
        #expect(try await check("far", "--strict").code == 21)
        #expect(try await check("far", "--strict", "--ignore", "schedule-far").code == 0)
        let wrong = try await check("relation")
        #expect(wrong.code == 20)
        #expect(wrong.out.contains("relation / 1 relation"))
        #expect(wrong.out.contains(#"relation "nowhere" does not exist"#), "\(wrong)")
        let none = try await check("nothing of that name")
        #expect(none.code == 64 && none.err.contains("there is no config"), "\(none)")
        let odd = try await check("--ignore", "schedule-farr")
        #expect(odd.code == 64 && odd.err.contains("--codes lists them"), "\(odd)")
        let codes = try await check("--codes")
        #expect(codes.code == 0 && codes.lines.contains("warning schedule-far"))
        #expect(Set(codes.lines).count == codes.lines.count)

        let screen = try await onTerminal(
            served.database, columns: 60, ["check", "relation"])
        #expect(screen.code == 20)
        #expect(screen.out.contains("\u{1B}[31merror\u{1B}[0m sql-wrong: "), "\(screen)")
        #expect(screen.out.uncoloured.split(separator: "\n").allSatisfy { $0.count <= 60 })
    }

    /// A daemon that hangs holds its connections, and does not answer.
    @Test func aDaemonThatDoesNotHear() async throws {
        let served = try await Served.fresh("check")
        let first = try await carillon(served.database, "check", "--json").objects()
        #expect(!first.contains { $0["code"] as? String == "daemon-deaf" }, "\(first)")
        served.daemon.suspend()
        let said = try await carillon(served.database, "check", "--ignore", "daemon-superuser")
        served.daemon.resume()
        #expect(said.code == 20)
        #expect(said.out.contains("daemon-deaf"), "\(said)")
        #expect(said.out.contains("worker worker001"))
    }

    @Test func noDaemonAndNoSchema() async throws {
        let empty = try await PrivateCluster.database("check")
        let none = try await carillon(empty, "check")
        #expect(none.code == 6 && none.err.contains("no schema timetable"), "\(none)")
        let served = try await Served.on(empty)
        served.daemon.terminate()
        _ = try await served.daemon.waitForExit(within: .seconds(30))
        let away = try await carillon(empty, "check")
        #expect(away.code == 20 && away.out.contains("no-daemon"), "\(away)")
        try await served.psql("UPDATE timetable.schema_version SET version = version + 1")
        let newer = try await carillon(empty, "check")
        #expect(newer.code == 20 && newer.lines.count == 2, "\(newer)")
        #expect(newer.out.contains("schema-version"))
    }

    /// What is not on this host may be on the daemon's.
    @Test func aDaemonOnAnotherHost() async throws {
        let served = try await Served.fresh("check")
        try await served.psql(
            """
            SELECT timetable.add_job('away', '@daily', program := '/usr/bin/no-such-program');
            UPDATE timetable.worker SET host = 'elsewhere';
            """)
        let said = try await carillon(served.database, "check", "away", "--json")
        #expect(said.code == 0)
        let first = try #require(try said.objects().first)
        #expect(first["code"] as? String == "program-unjudged", "\(said)")
        #expect((first["message"] as? String)?.contains("daemons of others may run it") == true)
    }

    @Test func whatIsAroundTheConfigs() async throws {
        let served = try await Served.fresh("check")
        try await served.psql(
            """
            SET session_replication_role = replica;
            INSERT INTO timetable.run_status (execution_status, client_name)
            VALUES ('STARTED', 'gone');
            SELECT timetable.add_job('bound', '@manual', 'SELECT 1');
            UPDATE timetable.chain_execution_config SET client_name = 'gone';
            INSERT INTO timetable.run_request (chain_execution_config, requested_at)
            SELECT chain_execution_config, now() - interval '100 seconds'
            FROM timetable.chain_execution_config;
            INSERT INTO timetable.log (pid, log_level, message)
            VALUES (1, 'ERROR', '5 lines of timetable.log are lost');
            UPDATE timetable.retention SET pruned_at = now() - interval '5 hours';
            UPDATE timetable.worker SET started_at = now() - interval '1 day';
            INSERT INTO timetable.worker
                (client_name, host, pid, version, seen_at, stopped_at, stopped_by)
            VALUES ('gone', 'h', 1, '0', now(), now(), 'worker001');
            """)
        let said = try await carillon(served.database, "check", "--json")
        var messages: [String: String] = [:]
        for object in try said.objects() {
            messages["\(object["code"] ?? "") \(object["where"] ?? "")"] =
                object["message"] as? String
        }
        #expect(
            messages["runs-orphaned runs"] == "1 runs are STARTED on workers that serve no more")
        let waiting = try #require(messages["requests-waiting requests"])
        #expect(
            waiting.contains(#/^1 requests wait to be taken, the first for 1\d\d s$/#), "\(waiting)"
        )
        #expect(messages["log-lost timetable.log"]?.contains("5 lines of timetable.log") == true)
        #expect(messages["log-errors timetable.log"] == "daemons logged 1 errors within a day")
        for table in ["log", "execution_log", "run_status"] {
            #expect(
                messages["retention-lagging timetable.\(table)"] == "it was last pruned 5 h ago")
        }
        #expect(messages["daemon-dead worker gone"]?.contains("\"worker001\" found it") == true)
        #expect(messages["worker-absent bound"] != nil)
    }

    @Test func whoMayCheck() async throws {
        let served = try await Served.fresh("check")
        let role = "anybody_of_\(served.database.name)"
        try await served.psql(
            #"CREATE ROLE "\#(role)" LOGIN; GRANT USAGE ON SCHEMA timetable TO "\#(role)";"#
                + #"GRANT SELECT ON timetable.schema_version TO "\#(role)""#)
        let said = try await carillon(served.database, "check", "--user", role)
        #expect(said.code == 5 && said.out == "")
        #expect(said.err.contains("check as the role of a daemon"), "\(said)")
    }

    /// One whose zone files are others.
    @Test func whatADaemonRefused() async throws {
        let folder = try makeTemporaryFolder("check-zones")
        let served = try await Served.on(
            PrivateCluster.database("check"), environment: ["TZDIR": folder])
        try await served.psql(
            "SELECT timetable.add_job('tokyo', '@daily', 'SELECT 1', time_zone := 'Asia/Tokyo')")
        try await served.waitFor(
            "1", "SELECT count(*) FROM timetable.log WHERE log_level = 'ERROR'")
        let said = try await carillon(served.database, "check", "--json").objects()
        let refused = try #require(said.first { $0["code"] as? String == "config-refused" })
        #expect(refused["where"] as? String == "tokyo")
        #expect(
            refused["message"] as? String == """
                worker "worker001" said that this host has no time zone 'Asia/Tokyo'; \
                install the package tzdata
                """)
    }

    @Test func aClockThatIsAhead() async throws {
        let served = try await Served.fresh("check")
        let clock = try FakeClock()
        try clock.step(bySeconds: 2.5)
        let said = try await carillon(
            served.database, "check", "--json", environment: clock.environment)
        let skew = try #require(
            try said.objects().first { $0["code"] as? String == "clock-skew" })
        #expect(skew["severity"] as? String == "note")
        let message = try #require(skew["message"] as? String)
        #expect(message.contains(#/this host is 2\.[45]\d\d s ahead of the server/#), "\(message)")
    }

    /// The daemon's role is no superuser, and not the one that checks.
    @Test func rolesOfTheDaemon() async throws {
        let database = try await PrivateCluster.database("check")
        let name = "daemon_of_\(database.name)"
        try await database.psql(
            """
            CREATE ROLE "\(name)" LOGIN; CREATE ROLE "\(name)_other";
            GRANT CREATE ON DATABASE "\(database.name)" TO "\(name)";
            """)
        let served = try await Served.on(database, ["--user", name])
        try await served.psql(
            "SELECT timetable.add_job('other', '@daily', 'SELECT 1');"
                + Self.element("other", "run_uid = '\(name)_other'"))
        let refused = try await carillon(database, "check", "other", "--json").objects()
        #expect(refused.map { $0["code"] as? String } == ["role-not-granted"], "\(refused)")
        try await served.psql(#"GRANT "\#(name)_other" TO "\#(name)""#)
        let granted = try await carillon(database, "check", "--json").objects()
            .compactMap { $0["code"] as? String }
        #expect(Set(granted).subtracting(Self.ofTheCluster) == [], "\(granted)")

        // A table that only the daemon's search_path leads to.
        try await served.psql(
            """
            CREATE SCHEMA AUTHORIZATION "\(name)"; CREATE TABLE "\(name)".hidden ();
            SELECT timetable.add_job('hidden', '@daily', 'SELECT * FROM hidden');
            """)
        let hidden = try await carillon(database, "check", "hidden", "--json").objects()
        #expect(hidden.map { $0["code"] as? String } == ["sql-unjudged"], "\(hidden)")
        let own = try await carillon(database, "check", "hidden", "--user", name)
        #expect(own.code == 0 && own.out == "", "\(own)")
        try await served.psql(
            #"ALTER ROLE "\#(name)" CONNECTION LIMIT 5"#)
        let few = try await carillon(database, "check")
        #expect(few.out.contains("connections-few"), "\(few)")
    }

    /// What somebody has locked is not waited for.
    @Test func aLockedTable() async throws {
        let served = try await Served.fresh("check")
        try await filled(served)
        async let locker = try? served.database.psql(
            "BEGIN; LOCK TABLE report; SELECT pg_sleep(60)")
        try await served.waitFor(
            "1",
            """
            SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock'
                AND relation = 'report'::regclass
            """)
        let said = try await carillon(served.database, "check", "good", "--json")
        #expect(said.code == 0)
        #expect(try said.objects().map { $0["code"] as? String } == ["sql-unjudged"], "\(said)")
        try await served.psql(
            """
            SELECT pg_terminate_backend(pid) FROM pg_locks
            WHERE granted AND mode = 'AccessExclusiveLock' AND relation = 'report'::regclass
            """)
        #expect(await locker == nil)
    }
}

import Foundation
import TestSupport
import Testing

/// `carillon migrate` and `carillon schema`, from every released version with data in it.
struct UpgradeTests {
    /// Each release adds its own, as it installed it.
    private static let released = [3]
    private static let ours = 4

    private static func fixture(_ version: Int) throws -> String {
        let folder = #filePath.split(separator: "/").dropLast().joined(separator: "/")
        return try String(
            contentsOfFile: "/\(folder)/Schemas/version_\(version).sql", encoding: .utf8)
    }

    private func old(_ version: Int) async throws -> TestDatabase {
        let database = try await PrivateCluster.database("upgrade")
        try await database.psql(Self.fixture(version))
        return database
    }

    private func carillon(
        _ arguments: [String], _ database: TestDatabase
    ) async throws -> (end: ProgramEnd, said: String) {
        let result = try await runProgram(
            DaemonProcess.builtCarillon(), arguments, environment: database.environment)
        return (result.end, result.stdout + result.stderr)
    }

    /// The whole schema as pg_dump(1) writes it, less what it makes up at each call.
    private func schema(_ database: TestDatabase) async throws -> String {
        let dump = try await runProgram(
            "\(database.cluster.programs)/pg_dump", ["--schema-only"],
            environment: database.environment)
        try #require(dump.end == .exited(0), "\(dump.stderr)")
        return dump.stdout.split(separator: "\n").filter { !$0.contains("restrict ") }
            .joined(separator: "\n")
    }

    /// What users may have added to our schema.
    private static let byUsers = """
        DO $$ BEGIN
            CREATE ROLE upgrade_user;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$;
        GRANT USAGE ON SCHEMA timetable TO upgrade_user;
        GRANT EXECUTE ON FUNCTION timetable.run(bigint, jsonb, timestamptz) TO upgrade_user;
        GRANT SELECT ON timetable.workers, timetable.run_status TO upgrade_user;
        CREATE VIEW public.live AS
            SELECT chain_name FROM timetable.chain_execution_config WHERE live;
        CREATE VIEW public.busy AS SELECT client_name, running FROM timetable.workers;
        CREATE TABLE public.audit (name text);
        CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO public.audit VALUES (NEW.chain_name); RETURN NEW; END $$;
        CREATE TRIGGER audit AFTER INSERT ON timetable.chain_execution_config
            FOR EACH ROW EXECUTE FUNCTION public.audit();
        """

    /// Each table's rows in the columns that it has now, a query for each.
    private func contents(_ database: TestDatabase) async throws -> [String] {
        let queries = try await database.psql(
            """
            SELECT format(
                'SELECT %L, string_agg(t::text, %L ORDER BY t::text) FROM (SELECT %s FROM %I.%I) t',
                table_name, '; ',
                string_agg(format('%I', column_name), ', ' ORDER BY ordinal_position),
                table_schema, table_name)
            FROM information_schema.columns
            JOIN information_schema.tables USING (table_schema, table_name)
            WHERE table_schema = 'timetable' AND table_type = 'BASE TABLE'
                AND table_name <> 'schema_version'
            GROUP BY table_schema, table_name ORDER BY table_name
            """)
        return queries.split(separator: "\n").map(String.init)
    }

    @Test(arguments: released)
    func anUpgradeGivesWhatAnInstallationGives(version: Int) async throws {
        let upgraded = try await old(version)
        try await upgraded.psql(Self.byUsers)
        let queries = try await contents(upgraded)
        #expect(queries.count > 10)
        let before = try await upgraded.psql(queries.joined(separator: ";\n"))
        #expect(before.contains("Sun Mar  1 10:00:01 UTC 2026"))

        let (end, said) = try await carillon(["migrate"], upgraded)
        #expect(end == .exited(0), "\(said)")
        #expect(said.contains("from version \(version) to \(Self.ours)\n"))
        #expect(try await upgraded.psql(queries.joined(separator: ";\n")) == before)

        let fresh = try await PrivateCluster.database("upgrade")
        #expect(try await carillon(["migrate"], fresh).said.contains("installed the schema"))
        try await fresh.psql(Self.byUsers)
        #expect(try await schema(upgraded) == schema(fresh))

        // It serves, with the next numbers.
        let served = try await Served.on(upgraded)
        #expect(try await served.run(1) == "CHAIN_DONE||")
        #expect(
            try await served.psql("SELECT max(run_status) >= 5 FROM timetable.run_status") == "t")
        let again = try await carillon(["migrate"], upgraded)
        #expect(again.end == .exited(0))
        #expect(again.said.contains("has version \(Self.ours) already"))
    }

    @Test(arguments: released)
    func thePrintedScriptsDoTheSame(version: Int) async throws {
        let upgraded = try await old(version)
        let script = try await carillon(
            ["schema", "--print", "--from", "\(version)"], upgraded)
        try await upgraded.psql(script.said)
        let fresh = try await PrivateCluster.database("upgrade")
        try await fresh.psql(carillon(["schema", "--print"], fresh).said)
        #expect(try await schema(upgraded) == schema(fresh))
        // A second time it is refused, and nothing of it stays.
        let error = await #expect(throws: PsqlFailed.self) {
            try await upgraded.psql(script.said)
        }
        #expect(error?.stderr.contains("does not have version \(version)") == true)
        #expect(try await schema(upgraded) == schema(fresh))
        let (end, said) = try await carillon(["migrate"], upgraded)
        #expect(end == .exited(0))
        #expect(said.contains("already"))
    }

    @Test func nothingIsDoneThatMayNotBe() async throws {
        let database = try await old(3)
        let before = try await schema(database)
        let poor = "poor_\(database.name)"
        try await database.psql(
            "CREATE ROLE \(poor) LOGIN; GRANT USAGE ON SCHEMA timetable TO \(poor)")
        try await database.psql("GRANT SELECT ON timetable.schema_version TO \(poor)")
        let stranger = try await carillon(["migrate", "--user", poor], database)
        #expect(stranger.end == .exited(5))
        #expect(stranger.said.contains("as its owner, \"postgres\""), "\(stranger.said)")
        try await database.psql("DROP OWNED BY \(poor); DROP ROLE \(poor)")

        let dry = try await carillon(["migrate", "--dry-run"], database)
        #expect(dry.end == .exited(0))
        #expect(dry.said.contains("would upgrade") && dry.said.contains("upgrade_4.sql"))

        // A daemon of that version holds the lock of its name.
        try await database.psql("UPDATE timetable.worker SET stopped_at = NULL")
        async let holder: String? = try? database.psql(
            "SELECT pg_advisory_lock(timetable.name_key('worker001')); SELECT pg_sleep(60)")
        try await eventually("the name is locked") {
            try await database.psql("SELECT state FROM timetable.workers") == "serving"
        }
        let busy = try await carillon(["migrate"], database)
        #expect(busy.end == .exited(7))
        #expect(busy.said.contains("\"worker001\" on here, process 4700"), "\(busy.said)")
        #expect(try await schema(database) == before)
        let serving = try await carillon(["serve", "--name", "other"], database)
        #expect(serving.end == .exited(6))
        #expect(serving.said.contains("has version 3") && serving.said.contains("carillon migrate"))

        #expect(try await carillon(["migrate", "--force"], database).end == .exited(0))
        try await database.psql(
            """
            SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database d ON d.oid = database
            WHERE locktype = 'advisory' AND datname = current_database()
            """)
        _ = await holder
    }

    @Test(arguments: [(2, "never released"), (999, "use a newer carillon")])
    func whatCannotBeUpgraded(version: Int, reason: String) async throws {
        let database = try await old(3)
        try await database.psql("UPDATE timetable.schema_version SET version = \(version)")
        let (end, said) = try await carillon(["migrate"], database)
        #expect(end == .exited(6))
        #expect(said.contains("has version \(version)") && said.contains(reason), "\(said)")
    }

    /// The tables belong to the role that serves them, whoever upgrades.
    @Test func aSuperuserUpgradesForTheOwner() async throws {
        let database = try await PrivateCluster.database("upgrade")
        let owner = "owner_\(database.name)"
        try await database.psql(
            "CREATE ROLE \(owner) LOGIN; GRANT CREATE ON DATABASE \(database.name) TO \(owner)")
        try await database.psql(Self.fixture(3), user: owner)
        #expect(try await carillon(["migrate"], database).end == .exited(0))
        let others = try await database.psql(
            """
            SELECT count(*) FROM pg_class WHERE relnamespace = 'timetable'::regnamespace
                AND pg_get_userbyid(relowner) <> '\(owner)'
            UNION ALL
            SELECT count(*) FROM pg_proc WHERE pronamespace = 'timetable'::regnamespace
                AND pg_get_userbyid(proowner) <> '\(owner)'
            """)
        #expect(others == "0\n0")
        let served = try await Served.on(database, ["--user", owner])
        #expect(try await served.run(1) == "CHAIN_DONE||")
    }

    @Test func ofTwoAtOnceOneDoesIt() async throws {
        let database = try await old(3)
        async let holder: String? = try? database.psql(
            """
            BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('carillon schema', 0));
            SELECT pg_sleep(60)
            """)
        let locks = """
            FROM pg_locks JOIN pg_database d ON d.oid = database
            WHERE locktype = 'advisory' AND datname = current_database()
            """
        try await eventually("the lock is held") {
            try await database.psql("SELECT count(*) \(locks) AND granted") == "1"
        }
        async let first = carillon(["migrate"], database)
        async let second = carillon(["migrate"], database)
        try await eventually(within: .seconds(30), "both wait for the lock") {
            try await database.psql("SELECT count(*) \(locks) AND NOT granted") == "2"
        }
        try await database.psql("SELECT pg_terminate_backend(pid) \(locks) AND granted")
        _ = await holder
        let both = try await [first, second]
        #expect(both.allSatisfy { $0.end == .exited(0) })
        #expect(both.count { $0.said.contains("upgraded the schema") } == 1)
        #expect(both.count { $0.said.contains("another did it") } == 1)
    }

    /// As after `migrate --force` of a newer program: its steps are not known here.
    @Test func aDaemonEndsWhenSomebodyUpgradesUnderIt() async throws {
        let served = try await Served.fresh("upgrade", ["--drain-timeout", "30"])
        let config = try await served.addConfig("slow", [("SQL", "SELECT pg_sleep(2)")])
        let request = try await served.psql("SELECT timetable.run(\(config))")
        try await served.waitFor(
            "1", "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'STARTED'")
        try await served.psql(
            """
            BEGIN; INSERT INTO timetable.schema_version VALUES (999);
            NOTIFY timetable_config, 'schema UPGRADED all'; COMMIT
            """)
        #expect(try await served.daemon.waitForExit() == .exited(6))
        let said = served.daemon.lines.filter { $0.source == .stderr }.map(\.text)
        #expect(said.count == 1 && said[0].contains("use a newer carillon"), "\(said)")
        #expect(try await served.end(ofRequest: request) == "CHAIN_DONE||")
    }

    /// Anybody may send one: it is looked whether it is true.
    @Test func aNotificationAloneEndsNothing() async throws {
        let served = try await Served.fresh("upgrade")
        let config = try await served.addConfig("quick", [("SQL", "SELECT 1")])
        try await served.psql("NOTIFY timetable_config, 'schema UPGRADED all'")
        #expect(try await served.run(config) == "CHAIN_DONE||")
        // A reconnect finds it, too.
        try await served.psql(
            """
            INSERT INTO timetable.schema_version VALUES (999);
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name LIKE 'carillon%' AND datname = current_database();
            """)
        #expect(try await served.daemon.waitForExit() == .exited(6))
    }

    @Test func aStandByThatTakesOverFindsIt() async throws {
        let first = try await Served.fresh("upgrade")
        let second = try await Served.on(first.database, ["--standby"])
        let (end, said) = try await carillon(["migrate"], first.database)
        #expect(end == .exited(0) && said.contains("already"))
        try await first.psql("INSERT INTO timetable.schema_version VALUES (999)")
        first.daemon.kill()
        #expect(try await second.daemon.waitForExit() == .exited(6))
    }

    /// Nobody else could: its server lives and ends with it.
    @Test func aPrivateServerIsUpgradedByItsDaemon() async throws {
        let embedded = try Embedded()
        try await embedded.serve()
        try await embedded.stop()
        // A daemon would notice what is done to its schema, and end.
        let server = try embedded.startServerByHand()
        try await eventually("the server by hand is ready") {
            embedded.status?.hasPrefix("\(server.pid)\n") == true
                && embedded.status?.contains("ready") == true
        }
        try await embedded.psql("DROP SCHEMA timetable CASCADE")
        try await embedded.psql(Self.fixture(3).replacing("'postgres'", with: "'scheduler'"))
        try await embedded.serve()
        #expect(
            embedded.lines.contains { $0.contains("upgraded the schema timetable from version 3") })
        #expect(try await embedded.psql("SELECT max(version) FROM timetable.schema_version") == "4")
        try await embedded.stop()
    }

    /// In one go, and again: what was granted before stays, also where row security comes.
    @Test func rolesComeWithAnUpgrade() async throws {
        let upgraded = try await old(3)
        try await upgraded.psql(Self.byUsers)
        for _ in 1...2 {
            let (end, said) = try await carillon(["migrate", "--roles"], upgraded)
            #expect(end == .exited(0), "\(said)")
            #expect(said.contains("timetable_operator, timetable_reader have their rights"))
        }
        #expect(
            try await upgraded.psql(
                """
                SET ROLE upgrade_user;
                SELECT count(*), (SELECT count(*) FROM timetable.workers) FROM timetable.run_status
                """) == "4|1")
        for (role, sql, rows) in [
            ("reader", "SELECT count(*) FROM timetable.jobs", "3"),
            ("reader", "SELECT count(*) FROM timetable.shown_parameters", "2"),
            ("author", "SELECT count(*) FROM timetable.chain_execution_config", "0"),
            ("operator", "SELECT timetable.run(1) > 2", "t"),
            ("admin", "SELECT count(connect_string) FROM timetable.database_connection", "1"),
        ] {
            #expect(
                try await upgraded.psql("SET ROLE timetable_\(role); \(sql)") == rows, "\(role)")
        }
        // By the printed script: the same.
        let fresh = try await PrivateCluster.database("upgrade")
        try await fresh.psql(carillon(["schema", "--print", "--roles"], fresh).said)
        try await fresh.psql(Self.byUsers)
        // Grants are listed in the order in which they were made.
        let both = try await [schema(upgraded), schema(fresh)].map { dump in
            dump.split(separator: "\n").sorted()
        }
        #expect(both[0] == both[1])
    }

    @Test func rolesNeedARight() async throws {
        // Of its own: in the shared one other tests make the roles.
        let cluster = try await onOwnThread { try PrivateCluster() }
        let database = try await cluster.createDatabase("upgrade")
        try await database.psql(
            "CREATE ROLE owner LOGIN; GRANT CREATE ON DATABASE \(database.name) TO owner")
        let refused = try await carillon(["migrate", "--roles", "--user", "owner"], database)
        #expect(refused.end == .exited(5))
        #expect(refused.said.contains("needs a role with CREATEROLE"), "\(refused.said)")
        let dry = try await carillon(["migrate", "--roles", "--dry-run"], database)
        #expect(dry.said.contains("would make the roles"))
        try await database.psql("ALTER ROLE owner CREATEROLE")
        let made = try await carillon(["migrate", "--roles", "--user", "owner"], database)
        #expect(made.end == .exited(0), "\(made.said)")
        #expect(
            try await database.psql("SELECT count(*) FROM pg_roles WHERE rolname ~ '^timetable_'")
                == "4")
    }
}

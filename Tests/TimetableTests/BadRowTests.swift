import TestSupport
import Testing

/// A row that no constraint would let in: what else there is fires, and the row is told once.
struct BadRowTests {
    /// What becomes of a config whose row is bad.
    enum End: Sendable {
        /// Reported by its id, and not scheduled.
        case reported
        /// It is claimed, and its run fails with such a reason.
        case failed(String)
        /// What can't be used is taken as the default, or as the nearest that can.
        case runs
        /// Nothing can fire.
        case silent
    }

    struct Row: CustomTestStringConvertible, Sendable {
        let table: String
        let set: String
        let end: End
        /// What has to be so for the row to matter.
        var also = ""

        var testDescription: String { "\(table): \(set)" }
    }

    private static func configs(_ end: End, _ sets: String...) -> [Row] {
        sets.map { Row(table: "chain_execution_config", set: $0, end: end) }
    }

    private static func elements(_ end: End, _ sets: String...) -> [Row] {
        sets.map { Row(table: "task_chain", set: $0, end: end) }
    }

    static let rows =
        configs(
            .reported, "schedule = 'nonsense'", "schedule = ''", "schedule = '61 * * * *'",
            "schedule = repeat('x', 1000000)", "schedule = '@every 0s'", "schedule = '@after -1s'",
            "schedule = '@every 99999999999999999999d'", "schedule = '@at never'",
            "schedule = '0 0 30 2 *'", "schedule = E'\\x01\\x7f'", "time_zone = 'Nowhere/At_all'",
            "time_zone = ''", "time_zone = '../../etc/passwd'", "time_zone = repeat('x', 100000)",
            "schedule = NULL, run_at_minute = -1", "schedule = NULL, run_at_minute = 2147483647",
            "schedule = NULL, run_at_hour = -2147483648", "schedule = NULL, run_at_day = 0",
            "schedule = NULL, run_at_month = 13", "schedule = NULL, run_at_day_of_week = 8",
            "schedule = NULL, run_at_day = 31, run_at_month = 2")
        + configs(
            .runs, "chain_name = NULL", "client_name = NULL", "run_at_minute = 99",
            "starts_at = '-infinity'", "ends_at = 'infinity'", "scheduled_since = NULL",
            "scheduled_since = '-infinity'", "misfire = NULL", "misfire = 'X'",
            "misfire_window = NULL", "misfire_window = '-1 day'",
            "misfire_window = '178000000 years'", "misfire_grace = NULL",
            "misfire_grace = '-1 day'", "misfire_grace = '178000000 years'", "overlap = NULL",
            "overlap = 'X'", "timeout = '178000000 years'", "jitter = '-1 day'", "on_gap = NULL",
            "on_gap = 'X'", "on_repeat = NULL", "on_repeat = 'X'", "max_instances = NULL",
            "excluded_execution_configs = '{NULL}'",
            "excluded_execution_configs = '{{3},{4}}'", "exclusive_execution = NULL",
            "self_destruct = NULL", "retries = NULL", "retries = -1", "on_failure = 4711",
            "on_failure = 2")
        + configs(
            .silent, "live = NULL", "chain_id = NULL", "chain_id = 4711", "client_name = ''",
            "starts_at = 'infinity'", "ends_at = '-infinity'",
            "starts_at = '2100-01-01', ends_at = '2000-01-01'", "scheduled_since = 'infinity'",
            "max_instances = 0", "max_instances = -1", "jitter = '178000000 years'")
        + configs(
            .failed("timeout is not positive"), "timeout = '-1 s'", "timeout = '-178000000 years'")
        + elements(
            .runs, "autonomous = NULL", "ignore_error = NULL", "timeout = '178000000 years'",
            "parent_id = 2")
        + elements(.failed("timeout of element 3 is not positive"), "timeout = '-1 day'")
        + elements(.failed("identifier"), "run_uid = ''")
        + elements(.failed("does not exist"), "run_uid = repeat('x', 100000)")
        + [
            Row(table: "task_chain", set: "task_id = NULL", end: .failed("no base task")),
            Row(table: "task_chain", set: "task_id = 4711", end: .failed("no base task")),
            Row(
                table: "task_chain", set: "timeout = timeout",
                end: .failed("its chain runs in a circle: element 2 follows again"), also: circle),
            Row(
                table: "task_chain", set: "database_connection = 4711",
                end: .failed("database_connection")),
            Row(table: "base_task", set: "kind = NULL", end: .failed("without name, kind")),
            Row(table: "base_task", set: "script = NULL", end: .failed("without name, kind")),
            Row(table: "base_task", set: "name = NULL", end: .failed("without name, kind")),
            Row(table: "base_task", set: "script = repeat('x', 1000000)", end: .failed("syntax")),
            Row(
                table: "base_task", set: "kind = 'BUILTIN', script = ''",
                end: .failed("no built-in ''")),
            Row(table: "base_task", set: "kind = 'SHELL', script = ''", end: .failed("program ''")),
            Row(
                table: "database_connection", set: "connect_string = NULL",
                end: .failed("database_connection"), also: elsewhere),
            Row(
                table: "database_connection", set: "connect_string = E'\\x01=\\x02'",
                end: .failed("can't be read"), also: elsewhere),
            Row(
                table: "chain_execution_parameters", set: "value = NULL",
                end: .failed("must be a JSON array"), also: row),
            Row(
                table: "chain_execution_parameters", set: "value = 'null'",
                end: .failed("must be a JSON array"), also: row),
            Row(
                table: "chain_execution_parameters", set: "value = '5'",
                end: .failed("must be a JSON array"), also: row),
            Row(table: "chain_execution_parameters", set: "order_id = NULL", end: .runs, also: row),
            Row(table: "chain_execution_parameters", set: "order_id = -5", end: .runs, also: row),
            Row(table: "chain_execution_parameters", set: "chain_id = 4711", end: .runs, also: row),
            Row(
                table: "chain_execution_parameters", set: "chain_id = NULL", end: .runs, also: row),
        ]
        + ["NULL", "'-1 day'", "'178000000 years'", "'290000 years'"].map {
            Row(
                table: "chain_execution_config", set: "retries = 1, retry_delay = \($0)",
                end: .failed("division by zero"), also: failing)
        }
        + [
            Row(
                table: "chain_execution_config", set: "retries = 2147483647, retry_delay = '1 ms'",
                end: .failed("division by zero"), also: failing),
            Row(
                table: "chain_execution_config", set: "on_failure = 4711",
                end: .failed("division by zero"), also: failing),
        ]

    private static let elsewhere =
        "UPDATE timetable.task_chain SET database_connection = 1 WHERE chain_id = 3;"
    private static let row =
        "INSERT INTO timetable.chain_execution_parameters VALUES (2, 2, 1, '[]');"
    private static let circle = "UPDATE timetable.task_chain SET parent_id = 3 WHERE chain_id = 2;"
    private static let failing = """
        UPDATE timetable.base_task SET script = 'SELECT 1 / 0' WHERE name = 'bad 0';
        """

    /// Takes away all that keeps bad rows out, and nothing that tells the daemon of them.
    private static let unguarded = """
        DO $$ DECLARE o record; BEGIN
            FOR o IN SELECT conrelid::regclass AS t, conname FROM pg_constraint
                WHERE connamespace = 'timetable'::regnamespace AND conrelid::regclass::text ~
                    '(base_task|task_chain|execution_config|parameters|database_connection)$'
                    AND (contype IN ('c', 'f') OR conrelid::regclass::text ~ 'parameters$') LOOP
                EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', o.t, o.conname);
            END LOOP;
            FOR o IN SELECT attrelid::regclass AS t, attname FROM pg_attribute
                WHERE attnotnull AND attnum > 1 AND attrelid::regclass::text ~
                    '^timetable.(base_task|task_chain|chain_execution_[a-z]*|database_connection)$'
            LOOP
                EXECUTE format('ALTER TABLE %s ALTER %I DROP NOT NULL', o.t, o.attname);
            END LOOP;
            FOR o IN SELECT tgrelid::regclass AS t, tgname FROM pg_trigger
                WHERE tgname LIKE 'check%' LOOP
                EXECUTE format('DROP TRIGGER %I ON %s', o.tgname, o.t);
            END LOOP;
        END $$;
        """

    private static let isBad = [
        "chain_execution_config": "chain_execution_config = 2", "task_chain": "chain_id = 3",
        "base_task": "name = 'bad 0'", "database_connection": "database_connection = 1",
        "chain_execution_parameters": "chain_execution_config = 2",
    ]

    private func waitForOthers(_ served: Served) async throws {
        let done = """
            SELECT count(*) FROM timetable.run_status
            WHERE chain_execution_config = 1 AND execution_status = 'CHAIN_DONE'
            """
        let before = try await served.psql(done)
        try await served.waitFor("t", "SELECT (\(done)) >= \(before) + 3", within: .seconds(15))
    }

    @Test(arguments: rows) func oneBadRowStopsNothingElse(row: Row) async throws {
        let database = try await PrivateCluster.database("bad")
        let first = try await Served.on(database)
        try await first.psql(Self.unguarded)
        for name in ["good", "bad"] {
            let tasks = [("SQL", "SELECT 1"), ("SQL", "SELECT 2")]
            _ = try await first.addConfig(
                name, tasks.prefix(name == "bad" ? 2 : 1).map { (kind: $0.0, script: $0.1) },
                columns: "schedule", values: "'@every 200ms'")
        }
        let mark = try await first.psql(
            """
            INSERT INTO timetable.database_connection (connect_string)
            VALUES ('\(database.connectionString)');
            \(row.also)
            UPDATE timetable.\(row.table) SET \(row.set) WHERE \(Self.isBad[row.table] ?? "false");
            SELECT clock_timestamp()
            """)
        try await waitForOthers(first)
        try await expectEnd(row, first, since: mark)
        // Nobody says it again when others change, and when all is read it is once more.
        try await first.psql(
            """
            UPDATE timetable.chain_execution_config SET misfire_grace = '59 s'
            WHERE chain_execution_config = 1
            """)
        try await waitForOthers(first)
        #expect(
            reports(first) <= 1,
            "\(first.daemon.lines.filter { $0.text.contains("config 2 (") }.map(\.text))")
        first.daemon.terminate()
        #expect(try await first.daemon.waitForExit(within: .seconds(40)) == .exited(0))
        let second = try await Served.on(database)
        try await waitForOthers(second)
        #expect(reports(second) <= 1)
    }

    private func reports(_ served: Served) -> Int {
        served.daemon.lines.count { $0.text.contains("config 2 (") }
    }

    private func expectEnd(_ row: Row, _ served: Served, since mark: String) async throws {
        let runs = """
            FROM timetable.run_status
            WHERE chain_execution_config = 2 AND started > '\(mark)'
            """
        switch row.end {
        case .reported:
            try await eventually("it is reported") { self.reports(served) > 0 }
            #expect(self.reports(served) == 1)
        case .failed(let reason):
            try await served.waitFor("t", "SELECT count(error) > 0 \(runs)", within: .seconds(15))
            let error = try await served.psql("SELECT error \(runs) AND error <> '' LIMIT 1")
            #expect(error.contains(reason))
        case .runs:
            try await served.waitFor(
                "t", "SELECT count(*) > 0 \(runs) AND execution_status = 'CHAIN_DONE'",
                within: .seconds(15))
        case .silent:
            #expect(
                try await served.psql(
                    "SELECT count(*) \(runs) AND scheduled_for > '\(mark)'::timestamptz + '1 s'")
                    == "0")
        }
    }
}

import TestSupport
import Testing
import Timing

/// A database with configs that fire all the time, while things go wrong, and its audit.
struct Scenario {
    /// Reached by a way that no fault is put on.
    private(set) var database: TestDatabase
    private(set) var due: [Ledger.Due] = []
    private(set) var writers: [Int] = []
    var isLogComplete = true
    /// How late an answer may come.
    var slack: Duration = .seconds(10)

    static let writeEffect = (
        kind: "SQL",
        script: "INSERT INTO effect VALUES (current_setting('timetable.run')::bigint)"
    )

    init(_ database: TestDatabase) async throws {
        self.database = database
        try await database.psql("CREATE TABLE effect (run bigint);" + Ledger.watch)
    }

    /// Adds a config `@every` so many milliseconds; it writes one effect.
    mutating func add(
        _ name: String, every milliseconds: Int, _ more: [(kind: String, script: String)] = [],
        columns: String = "", values: String = "", by served: Served
    ) async throws {
        let id = try await served.addConfig(
            name, [Self.writeEffect] + more, columns: "schedule" + columns,
            values: "'@every \(milliseconds)ms'" + values)
        let now = try await clock()
        due.append(
            .init(config: id, every: .milliseconds(milliseconds), from: now, through: now))
        writers.append(id)
    }

    /// The mixture that most faults meet: one batch, several tasks with a COMMIT of its own,
    /// retries, a limit that skips and one that waits.
    mutating func addMixture(by served: Served) async throws {
        try await add("plain", every: 100, by: served)
        try await add(
            "long", every: 250, [("SHELL", "/bin/true"), ("SQL", "SELECT 1")], by: served)
        try await add(
            "retried", every: 300, columns: ", retries, retry_delay",
            values: ", 3, '50 ms'", by: served)
        try await add(
            "skipping", every: 150, [("SQL", "SELECT pg_sleep(0.2)")],
            columns: ", max_instances", values: ", 1", by: served)
        try await add(
            "waiting", every: 500, [("SQL", "SELECT pg_sleep(0.1)")],
            columns: ", max_instances, overlap", values: ", 1, 'WAIT'", by: served)
    }

    /// The same, in a copy of its database.
    func moved(to database: TestDatabase) -> Scenario {
        var moved = self
        moved.database = database
        return moved
    }

    /// The database's time.
    func clock() async throws -> WallInstant {
        let text = try await database.psql(
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        return WallInstant(microseconds: try #require(Int64(text)))
    }

    /// How many runs are done so far.
    func doneCount() async throws -> Int {
        let text = try await database.psql(
            "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'CHAIN_DONE'")
        return try #require(Int(text))
    }

    /// Waits until `count` more runs are done, and returns how long that took.
    @discardableResult
    func recovery(
        _ count: Int = 2, within limit: Duration = .seconds(30), _ what: String = "runs are done"
    ) async throws -> Duration {
        let began = ContinuousClock.now
        let before = try await doneCount()
        try await eventually(within: limit, "\(what) again") {
            try await doneCount() >= before + count
        }
        return ContinuousClock.now - began
    }

    /// Lets all that was due until now be accounted for, ends the daemons, and returns what the
    /// ledger finds.
    func audit(_ daemons: [DaemonProcess], within limit: Duration = .seconds(60)) async throws {
        let findings = try await findings(daemons, within: limit)
        let counts = try await counts()
        print("\(database.name): \(counts)")
        #expect(findings == [], "\(counts)")
    }

    private func findings(
        _ daemons: [DaemonProcess], within limit: Duration
    ) async throws -> [String] {
        let end = try await clock()
        let ids = due.map { String($0.config) }.joined(separator: ", ")
        try await eventually(within: limit, "each config has fired again") {
            try await database.psql(
                """
                SELECT count(DISTINCT chain_execution_config) FROM timetable.run_status
                WHERE chain_execution_config IN (\(ids)) AND scheduled_for >
                    timestamptz 'epoch' + \(end.microseconds) * interval '1 us'
                """) == String(due.count)
        }
        try await database.psql("UPDATE timetable.chain_execution_config SET live = false")
        try? await eventually(within: limit, "nothing is under way") {
            try await database.psql(
                """
                SELECT count(*) FROM timetable.run_status
                WHERE execution_status IN ('STARTED', 'WAITING')
                """) == "0"
        }
        for daemon in daemons { daemon.terminate() }
        for daemon in daemons {
            #expect(try await daemon.waitForExit(within: .seconds(60)) == .exited(0))
        }
        var ledger = Ledger(effects: "effect")
        ledger.writers = writers
        ledger.isWatched = true
        ledger.slack = slack
        ledger.isLogComplete = isLogComplete
        ledger.due = due.map { part in
            var part = part
            part.last = end
            return part
        }
        return try await ledger.findings(in: database)
    }

    /// How many runs ended how, for the test's output.
    func counts() async throws -> String {
        try await database.psql(
            """
            SELECT string_agg(format('%s %s', n, s), ', ' ORDER BY s) FROM (
                SELECT execution_status AS s,
                    sum(CASE execution_status WHEN 'MISSED' THEN missed_count ELSE 1 END) AS n
                FROM timetable.run_status GROUP BY 1) AS c
            """)
    }
}

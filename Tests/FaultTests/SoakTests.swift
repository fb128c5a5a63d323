import Foundation
import TestSupport
import Testing
import Timing

/// Five daemons on one database, 200 fires a second, and all that may happen to a daemon, at
/// random; in the end the ledger.
struct SoakTests {
    private static let seed =
        ProcessInfo.processInfo.environment["CARILLON_SOAK_SEED"].flatMap { UInt64($0) }
        ?? UInt64.random(in: 0...9_999_999)

    @Test(.timeLimit(.minutes(Int(FaultForm.soakMinutes ?? 0) * 2 + 5)))
    func nothingIsLostOrDoneTwice() async throws {
        let length: Duration = FaultForm.soakMinutes.map { .seconds($0 * 60) } ?? .seconds(16)
        print("soak: seed \(Self.seed), \(length)")
        let cluster = try await onOwnThread {
            try PrivateCluster(durable: FaultForm.isLong, settings: ["max_wal_size=4GB"])
        }
        let database = try await cluster.createDatabase("soak")
        var soak = Soak(database, seed: Self.seed)
        try await soak.startAll()
        try await database.psql(Ledger.watch)
        let due = try await Self.load(database)
        let began = ContinuousClock.now
        try await soak.suffer(
            until: began + length,
            pace: FaultForm.either(.milliseconds(700), .seconds(4)))
        let ledger = try await settle(soak, due, database)
        for daemon in soak.daemons { daemon.terminate() }
        for daemon in soak.daemons {
            #expect(try await daemon.waitForExit(within: .seconds(60)) == .exited(0))
        }
        let findings = try await ledger.findings(in: database)
        try await report(soak, findings, database)
        if findings != [] { try soak.keepLines() }
        #expect(findings == [])
        #expect(Set(soak.injections.map(\.fault)) == Set(Soak.Fault.allCases))
        expectFlat(soak)
    }

    /// Configs for 200 fires a second: half of them at one instant, the others spread; some with
    /// retries, limits, programs, or two that exclude each other.
    private static func load(_ database: TestDatabase) async throws -> [Ledger.Due] {
        let rows = try await database.psql(
            """
            CREATE TABLE effect (run bigint);
            INSERT INTO timetable.base_task (name, kind, script) VALUES
                ('effect', 'SQL',
                    'INSERT INTO effect VALUES (current_setting(''timetable.run'')::bigint)'),
                ('0.3', 'SQL', 'SELECT pg_sleep(0.3)'), ('0.6', 'SQL', 'SELECT pg_sleep(0.6)'),
                ('1.3', 'SQL', 'SELECT pg_sleep(1.3)'), ('program', 'SHELL', '/bin/sleep'),
                ('last', 'SQL', 'SELECT 1');
            -- Chains: 901 is quick, the others go on for a while after their effect.
            INSERT INTO timetable.task_chain (chain_id, parent_id, task_id)
            SELECT v.chain, v.parent, task_id
            FROM (VALUES (901, NULL, 'effect'), (902, NULL, 'effect'), (903, 902, '0.3'),
                (904, NULL, 'effect'), (905, 904, '0.6'), (906, NULL, 'effect'), (907, 906, '1.3'),
                (908, NULL, 'effect'), (909, 908, 'program'), (910, 909, 'last'))
                AS v (chain, parent, name)
            JOIN timetable.base_task USING (name) ORDER BY 1;
            INSERT INTO timetable.chain_execution_config (chain_execution_config, chain_id,
                chain_name, schedule, starts_at, live, retries, retry_delay, max_instances, overlap,
                excluded_execution_configs)
            SELECT 10000 + n,
                CASE WHEN n BETWEEN 141 AND 180 OR n BETWEEN 193 AND 196 THEN 902
                    WHEN n BETWEEN 185 AND 188 THEN 906
                    WHEN n BETWEEN 189 AND 192 THEN 904
                    WHEN n BETWEEN 181 AND 184 OR n > 196 THEN 908 ELSE 901 END,
                'soak ' || n, '@every 1s',
                timestamptz '2026-01-01 00:00:00Z' + CASE WHEN n <= 100 THEN interval '0'
                    ELSE (n - 100) * interval '10 ms' END,
                true,
                CASE WHEN n BETWEEN 171 AND 180 THEN 3 ELSE 0 END, interval '100 ms',
                CASE WHEN n BETWEEN 185 AND 192 THEN 1 END,
                CASE WHEN n BETWEEN 189 AND 196 THEN 'WAIT' ELSE 'SKIP' END,
                CASE n WHEN 193 THEN '{10194}'::int[] WHEN 195 THEN '{10196}'::int[] END
            FROM generate_series(1, 200) AS n;
            INSERT INTO timetable.chain_execution_parameters
            SELECT chain_execution_config, 909, 1, '["0.3"]'
            FROM timetable.chain_execution_config WHERE chain_id = 908;
            SELECT chain_execution_config,
                (extract(epoch FROM starts_at) * 1000000)::bigint % 1000000,
                (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
            FROM timetable.chain_execution_config;
            """)
        return try rows.split(separator: "\n").map { row in
            let numbers = row.split(separator: "|").compactMap { Int64($0) }
            try #require(numbers.count == 3)
            let now = WallInstant(microseconds: numbers[2])
            return Ledger.Due(
                config: Int(numbers[0]), every: .seconds(1), phase: .microseconds(numbers[1]),
                from: now, through: now)
        }
    }

    /// Lets all that was due until now be accounted for.
    private func settle(
        _ soak: Soak, _ due: [Ledger.Due], _ database: TestDatabase
    ) async throws -> Ledger {
        let end = try await WallInstant(
            microseconds: #require(
                Int64(
                    database.psql(
                        "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"))))
        try await eventually(within: .seconds(60), "each config has fired again") {
            try await database.psql(
                """
                SELECT count(DISTINCT chain_execution_config) FROM timetable.run_status
                WHERE scheduled_for > timestamptz 'epoch' + \(end.microseconds) * interval '1 us'
                """) == "200"
        }
        try await database.psql("UPDATE timetable.chain_execution_config SET live = false")
        let left = "execution_status IN ('STARTED', 'WAITING')"
        // A hundred may wait for each other.
        try? await eventually(within: .seconds(180), "nothing is under way") {
            try await database.psql("SELECT count(*) FROM timetable.run_status WHERE \(left)")
                == "0"
        }
        var ledger = Ledger(effects: "effect")
        ledger.isWatched = true
        // Whoever is frozen learns of an end that much later.
        ledger.slack = .seconds(60)
        // A killed daemon takes the log of its last moments with it.
        ledger.isLogComplete = false
        ledger.due = due.map { part in
            var part = part
            part.last = end
            return part
        }
        return ledger
    }

    private func report(
        _ soak: Soak, _ findings: [String], _ database: TestDatabase
    ) async throws {
        let report = SoakReport(soak: soak, database: database)
        let states = try await database.psql(
            """
            SELECT string_agg(format('%s %s', s, n), ', ' ORDER BY s) FROM (
                SELECT execution_status AS s,
                    sum(CASE execution_status WHEN 'MISSED' THEN missed_count ELSE 1 END) AS n
                FROM timetable.run_status GROUP BY 1) AS c
            """)
        let lost = findings.count { $0.hasPrefix("a fire that was due") }
        let double = findings.count {
            $0.hasPrefix("a fire has one run") || $0.hasPrefix("what is done has its effect once")
        }
        let held = soak.survivor
        print(
            """
            soak: seed \(Self.seed), \(soak.injections.count) faults, \(soak.lives.count) daemons
            \(try await report.table())
            \(try await report.lateness())
            ends: \(states)
            rules broken: \(findings.count) (losses \(lost), duplicates \(double))
            never killed: resident \(held.map(\.residentKiB).min() ?? 0) to \
            \(held.map(\.residentKiB).max() ?? 0) KiB, descriptors \
            \(held.map(\.descriptors).min() ?? 0) to \(held.map(\.descriptors).max() ?? 0), \
            threads \(held.map(\.threads).max() ?? 0), \(held.count) samples
            """)
    }

    /// Memory and descriptors of the one that lived all the time do not grow.
    private func expectFlat(_ soak: Soak) {
        let held = soak.survivor
        guard let last = held.last else {
            Issue.record("the daemon that lives was never looked at")
            return
        }
        // The first minutes fill caches and pools.
        let early = held.prefix(max(1, held.count / 4)).map(\.residentKiB).max() ?? 0
        #expect(last.residentKiB - early < FaultForm.either(30_000, 8_000))
        #expect(held.allSatisfy { $0.descriptors < 80 })
    }
}

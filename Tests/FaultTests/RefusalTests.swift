import Foundation
import TestSupport
import Testing

/// The server is there, and refuses: writes, time, connections, room on its disk.
struct RefusalTests {
    /// The longest back-off with its jitter, and a start of everything anew.
    private static let patience: Duration = .seconds(12)
    /// For how long it refuses.
    private static let away: Duration = .seconds(FaultForm.either(3, 30))

    @Test func theServerIsReadOnlyForAWhile() async throws {
        let cluster = try await onOwnThread { try PrivateCluster() }
        let served = try await Served.on(cluster.createDatabase("readonly"))
        var scenario = try await Scenario(served.database)
        try await scenario.addMixture(by: served)
        try await scenario.recovery(10)
        let lines = served.daemon.lines.count
        for value in ["on", "off"] {
            try await served.psql(
                """
                SET default_transaction_read_only = off;
                ALTER SYSTEM SET default_transaction_read_only = \(value);
                """)
            try await served.psql("SELECT pg_reload_conf()")
            guard value == "on" else { break }
            try await served.daemon.waitForLine(containing: "read-only transaction", from: lines)
            try await Task.sleep(for: Self.away)
        }
        #expect(try await scenario.recovery(1) < Self.patience)
        // It tried again and again, and not in a flood.
        #expect(served.daemon.lines.count - lines < 1_000)
        try await scenario.audit([served.daemon])
    }

    /// What a role or a database is limited to holds for tasks, and not for the daemon's own work.
    @Test func timeoutsOfTheRoleEndTasksAndNotTheDaemon() async throws {
        let database = try await PrivateCluster.database("timeouts")
        try await database.psql("CREATE ROLE fault_timeouts SUPERUSER LOGIN")
        // Our own statements would not stand this either: a fire that skips is one of 20 ms.
        try await database.psql(
            """
            ALTER ROLE fault_timeouts SET statement_timeout = '200ms';
            ALTER ROLE fault_timeouts SET lock_timeout = '200ms';
            ALTER ROLE fault_timeouts SET idle_in_transaction_session_timeout = '200ms';
            ALTER ROLE fault_timeouts SET idle_session_timeout = '200ms';
            """)
        let served = try await Served.on(database, environment: ["PGUSER": "fault_timeouts"])
        var scenario = try await Scenario(database)
        try await scenario.add("plain", every: 700, by: served)
        let slow = try await served.addConfig("slow", [("SQL", "SELECT pg_sleep(30)")])
        let idle = try await served.addConfig(
            "idle", [("SQL", "SELECT 1"), ("SHELL", "/bin/sh"), ("SQL", "SELECT 2")])
        let slowEnd = try await served.run(slow)
        #expect(slowEnd == "CHAIN_FAILED|canceling statement due to statement timeout|57014")
        let sleeper = try await served.psql(
            """
            SELECT chain_id FROM timetable.task_chain JOIN timetable.base_task USING (task_id)
            WHERE name = 'idle 1'
            """)
        let idleEnd = try await served.run(idle, "'{\"\(sleeper)\": [[\"-c\", \"sleep 0.6\"]]}'")
        #expect(idleEnd.hasPrefix("CHAIN_FAILED|terminating connection due to idle-in-trans"))
        // A claim, an end and a log that wait for locks outlast every limit.
        try await served.psql(
            """
            BEGIN; LOCK TABLE timetable.execution_log, timetable.run_status;
            SELECT pg_sleep(1); COMMIT;
            """)
        try await scenario.recovery(2)
        #expect(!served.daemon.lines.contains { $0.text.contains("connection to the database") })
        #expect(!served.daemon.lines.contains { $0.text.contains("lost") })
        try await scenario.audit([served.daemon])
    }

    /// No room for another connection: runs share what there is; the daemon comes back when there
    /// is room again.
    @Test func connectionsAreUsedUp() async throws {
        let database = try await PrivateCluster.database("full")
        try await database.psql(
            """
            CREATE ROLE fault_connections LOGIN;
            GRANT CREATE ON DATABASE \(database.name) TO fault_connections;
            GRANT pg_signal_backend TO fault_connections;
            GRANT ALL ON SCHEMA public TO fault_connections;
            ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO fault_connections;
            """)
        let served = try await Served.on(database, environment: ["PGUSER": "fault_connections"])
        var scenario = try await Scenario(database)
        // Two for scheduling, one for the log, and so one that all runs share.
        try await served.psql("ALTER ROLE fault_connections CONNECTION LIMIT 4")
        try await scenario.addMixture(by: served)
        try await scenario.recovery(20, "runs share a session")
        // None at all: lost, refused, and back.
        let lines = served.daemon.lines.count
        try await served.psql(
            """
            ALTER ROLE fault_connections CONNECTION LIMIT 1;
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE usename = 'fault_connections';
            """)
        try await served.daemon.waitForLine(containing: "too many connections", from: lines)
        try await Task.sleep(for: Self.away)
        #expect(served.daemon.end == nil)
        try await served.psql("ALTER ROLE fault_connections CONNECTION LIMIT -1")
        #expect(try await scenario.recovery(1) < Self.patience)
        try await scenario.audit([served.daemon])
    }

    @Test(.enabled(if: FaultForm.mayUnshare, FaultForm.needsNamespaces))
    func theDiskIsFullForAWhile() async throws {
        // A file system of the server alone: it goes with the server, however that ends.
        let folder = try makeTemporaryFolder("carillon-disk")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(
            atPath: "\(folder)/small", withIntermediateDirectories: false)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder)
        let wrapper = try FaultForm.wrapper(
            folder,
            """
            exec unshare --mount sh -c '
                mount -t tmpfs -o size=40m,uid=$(stat -c %u .) tmpfs "$0" && exec "$@"
                ' \(folder)/small "$@"
            """)
        let cluster = try await onOwnThread { try PrivateCluster(wrapper: wrapper) }
        let database = try await cluster.createDatabase("disk")
        let outside = TestDatabase(cluster: cluster, name: "postgres")
        try await outside.psql("CREATE TABLESPACE small LOCATION '\(folder)/small'")
        try await outside.psql("ALTER DATABASE \(database.name) SET TABLESPACE small")
        let served = try await Served.on(database)
        var scenario = try await Scenario(database)
        try await scenario.addMixture(by: served)
        try await scenario.recovery(10)
        let lines = served.daemon.lines.count
        try await database.psql(
            "CREATE TABLE filler (f text); ALTER TABLE filler ALTER f SET STORAGE PLAIN")
        for size in [1_000, 10, 1] {
            // Until it does not fit any more.
            await #expect(throws: PsqlFailed.self) {
                while true {
                    try await database.psql(
                        """
                        INSERT INTO filler SELECT repeat('x', 7000)
                        FROM generate_series(1, \(size))
                        """)
                }
            }
        }
        try await served.daemon.waitForLine(containing: "No space left on device", from: lines)
        try await Task.sleep(for: Self.away)
        #expect(served.daemon.end == nil)
        try await database.psql("DROP TABLE filler")
        #expect(try await scenario.recovery(1) < Self.patience)
        let since = served.daemon.lines.dropFirst(lines)
        print("\(since.count { $0.text.contains("database again") }) connections in \(Self.away)")
        #expect(since.count { $0.text.contains("database again") } < 20)
        #expect(since.count { $0.text.contains("can't be claimed") } < 20)
        try await scenario.audit([served.daemon])
    }
}

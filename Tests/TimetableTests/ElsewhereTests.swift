import Foundation
import TestSupport
import Testing

/// Sessions in the databases of `database_connection`: reused, bounded, closed when idle.
struct ElsewhereTests {
    /// A daemon, a database elsewhere with a table of what each task saw, and a chain of one task
    /// there, by the keywords or the URI of libpq.
    private static func served(
        _ arguments: [String], uri: Bool = false, _ script: String
    ) async throws -> (Served, TestDatabase, Int) {
        let served = try await Served.fresh("here", arguments)
        let other = try await PrivateCluster.database("there")
        try await other.psql("CREATE TABLE seen (backend integer, sessions integer)")
        let config = try await served.addConfig("away", [("SQL", script)])
        let string =
            uri
            ? "postgresql://postgres@/\(other.name)?host=\(other.cluster.folder)"
            : other.connectionString
        try await served.psql(
            """
            INSERT INTO timetable.database_connection (connect_string) VALUES ('\(string)');
            UPDATE timetable.task_chain SET database_connection = 1;
            """)
        return (served, other, config)
    }

    private static let look = """
        INSERT INTO seen SELECT pg_backend_pid(), count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'carillon worker001 run'
        """

    private static func sessions(in database: TestDatabase) -> String {
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '\(database.name)'"
    }

    @Test(arguments: [true, false]) func oneSessionServesOneRunAfterTheOther(
        uri: Bool
    ) async throws {
        let (served, other, config) = try await Self.served([], uri: uri, Self.look)
        for _ in 1...5 { #expect(try await served.run(config) == "CHAIN_DONE||") }
        #expect(
            try await other.psql("SELECT count(*), count(DISTINCT backend) FROM seen") == "5|1")
        // One that the server ended is replaced.
        try await served.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '\(other.name)'"
        )
        try await served.waitFor("0", Self.sessions(in: other))
        #expect(try await served.run(config) == "CHAIN_DONE||")
        #expect(try await other.psql("SELECT count(DISTINCT backend) FROM seen") == "2")
    }

    @Test func theyAreBounded() async throws {
        let (served, other, config) = try await Self.served(
            ["--sql-connections", "2"], Self.look + "; SELECT pg_sleep(0.2)")
        try await served.psql("SELECT timetable.run(\(config)) FROM generate_series(1, 8)")
        try await served.waitFor(
            "8", "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'CHAIN_DONE'")
        #expect(
            try await other.psql(
                "SELECT count(*), count(DISTINCT backend), max(sessions) FROM seen")
                == "8|2|2")
    }

    @Test func theyAreClosedWhenIdle() async throws {
        let (served, other, config) = try await Self.served(
            ["--sql-idle-timeout", "0.3"], Self.look)
        for _ in 1...2 {
            #expect(try await served.run(config) == "CHAIN_DONE||")
            try await served.waitFor("0", Self.sessions(in: other), within: .seconds(20))
        }
        // Ours too, but for the two that listen and write the record.
        try await served.waitFor(
            "0",
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'carillon worker001 run'
            """)
    }

    @Test func aWrongPasswordIsAFailedRunAndNowhereInTheRecord() async throws {
        let cluster = try await onOwnThread { try PrivateCluster() }
        let other = try await cluster.createDatabase("locked")
        try await other.psql("CREATE ROLE locked LOGIN PASSWORD 'right-s3cret'")
        let hba = try await other.psql("SHOW hba_file")
        let trust = try String(contentsOfFile: hba, encoding: .utf8)
        try Data(("local all locked scram-sha-256\n" + trust).utf8).write(
            to: URL(filePath: hba), options: [])
        try await other.psql("SELECT pg_reload_conf()")
        let served = try await Served.fresh("here", ["--database-log-level", "debug"])
        let config = try await served.addConfig("away", [("SQL", "SELECT current_user")])
        let string = "host=\(cluster.folder) dbname=\(other.name) user=locked"
        try await served.psql(
            """
            INSERT INTO timetable.database_connection (connect_string)
            VALUES ('\(string) password=wr0ng-s3cret');
            UPDATE timetable.task_chain SET database_connection = 1;
            """)
        let end = try await served.run(config)
        #expect(end.hasPrefix("CHAIN_FAILED|no connection for an SQL task: "))
        #expect(end.contains("password authentication failed for user \"locked\""))
        #expect(end.hasSuffix("|28P01"))
        // The next run looks at what is written then.
        try await served.psql(
            """
            UPDATE timetable.database_connection
            SET connect_string = '\(string) password=right-s3cret'
            """)
        #expect(try await served.run(config) == "CHAIN_DONE||")
        try await served.waitFor(
            "1|28P01\n0|",
            "SELECT returncode, sqlstate FROM timetable.execution_log ORDER BY finished")
        for table in ["execution_log", "log", "worker", "run_status", "run_request"] {
            #expect(
                try await served.psql(
                    "SELECT * FROM timetable.\(table) AS t WHERE t::text LIKE '%s3cret%'") == "")
        }
        #expect(!served.daemon.lines.contains { $0.text.contains("s3cret") })
    }
}

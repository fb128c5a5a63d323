import TestSupport
import Testing

/// Why a daemon does not start: one sentence, and an exit code of its own.
struct StartFailureTests {
    private func refusal(
        _ database: TestDatabase, _ arguments: [String], _ environment: [String: String] = [:]
    ) async throws -> (code: ProgramEnd, text: String) {
        let daemon = try DaemonProcess(
            ["serve"] + arguments,
            environment: database.environment.merging(environment) { $1 })
        let end = try await daemon.waitForExit(within: .seconds(30))
        let said = daemon.lines.map(\.text).filter { $0.hasPrefix("carillon: ") }
        #expect(said.count == 1, "\(daemon.lines.map(\.text))")
        return (end, said.first ?? "")
    }

    @Test func noServer() async throws {
        let database = try await PrivateCluster.database("refused")
        let (end, text) = try await refusal(database, ["--host", "/nowhere"])
        #expect(end == .exited(2))
        #expect(text.contains("no connection to the database"))
        #expect(text.contains(": No such file or directory. Is the server running"))
        #expect(text.hasSuffix("accepting connections on that socket?"))
    }

    @Test func noDatabase() async throws {
        let database = try await PrivateCluster.database("refused")
        let (end, text) = try await refusal(database, ["--dbname", "no_such_database"])
        #expect(end == .exited(4))
        #expect(text.contains("no_such_database"))
        #expect(
            text.hasSuffix("hint: name another by --dbname or PGDATABASE, or make it by createdb"))
    }

    @Test func noRightToInstall() async throws {
        let database = try await PrivateCluster.database("refused")
        try await database.psql("CREATE ROLE poor_\(database.name) LOGIN")
        let (end, text) = try await refusal(database, ["--user", "poor_\(database.name)"])
        #expect(end == .exited(5))
        #expect(text.contains("GRANT CREATE ON DATABASE"))
    }

    @Test(arguments: [
        ("CREATE SCHEMA timetable", "is not Carillon's"),
        (
            "CREATE SCHEMA timetable; CREATE TABLE timetable.schema_version (version integer)",
            "only half there"
        ),
        (
            """
            CREATE SCHEMA timetable; CREATE TABLE timetable.schema_version (version integer);
            INSERT INTO timetable.schema_version VALUES (999)
            """, "use a newer carillon"
        ),
    ])
    func aForeignSchema(sql: String, reason: String) async throws {
        let database = try await PrivateCluster.database("refused")
        try await database.psql(sql)
        let (end, text) = try await refusal(database, [])
        #expect(end == .exited(6))
        #expect(text.contains(reason))
    }

    @Test func waitingForADatabaseThatComes() async throws {
        let database = try await PrivateCluster.database("awaited")
        let daemon = try DaemonProcess(
            ["serve", "--wait", "--dbname", database.name + "_later"],
            environment: database.environment, notify: true)
        try await daemon.waitForLine(containing: "trying again")
        try await database.psql("CREATE DATABASE \(database.name)_later")
        try await daemon.waitForNotify("READY=1", within: .seconds(20))
        daemon.terminate()
        #expect(try await daemon.waitForExit() == .exited(0))
        try await database.psql("DROP DATABASE \(database.name)_later WITH (FORCE)")
    }

    @Test func anUnknownOptionIsAUsageError() async throws {
        let database = try await PrivateCluster.database("refused")
        let daemon = try DaemonProcess(
            ["serve", "--drain-timeout=-1"], environment: database.environment)
        #expect(try await daemon.waitForExit() == .exited(64))
        #expect(daemon.lines.contains { $0.text.contains("--drain-timeout must be") })
    }
}

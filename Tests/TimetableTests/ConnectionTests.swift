import Foundation
import Glibc
import TestSupport
import Testing

/// The ways to say where the database is, and what becomes of a password.
struct ConnectionTests {
    private func serve(
        _ arguments: [String], _ environment: [String: String]
    ) async throws -> DaemonProcess {
        let daemon = try DaemonProcess(
            ["serve", "--name", "c"] + arguments, environment: environment, notify: true)
        try await daemon.waitForNotify("READY=1", within: .seconds(30))
        return daemon
    }

    @Test func aUriSaysItAll() async throws {
        let database = try await PrivateCluster.database("uri")
        let host = database.cluster.folder.replacing("/", with: "%2F")
        let uri = "postgresql://postgres:hidden@\(host):5432/\(database.name)"
        let daemon = try await serve(["--connection", uri], [:])
        let line = try String(contentsOfFile: "/proc/\(daemon.pid)/cmdline", encoding: .utf8)
        #expect(!line.contains("hidden"))
    }

    /// However it is written, ps(1) shows no part of it, and the server no more.
    @Test(arguments: [
        "password = hidden", "PASSWORD=x password='hid\\\'den hidden'", "sslpassword=hidden",
    ])
    func aConnectionStringIsHidden(secret: String) async throws {
        let database = try await PrivateCluster.database("hidden")
        let text = "\(database.connectionString) \(secret)".replacing("PASSWORD=x ", with: "")
        for arguments in [["--connection", text], ["--connection=\(text)"]] {
            let daemon = try await serve(arguments + ["-v"], [:])
            let line = try String(contentsOfFile: "/proc/\(daemon.pid)/cmdline", encoding: .utf8)
            #expect(line.contains("--connection") && !line.contains("hid"))
            let shown = try await database.psql(
                """
                SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()
                    AND (query LIKE '%hid%' OR application_name LIKE '%hid%')
                """)
            #expect(shown == "0")
            daemon.terminate()
            #expect(try await daemon.waitForExit() == .exited(0))
            #expect(!daemon.lines.contains { $0.text.contains("hid") })
            #expect(
                try await database.psql(
                    "SELECT count(*) FROM timetable.log WHERE message LIKE '%hid%'") == "0")
        }
    }

    /// Options beat PG* variables.
    @Test func optionsBeatTheEnvironment() async throws {
        let database = try await PrivateCluster.database("options")
        var environment = database.environment
        environment["PGDATABASE"] = "no_such_database"
        let daemon = try await serve(
            ["--dbname", database.name, "--password", "hidden"], environment)
        let line = try String(contentsOfFile: "/proc/\(daemon.pid)/cmdline", encoding: .utf8)
        #expect(line.contains("--password"))
        #expect(!line.contains("hidden"))
    }

    @Test func aServiceFileIsRead() async throws {
        let database = try await PrivateCluster.database("service")
        let folder = try makeTemporaryFolder("carillon-service")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try """
        [jobs]
        host=\(database.cluster.folder)
        port=5432
        dbname=\(database.name)
        user=postgres

        """.write(toFile: folder + "/services", atomically: false, encoding: .utf8)
        _ = try await serve(
            [], ["PGSERVICE": "jobs", "PGSERVICEFILE": folder + "/services"])
    }

    @Test func passwordsComeFromAFileAndAWrongOneIsSaid() async throws {
        let cluster = try await onOwnThread { try PrivateCluster() }
        let database = try await cluster.createDatabase("password")
        try await database.psql(
            """
            CREATE ROLE locked LOGIN PASSWORD 'right';
            GRANT CREATE ON DATABASE "\(database.name)" TO locked;
            """)
        let settings = try await database.psql("SHOW hba_file")
        let hba = settings.trimmingCharacters(in: .whitespacesAndNewlines)
        let trust = try String(contentsOfFile: hba, encoding: .utf8)
        try Data(("local all locked scram-sha-256\n" + trust).utf8).write(
            to: URL(filePath: hba), options: [])
        try await database.psql("SELECT pg_reload_conf()")

        let folder = try makeTemporaryFolder("carillon-pgpass")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let file = folder + "/pgpass"
        try "*:*:*:locked:right\n".write(toFile: file, atomically: false, encoding: .utf8)
        _ = unsafe chmod(file, 0o600)
        var environment = database.environment
        environment["PGUSER"] = "locked"
        environment["PGPASSFILE"] = file
        let daemon = try await serve([], environment)
        daemon.terminate()
        #expect(try await daemon.waitForExit() == .exited(0))

        let refused = try DaemonProcess(
            ["serve", "--name", "c", "--password", "wrong-secret"], environment: environment)
        #expect(try await refused.waitForExit(within: .seconds(30)) == .exited(3))
        let said = refused.lines.map(\.text).joined(separator: "\n")
        #expect(said.contains("password authentication failed"))
        #expect(!said.contains("wrong-secret"))
    }
}

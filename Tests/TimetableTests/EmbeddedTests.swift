import Foundation
import Glibc
import TestSupport
import Testing

/// `carillon serve --embedded` with real servers in temporary folders.
struct EmbeddedTests {
    private static func connection(_ daemon: DaemonProcess) async throws -> String {
        let line = try await daemon.waitForLine(containing: "psql '", within: .seconds(60))
        let parts = line.text.split(separator: "'")
        return String(try #require(parts.count > 1 ? parts[1] : nil))
    }

    private static func serve(_ folder: String) async throws -> (DaemonProcess, String) {
        let daemon = try DaemonProcess(
            ["serve", "--embedded", folder, "--name", "embedded"], notify: true)
        let connection = try await connection(daemon)
        try await daemon.waitForNotify("READY=1", within: .seconds(60))
        return (daemon, connection)
    }

    private static func psql(_ connection: String, _ sql: String) async throws -> String {
        let programs = try await onOwnThread { try PrivateCluster.shared.programs }
        let result = try await runProgram(
            "\(programs)/psql", ["-XAtq", "-v", "ON_ERROR_STOP=1", connection], stdin: sql)
        #expect(result.end == .exited(0), "\(result.stderr)")
        return result.stdout
    }

    /// The server processes whose cluster lies in `folder`.
    private static func servers(in folder: String) -> [Int32] {
        let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return processes.compactMap { Int32($0) }.filter { process in
            let cwd = try? FileManager.default.destinationOfSymbolicLink(
                atPath: "/proc/\(process)/cwd")
            return cwd == folder + "/data"
        }
    }

    private static func stop(_ daemon: DaemonProcess, in folder: String) async throws {
        daemon.terminate()
        #expect(try await daemon.waitForExit(within: .seconds(60)) == .exited(0))
        #expect(servers(in: folder).isEmpty)
    }

    @Test func aSecondStartFindsWhatTheFirstLeft() async throws {
        let folder = try makeTemporaryFolder("carillon-embedded") + "/db"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (first, connection) = try await Self.serve(folder)
        _ = try await Self.psql(connection, "CREATE TABLE kept AS SELECT 42 AS answer")
        let tcp = try await Self.psql(connection, "SHOW listen_addresses")
        #expect(tcp == "\n")
        try await Self.stop(first, in: folder)
        let (second, again) = try await Self.serve(folder)
        #expect(try await Self.psql(again, "SELECT answer FROM kept") == "42\n")
        try await Self.stop(second, in: folder)
    }

    @Test func aServerThatWasLeftRunningIsTakenOver() async throws {
        let folder = try makeTemporaryFolder("carillon-embedded") + "/db"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (first, connection) = try await Self.serve(folder)
        _ = try await Self.psql(connection, "CREATE TABLE kept AS SELECT 42 AS answer")
        first.kill()
        _ = try await first.waitForExit()
        let (second, again) = try await Self.serve(folder)
        #expect(try await Self.psql(again, "SELECT answer FROM kept") == "42\n")
        try await Self.stop(second, in: folder)
    }

    /// As root: the server's user may enter no directory above.
    @Test(.enabled(if: geteuid() == 0)) func theDirectoriesAboveMayBeClosed() async throws {
        let closed = try makeTemporaryFolder("carillon-closed")
        defer { try? FileManager.default.removeItem(atPath: closed) }
        try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: closed)
        let inner = closed + "/inner"
        let folder = inner + "/db"
        try FileManager.default.createDirectory(
            atPath: inner, withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o700])
        let (daemon, connection) = try await Self.serve(folder)
        let user = try await Self.psql(connection, "SELECT current_user")
        #expect(user == "scheduler\n")
        try await Self.stop(daemon, in: folder)
    }

    @Test func aPathMayBeTooLongForASocket() async throws {
        let base = try makeTemporaryFolder("carillon-long")
        defer { try? FileManager.default.removeItem(atPath: base) }
        let folder = base + "/" + String(repeating: "long name ", count: 12) + "end"
        let (daemon, connection) = try await Self.serve(folder)
        #expect(try await Self.psql(connection, "SELECT 1") == "1\n")
        try await Self.stop(daemon, in: folder)
    }

    @Test func noPostgresIsOneSentence() async throws {
        // The usual places are hidden by an empty folder over them: only root can do that.
        guard geteuid() == 0 else { return }
        let folder = try makeTemporaryFolder("carillon-none")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let carillon = try DaemonProcess.builtCarillon()
        let script = """
            mount -t tmpfs none /usr/lib/postgresql
            PATH=/none exec "$1" serve --embedded "$2/db"
            """
        let result = try await runProgram(
            "/usr/bin/unshare",
            ["--mount", "/bin/sh", "-c", script, "sh", carillon, folder])
        guard !result.stderr.contains("unshare") else { return }  // not allowed here
        #expect(result.end == .exited(8), "\(result.stderr)")
        #expect(result.stderr.hasPrefix("carillon: no PostgreSQL server of version 12 or newer"))
        #expect(!FileManager.default.fileExists(atPath: folder + "/db"))
    }

    @Test func aClusterOfAnotherVersionIsRefused() async throws {
        let folder = try makeTemporaryFolder("carillon-old")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let cluster = folder + "/data"
        try FileManager.default.createDirectory(
            atPath: cluster, withIntermediateDirectories: false)
        try "11\n".write(toFile: cluster + "/PG_VERSION", atomically: false, encoding: .utf8)
        if geteuid() == 0 {
            _ = try await runProgram("/bin/chown", ["-R", "nobody", cluster])
        }
        let daemon = try DaemonProcess(["serve", "--embedded", folder])
        #expect(try await daemon.waitForExit(within: .seconds(30)) == .exited(8))
        #expect(daemon.lines.contains { $0.text.contains("holds a cluster of PostgreSQL 11") })
    }

    @Test(arguments: [
        (["--embedded", "/proc/none"], ProgramEnd.exited(1), "/proc/none can't be made"),
        (["--embedded", "/tmp/x", "--host", "a"], .exited(64), "--embedded brings its own server"),
    ])
    func whatCanNotBeServedIsSaid(arguments: [String], end: ProgramEnd, says: String) async throws {
        let daemon = try DaemonProcess(["serve"] + arguments)
        #expect(try await daemon.waitForExit(within: .seconds(30)) == end)
        #expect(daemon.lines.contains { $0.text.contains(says) }, "\(daemon.lines.map(\.text))")
    }
}

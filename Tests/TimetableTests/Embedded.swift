import Foundation
import Glibc
import TestSupport
import Testing

/// A temporary directory for `carillon serve --embedded`, and the daemon that serves it.
///
/// With the last reference the daemon, its server and the directory are gone.
final class Embedded {
    let folder: String
    /// Who starts the daemon; nil is the user of the tests.
    var user: String?
    private let top: String
    private let programs: String
    private var daemon: DaemonProcess?
    private var connection = ""

    /// - Parameters:
    ///   - name: of the directory below a new temporary one; nothing is made yet.
    ///   - user: who starts the daemon and owns the temporary directory.
    init(_ name: String = "db", user: String? = nil) throws {
        top = try makeTemporaryFolder("carillon-embedded")
        folder = "\(top)/\(name)"
        self.user = user
        programs = try PrivateCluster.shared.programs
        if let user {
            _ = try runProgram("chown", [user, top])
        }
    }

    deinit {
        daemon = nil
        // Killed with the daemon, unless a test failed in between.
        for process in processes { Glibc.kill(process, SIGQUIT) }
        try? FileManager.default.removeItem(atPath: top)
    }

    /// Makes the directory above, with the rights `mode`.
    func makeParent(mode: Int) throws {
        let parent = String(folder[..<(folder.lastIndex(of: "/") ?? folder.endIndex)])
        try FileManager.default.createDirectory(
            atPath: parent, withIntermediateDirectories: false,
            attributes: [.posixPermissions: mode])
        if let user { _ = try runProgram("chown", [user, parent]) }
    }

    // MARK: The daemon

    /// Starts the daemon, waits until it is ready, and returns how to connect.
    @discardableResult
    func serve() async throws -> String {
        daemon = nil
        let daemon = try start()
        self.daemon = daemon
        let line = try await daemon.waitForLine(containing: "psql 'host=", within: .seconds(60))
        try await daemon.waitForLine(containing: "ready: ", within: .seconds(60))
        // A name in it may have quotes too: ours are the last.
        let text = try #require(line.text.components(separatedBy: "psql '").last)
        connection = String(text.dropLast())
        return connection
    }

    private func start() throws -> DaemonProcess {
        let arguments = ["serve", "--embedded", folder, "--name", "embedded"]
        guard let user else { return try DaemonProcess(arguments) }
        let group = try runProgram("id", ["-g", user]).stdout.filter { !$0.isNewline }
        let options = ["--reuid", user, "--regid", group, "--clear-groups", "--pdeathsig", "KILL"]
        let carillon = try DaemonProcess.builtCarillon()
        return try DaemonProcess(options + [carillon] + arguments, program: "setpriv")
    }

    /// Starts the daemon where it can't serve; returns how it ended and what it said last.
    func failure() async throws -> (end: ProgramEnd, text: String) {
        let daemon = try start()
        let end = try await daemon.waitForExit(within: .seconds(60))
        let said = daemon.lines.filter { $0.source == .stderr }.map(\.text)
        #expect(said.count == 1, "one sentence: \(said)")
        return (end, said.last ?? "")
    }

    var lines: [String] { daemon?.lines.map(\.text) ?? [] }

    func waitForLine(_ text: String) async throws {
        try await daemon?.waitForLine(containing: text, within: .seconds(30))
    }

    /// SIGTERM; afterwards no process of the cluster may be left.
    func stop() async throws {
        daemon?.terminate()
        try await expectCleanEnd()
    }

    /// SIGINT to the daemon's process group, as by Ctrl-C at a terminal.
    func interruptGroup() async throws {
        if let daemon { Glibc.kill(-daemon.pid, SIGINT) }
        try await expectCleanEnd()
    }

    private func expectCleanEnd() async throws {
        let end = try await daemon?.waitForExit(within: .seconds(60))
        #expect(end == .exited(0), "\(lines.joined(separator: "\n"))")
        #expect(processes == [])
    }

    /// SIGKILL to the daemon alone.
    func kill() async throws {
        daemon?.kill()
        _ = try await daemon?.waitForExit()
    }

    // MARK: The cluster

    /// Runs SQL and returns its rows.
    @discardableResult
    func psql(_ sql: String, as role: String? = nil) async throws -> String {
        let result = try await runProgram(
            "\(programs)/psql",
            ["-XAtq", "-v", "ON_ERROR_STOP=1", connection + (role.map { " user='\($0)'" } ?? "")],
            stdin: sql)
        guard result.end == .exited(0) else {
            throw NotReached("psql: \(result.end)\n\(result.stderr)")
        }
        return result.stdout.hasSuffix("\n") ? String(result.stdout.dropLast()) : result.stdout
    }

    /// What the server says of itself, postmaster.pid.
    var status: String? {
        try? String(contentsOfFile: "\(folder)/data/postmaster.pid", encoding: .utf8)
    }

    /// The server's first process.
    var server: Int32? { status?.split(separator: "\n").first.flatMap { Int32($0) } }

    /// All processes that work in the cluster, or in one that is being made.
    var processes: [Int32] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return all.compactMap { Int32($0) }.filter { process in
            let place = try? FileManager.default.destinationOfSymbolicLink(
                atPath: "/proc/\(process)/cwd")
            return place?.hasPrefix(folder + "/data") == true
        }
    }

    /// Options of setpriv(1) to become the user whom the server runs as.
    var asServerUser: [String] {
        guard geteuid() == 0 else { return ["--pdeathsig", "KILL"] }
        let attributes = try? FileManager.default.attributesOfItem(atPath: "\(folder)/data")
        let owner = attributes?[.ownerAccountName] as? String ?? "postgres"
        let group = attributes?[.groupOwnerAccountName] as? String ?? "postgres"
        return ["--reuid", owner, "--regid", group, "--clear-groups", "--pdeathsig", "KILL"]
    }

    /// A server in the cluster that no carillon knows of, as one that was left running.
    func startServerByHand() throws -> DaemonProcess {
        // By descriptors, since the server's user may not enter the directories above.
        let script = """
            exec 8<"$1/socket" 9<"$1/data"
            cd /
            shift
            exec setpriv "$@" -D /proc/self/fd/9 -c listen_addresses= \\
                -c unix_socket_directories=/proc/self/fd/8
            """
        let server = ["sh", folder] + asServerUser + ["\(programs)/postgres"]
        return try DaemonProcess(["-c", script] + server, program: "/bin/sh")
    }

    /// Runs the daemon to its end where `script` changed the mounts (`$2` is the directory, which
    /// exists); nil where that is not allowed.
    func runWithMount(_ script: String, at directory: String) async throws -> ProgramResult? {
        let mayMount = try await runProgram(
            "unshare", ["--mount", "mount", "-t", "tmpfs", "none", top])
        guard mayMount.end == .exited(0) else { return nil }
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        let serve = "\n exec \"$1\" serve --embedded \"$2\" --name embedded"
        return try await runProgram(
            "unshare",
            [
                "--mount", "/bin/sh", "-ec", script + serve, "sh",
                DaemonProcess.builtCarillon(), directory,
            ])
    }
}

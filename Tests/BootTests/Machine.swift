import Foundation
import TestSupport

/// A real systemd with Carillon and PostgreSQL on it, thrown away with the test process.
///
/// It has the files of this machine, and nothing that it writes comes back. Its network is its own.
final class Machine: Sendable {
    /// Why none can be booted here; nil: one can.
    static let obstacle: String? = {
        do {
            let probe = try runProgram("/bin/bash", [script, "--probe"])
            guard probe.end != .exited(0) else { return nil }
            return "no systemd can be booted here: \(probe.stdout)\(probe.stderr)"
        } catch {
            return "no systemd can be booted here: \(error)"
        }
    }()

    private static let script = folder(of: #filePath) + "/boot.sh"
    /// The top of the repository.
    static let repository = folder(of: folder(of: folder(of: #filePath)))

    private static let shared = OneMachine()
    /// The one that all tests share.
    static var booted: Machine {
        get async throws { try await shared.machine() }
    }

    private let process: DaemonProcess
    /// Its process 1, by our number.
    private let leader: Int32

    fileprivate init() async throws {
        process = try DaemonProcess(
            [Self.script, makeTemporaryFolder("carillon-boot")], program: "/bin/bash")
        let line = try await process.waitForLine(containing: "booted as ", within: .seconds(120))
        leader = Int32(line.text.split(separator: " ").last ?? "") ?? 0
        // The manager then writes down each notification that it gets.
        try await run("systemctl", "log-level", "debug")
        try await installServer()
        try await preparePackage()
    }

    private static func folder(of path: String) -> String {
        (path as NSString).deletingLastPathComponent
    }

    // MARK: Inside

    /// Runs a program inside, as root, and returns what it wrote; throws when it fails.
    @discardableResult
    func run(
        _ program: String, _ arguments: String..., stdin: String = "",
        limit: Duration = .seconds(60)
    ) async throws -> String {
        let result = try await attempt([program] + arguments, stdin: stdin, limit: limit)
        guard result.end == .exited(0) else {
            throw NotReached(
                "\(program) \(arguments.joined(separator: " ")): \(result.end)\n"
                    + result.stdout + result.stderr)
        }
        return result.stdout.trimmed
    }

    /// The same, whatever its end.
    func attempt(
        _ command: [String], stdin: String = "", limit: Duration = .seconds(60)
    ) async throws -> ProgramResult {
        let names = ["-m", "-p", "-C", "-i", "-u", "-n"]
        let variables = [
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb",
            "SYSTEMD_COLORS=0", "SYSTEMD_PAGER=",
        ]
        return try await runProgram(
            "nsenter", ["-t", "\(leader)"] + names + ["env", "-i"] + variables + command,
            stdin: stdin, limit: limit)
    }

    func systemctl(_ arguments: String...) async throws {
        let result = try await attempt(["systemctl", "--no-pager"] + arguments)
        guard result.end == .exited(0) else {
            let journal = try await run("journalctl", "--no-pager", "-n", "60")
            throw NotReached(
                "systemctl \(arguments.joined(separator: " ")): \(result.stderr)\n\(journal)")
        }
    }

    /// How many processes have this command line.
    func count(_ commandLine: String) async throws -> Int {
        let found = try await attempt(["pgrep", "-c", "-fx", commandLine])
        guard let number = Int(found.stdout.trimmed) else { throw NotReached(found.stderr) }
        return number
    }

    func hostName() async throws -> String { try await run("hostname") }

    // MARK: Files

    /// Where a file of the machine is for us.
    private func outer(_ path: String) -> String { "/proc/\(leader)/root\(path)" }

    func install(_ source: String, at path: String, mode: String = "644") async throws {
        let result = try await runProgram("install", ["-D", "-m", mode, source, outer(path)])
        guard result.end == .exited(0) else { throw NotReached(result.stderr) }
    }

    func write(_ text: String, to path: String, mode: String = "644") async throws {
        try await run("mkdir", "-p", (path as NSString).deletingLastPathComponent)
        try await run("install", "-m", mode, "/dev/stdin", path, stdin: text)
    }

    /// Puts lines for the section Service into a drop-in of a unit.
    func dropIn(_ lines: String, for unit: String = "carillon.service") async throws {
        try await write(
            "[Service]\n\(lines)\n", to: "/etc/systemd/system/\(unit).d/test.conf")
        try await systemctl("daemon-reload")
    }

    // MARK: What is on it

    private func installServer() async throws {
        let unit = """
            [Service]
            Type=notify
            User=postgres
            ExecStart=\(PrivateCluster.installedPrograms)/postgres -D /var/lib/carillon-test \
            -k /run/postgresql -c fsync=off
            RuntimeDirectory=postgresql
            KillMode=mixed
            KillSignal=SIGINT
            """
        try await write(unit, to: "/etc/systemd/system/postgresql.service")
        try await run("install", "-d", "-o", "postgres", "/var/lib/carillon-test")
        try await asPostgres(
            "\(PrivateCluster.installedPrograms)/initdb", "-D", "/var/lib/carillon-test",
            "--auth-local=peer", "--auth-host=scram-sha-256", "--no-sync", "--locale=C.UTF-8",
            "--encoding=UTF8")
        try await systemctl("daemon-reload")
        try await systemctl("start", "postgresql")
        try await psql("CREATE ROLE scheduler LOGIN PASSWORD 'somestrong'", in: "postgres")
    }

    /// Makes a package of the program that was built for the tests.
    private func preparePackage() async throws {
        let program = try DaemonProcess.builtCarillon()
        try await installLibraries(of: program)
        let folder = try makeTemporaryFolder("carillon-package")
        let made = try await runProgram(
            "/bin/bash", [Self.folder(of: #filePath) + "/package.sh", program, folder],
            limit: .seconds(300))
        guard made.end == .exited(0) else { throw NotReached(made.stdout + made.stderr) }
        try await install("\(folder)/carillon.deb", at: "/var/cache/carillon.deb")
        // Else each change of a package looks through all pages that the machine has.
        try await run("rm", "-f", "/var/lib/man-db/auto-update")
    }

    func installPackage() async throws {
        try await run("dpkg", "--force-unsafe-io", "--install", "/var/cache/carillon.deb")
    }

    var hasPackage: Bool {
        get async throws {
            try await attempt(["test", "-e", "/usr/bin/carillon"]).end == .exited(0)
        }
    }

    /// Swift's own may be where the service's user sees nothing, such as in a home.
    private func installLibraries(of program: String) async throws {
        let list = try await runProgram("ldd", [program]).stdout
        let paths = list.split(separator: "\n").compactMap { line -> String? in
            let words = line.split(separator: " ").map(String.init)
            guard words.count > 2, words[1] == "=>" else { return nil }
            return ["/lib/", "/usr/lib/"].contains(where: words[2].hasPrefix) ? nil : words[2]
        }
        for path in paths {
            try await install(path, at: "/usr/local/lib/" + (path as NSString).lastPathComponent)
        }
        try await run("ldconfig")
    }

    // MARK: The database

    @discardableResult
    func asPostgres(_ command: String..., stdin: String = "") async throws -> String {
        let become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        let result = try await attempt(become + command, stdin: stdin)
        guard result.end == .exited(0) else { throw NotReached(result.stderr) }
        return result.stdout.trimmed
    }

    /// Runs SQL as the superuser, and returns its rows as `TestDatabase.psql` does.
    @discardableResult
    func psql(_ sql: String, in database: String = "timetable") async throws -> String {
        try await asPostgres(
            "\(PrivateCluster.installedPrograms)/psql", "-h", "/run/postgresql", "-d", database,
            "-XAtq", "-v", "ON_ERROR_STOP=1", stdin: sql)
    }

    func waitFor(_ expected: String, _ sql: String) async throws {
        try await eventually("\(sql) gives \(expected)") { try await psql(sql) == expected }
    }

    /// Makes a chain and a config for it; returns its id.
    func addConfig(
        _ name: String, _ tasks: [(kind: String, script: String)]
    ) async throws -> String {
        try await psql(Served.statements(addingConfig: name, tasks))
    }
}

extension String {
    var trimmed: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}

/// Boots at the first call; those that come meanwhile wait for the same machine.
private actor OneMachine {
    private var booting: Task<Machine, any Error>?

    func machine() async throws -> Machine {
        let task = booting ?? Task { try await Machine() }
        booting = task
        return try await task.value
    }
}

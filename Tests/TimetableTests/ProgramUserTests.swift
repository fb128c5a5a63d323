import Foundation
import Glibc
import TestSupport
import Testing

private let weAreRoot = geteuid() == 0

/// Who a program runs as, and what it finds there.
struct ProgramUserTests {
    private static let describe =
        #"[["-c", "id -u; id -g; id -G; echo $HOME,$USER,$LOGNAME,$SHELL; pwd"]]"#

    private func addShell(
        _ served: Served, _ program: String = "/bin/sh", user: String
    ) async throws -> Int {
        let config = try await served.addConfig("as a user", [("SHELL", program)])
        try await served.psql("UPDATE timetable.task_chain SET run_uid = '\(user)'")
        return config
    }

    private func output(of served: Served) async throws -> String {
        try await served.waitFor("1", "SELECT count(*) FROM timetable.execution_log")
        return try await served.psql("SELECT output FROM timetable.execution_log")
    }

    @Test(.enabled(if: weAreRoot), arguments: ["nobody", "postgres", "65534", "root", "0"])
    func itRunsAsItsUserWithTheGroupsAndTheHome(_ user: String) async throws {
        let served = try await Served.fresh("user")
        let config = try await addShell(served, user: user)
        #expect(try await served.run(config, "'\(Self.describe)'") == "CHAIN_DONE||")
        let entry = try await runProgram("getent", ["passwd", user]).stdout
            .dropLast().split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        #expect(entry.count == 7)
        let groups = try await runProgram("id", ["-G", entry[0]]).stdout
        var isFolder: ObjCBool = false
        let hasHome = unsafe FileManager.default.fileExists(
            atPath: entry[5], isDirectory: &isFolder)
        let folder = hasHome && isFolder.boolValue ? entry[5] : "/"
        #expect(
            try await output(of: served) == """
                \(entry[2])
                \(entry[3])
                \(groups)\(entry[5]),\(entry[0]),\(entry[0]),\(entry[6])
                \(folder)

                """)
    }

    @Test(.enabled(if: weAreRoot)) func argumentsReachItThroughNoShell() async throws {
        let served = try await Served.fresh("user")
        let config = try await addShell(served, "printf", user: "nobody")
        let nasty = ["", " ", "a b", "$(id)", "`id`", "'\"\\", "ü\n*", "--reuid=0", "-x"]
        let json = String(
            decoding: try JSONEncoder().encode([["<%s>"] + nasty]), as: UTF8.self)
        #expect(try await served.run(config, "$json$\(json)$json$") == "CHAIN_DONE||")
        #expect(try await output(of: served) == nasty.map { "<\($0)>" }.joined())
    }

    struct Refused: Sendable, CustomTestStringConvertible {
        var user = "nobody"
        var program = "/bin/sh"
        var says: String
        var code = "127"

        var testDescription: String { says }
    }

    @Test(
        .enabled(if: weAreRoot),
        arguments: [
            Refused(user: "no such user", says: "there is no user 'no such user'"),
            Refused(user: "", says: "there is no user ''"),
            Refused(user: "4294967295", says: "there is no user '4294967295'"),
            Refused(user: "-1", says: "there is no user '-1'"),
            Refused(user: "root; id", says: "there is no user 'root; id'"),
            Refused(program: "/nonexistent/program", says: "no shell is used"),
            Refused(program: "no-such-program", says: "no shell is used"),
            Refused(program: "--help", says: "no shell is used"),
            Refused(program: "/etc/passwd", says: "may not be run"),
        ]) func whatCannotBeSaysWhy(_ row: Refused) async throws
    {
        let served = try await Served.fresh("user")
        let config = try await addShell(served, row.program, user: row.user)
        let end = try await served.run(config)
        #expect(end.hasPrefix("CHAIN_FAILED|") && end.contains(row.says), "\(end)")
        try await served.waitFor(row.code, "SELECT returncode FROM timetable.execution_log")
    }

    /// What only the kernel can tell is told as setpriv(1) heard it.
    @Test(.enabled(if: weAreRoot)) func aFileThatOnlyWeMayRunIsNotRun() async throws {
        let folder = try makeTemporaryFolder("carillon-user")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func write(_ name: String, _ text: String) async throws {
            // By a process of its own; see SpawnTests.
            _ = try await runProgram(
                "/bin/sh", ["-c", #"cat >"$1" && chmod 755 "$1""#, "sh", "\(folder)/\(name)"],
                stdin: text)
        }
        try await write("private", "#!/bin/sh\nid -u\n")
        try await write("bare", "id -u\n")
        try await write("orphan", "#!/nonexistent/shell\n")
        for (name, isOpen, says) in [
            ("private", false, "could not be run as user 'nobody'"),
            ("private", true, "CHAIN_DONE"),
            ("bare", true, "needs a first line such as #!/bin/sh"),
            ("orphan", true, "could not be run as user 'nobody'"),
        ] {
            try FileManager.default.setAttributes(
                [.posixPermissions: isOpen ? 0o755 : 0o700], ofItemAtPath: folder)
            let served = try await Served.fresh("user")
            let config = try await addShell(served, "\(folder)/\(name)", user: "nobody")
            let end = try await served.run(config)
            #expect(end.contains(says), "\(name): \(end)")
        }
    }

    @Test(.enabled(if: weAreRoot)) func onlyRootRunsProgramsAsOthers() async throws {
        let database = try await PrivateCluster.database("user")
        let owner = try await runProgram("stat", ["-c", "%U:%u:%g", database.cluster.folder]).stdout
            .dropLast().split(separator: ":").map(String.init)
        try #require(owner.count == 3 && owner[1] != "0")
        let options = ["--reuid", owner[1], "--regid", owner[2], "--init-groups"]
        let carillon = try DaemonProcess.builtCarillon()
        // The tests' own build may lie where others have no way to.
        let start = try await runProgram("setpriv", options + [carillon, "--version"])
        guard start.end == .exited(0) else { return }
        let daemon = try DaemonProcess(
            options + ["--pdeathsig", "KILL", carillon, "serve", "--name", "w"],
            environment: database.environment, program: "setpriv")
        try await daemon.waitForLine(containing: "ready: 0 schedules")
        let served = Served(database: database, daemon: daemon)
        let config = try await addShell(served, user: "root")
        let refused = try await served.run(config, "'\(Self.describe)'")
        #expect(
            refused.contains(
                "the daemon runs as \(owner[0]); only root can run programs as another user"))
        try await served.psql(
            "UPDATE timetable.task_chain SET run_uid = '\(owner[0])'; TRUNCATE timetable.execution_log"
        )
        #expect(try await served.run(config, "'\(Self.describe)'") == "CHAIN_DONE||")
        #expect(try await output(of: served).hasPrefix("\(owner[1])\n\(owner[2])\n"))
    }
}

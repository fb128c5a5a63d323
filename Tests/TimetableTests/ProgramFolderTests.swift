import Foundation
import Glibc
import TestSupport
import Testing

/// `--program-folder`: what counts is where a program really is.
struct ProgramFolderTests {
    @Test func onlyProgramsInTheFoldersRun() async throws {
        let top = try makeTemporaryFolder("carillon-folder")
        defer { try? FileManager.default.removeItem(atPath: top) }
        // By a process of its own: see SpawnTests.
        let made = try await runProgram(
            "/bin/sh",
            [
                "-ec",
                """
                cd "$1"
                mkdir allowed allowed/deep allowed-not other
                for folder in allowed allowed/deep allowed-not other; do
                    printf '#!/bin/sh\\necho "$0"\\n' >"$folder/tool"
                    chmod 755 "$folder/tool"
                done
                ln -s ../other/tool allowed/out
                ln -s ../allowed/tool other/in
                ln -s allowed link
                """, "sh", top,
            ])
        try #require(made.end == .exited(0), "\(made.stderr)")
        let database = try await PrivateCluster.database("folder")
        var environment = database.environment
        environment["PATH"] = "\(top)/link:/usr/bin:/bin"
        let daemon = try DaemonProcess(
            ["serve", "--name", "w", "--program-folder", "\(top)/link"]
                + ["--program-folder", "/usr/lib/../lib"],
            environment: environment, notify: true)
        try await daemon.waitForNotify("READY=1")
        let served = Served(database: database, daemon: daemon)
        let rows: [(program: String, runs: String?)] = [
            ("\(top)/allowed/tool", "\(top)/allowed/tool"),
            ("\(top)/allowed/deep/tool", "\(top)/allowed/deep/tool"),
            ("\(top)/link/tool", "\(top)/allowed/tool"),
            ("\(top)/other/in", "\(top)/allowed/tool"),
            ("tool", "\(top)/allowed/tool"),
            ("\(top)/other/../allowed/tool", "\(top)/allowed/tool"),
            ("\(top)/allowed/../other/tool", nil),
            ("\(top)/allowed/out", nil),
            ("\(top)/allowed-not/tool", nil),
            ("\(top)/other/tool", nil),
            ("/bin/sh", nil),
            ("sh", nil),
        ]
        for (number, row) in rows.enumerated() {
            let config = try await served.addConfig("tool \(number)", [("SHELL", row.program)])
            let end = try await served.run(config)
            if let runs = row.runs {
                #expect(end == "CHAIN_DONE||", "\(row.program)")
                try await served.waitFor(
                    "\(runs)\n",
                    """
                    SELECT output FROM timetable.execution_log
                    WHERE chain_execution_config = \(config)
                    """)
            } else {
                #expect(
                    end.contains("program '\(row.program)'")
                        && end.contains("in no folder of --program-folder (\(top)/allowed, "),
                    "\(row.program): \(end)")
            }
        }
    }

    @Test(arguments: ["relative/folder", "", "/nonexistent/folder", "/etc/passwd"])
    func whatIsNoFolderIsRefusedAtStart(_ path: String) async throws {
        let daemon = try DaemonProcess(["serve", "--program-folder", path])
        #expect(try await daemon.waitForExit() == .exited(64))
        #expect(daemon.lines.contains { $0.text.contains("absolute path of a folder") })
    }
}

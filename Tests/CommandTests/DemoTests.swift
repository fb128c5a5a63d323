import Foundation
import TestSupport
import Testing

@Suite struct DemoTests {
    @Test func itShowsWhatRunsAndLeavesNothing() async throws {
        let folder = try makeTemporaryFolder("carillon-demo")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        // The server has a user of its own, who has to come in.
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder)
        let result = try await runProgram(
            DaemonProcess.builtCarillon(), ["demo", "--for", "9"],
            environment: ["TMPDIR": folder, "PGHOST": "nowhere"], limit: .seconds(120))
        #expect(result.end == .exited(0), "\(result.stderr)")
        let lines = result.stdout.split(separator: "\n")
        for expected in ["tick", "broken", "output date every minute"] {
            #expect(lines.contains { $0.hasSuffix(expected) && $0.contains("+00:00") })
        }
        #expect(lines.contains { $0.contains("FAILED") && $0.contains("division by zero") })
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [])
    }

    @Test func withAFolderItGoesOnTheNextTime() async throws {
        let folder = try makeTemporaryFolder("carillon-demo")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder)
        for expected in ["Three jobs were inserted", "from an earlier time"] {
            let result = try await runProgram(
                DaemonProcess.builtCarillon(),
                ["demo", "--for", "1", "--folder", "\(folder)/kept"],
                limit: .seconds(120))
            #expect(result.end == .exited(0), "\(result.stderr)")
            #expect(result.stdout.contains(expected))
        }
    }
}

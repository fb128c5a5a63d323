import Foundation
import TestSupport
import Testing

/// The help texts, compared with the files in Help. After a change that is meant:
/// `CARILLON_UPDATE_SNAPSHOTS=1 swift test --filter HelpTests`, and look at the difference.
@Suite struct HelpTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "Help")

    private static func help(_ command: [String]) async throws -> String {
        let result = try await runProgram(
            DaemonProcess.builtCarillon(), command + ["--help"], environment: ["COLUMNS": "80"],
            limit: .seconds(30))
        #expect(result.end == .exited(0))
        #expect(result.stderr == "")
        return result.stdout
    }

    /// The commands that the help lists below SUBCOMMANDS.
    private static func commands(in help: String) -> [String] {
        let parts = help.split(separator: "SUBCOMMANDS:\n")
        guard parts.count == 2 else { return [] }
        return parts[1].split(separator: "\n").compactMap { line in
            // The last line says how to get more help.
            guard line.hasPrefix("  "), !line.hasPrefix("   "), !line.hasPrefix("  See ") else {
                return nil
            }
            return line.split(separator: " ").first.map(String.init)
        }
    }

    @Test func everyHelpIsAsItWas() async throws {
        let updates = ProcessInfo.processInfo.environment["CARILLON_UPDATE_SNAPSHOTS"] == "1"
        let main = try await Self.help([])
        var texts = ["carillon": main]
        for command in Self.commands(in: main) {
            let text = try await Self.help([command])
            texts["carillon-\(command)"] = text
            for part in Self.commands(in: text) {
                texts["carillon-\(command)-\(part)"] = try await Self.help([command, part])
            }
        }
        #expect(texts.count > 5)
        for (name, text) in texts {
            let file = Self.folder.appending(path: "\(name).txt")
            if updates {
                try text.write(to: file, atomically: true, encoding: .utf8)
            }
            let known = (try? String(contentsOf: file, encoding: .utf8)) ?? "no such file"
            #expect(text == known, "Help/\(name).txt; HelpTests.swift says how to update it")
            for line in text.split(separator: "\n") where line.count > 80 {
                Issue.record("\(name): a line of more than 80 columns: \(line)")
            }
        }
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
        #expect(Set(files) == Set(texts.keys.map { "\($0).txt" }))
    }
}

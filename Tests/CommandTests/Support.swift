import Foundation
import TestSupport
import Testing

/// What a command said, and its exit code.
struct Said: CustomStringConvertible {
    let out: String
    let err: String
    let code: Int32?

    var description: String { "exit \(code.map(String.init) ?? "by a signal")\n\(out)\n\(err)" }

    var lines: [String] { out.split(separator: "\n").map(String.init) }

    /// What `--json` printed.
    func objects() throws -> [[String: Any]] {
        let parsed = try JSONSerialization.jsonObject(with: Data(out.utf8))
        return try #require(parsed as? [[String: Any]])
    }
}

/// Runs `carillon` against a database.
func carillon(
    _ database: TestDatabase, _ arguments: String..., environment: [String: String] = [:]
) async throws -> Said {
    let result = try await runProgram(
        DaemonProcess.builtCarillon(), arguments,
        environment: database.environment.merging(environment) { $1 }, limit: .seconds(60))
    guard case .exited(let code) = result.end else {
        return Said(out: result.stdout, err: result.stderr, code: nil)
    }
    return Said(out: result.stdout, err: result.stderr, code: code)
}

/// Starts `carillon` to be watched while it runs.
func watched(_ database: TestDatabase, _ arguments: String...) throws -> DaemonProcess {
    try DaemonProcess(arguments, environment: database.environment)
}

/// Runs `carillon` on a terminal of its own, by script(1), and returns what it wrote there.
func onTerminal(
    _ database: TestDatabase, columns: Int, _ arguments: [String],
    environment: [String: String] = [:]
) async throws -> Said {
    let program = try DaemonProcess.builtCarillon()
    let quoted = ([program] + arguments).map { "'\($0.replacing("'", with: "'\\''"))'" }
    let command = "stty cols \(columns) rows 30; exec \(quoted.joined(separator: " "))"
    let result = try await runProgram(
        "script", ["-qec", command, "/dev/null"],
        environment: database.environment.merging([
            "TERM": "xterm", "SHELL": "/bin/sh", "NO_COLOR": "",
        ]) { $1 }
        .merging(environment) { $1 }, limit: .seconds(60))
    guard case .exited(let code) = result.end else {
        return Said(out: result.stdout, err: result.stderr, code: nil)
    }
    return Said(out: result.stdout.replacing("\r\n", with: "\n"), err: result.stderr, code: code)
}

extension String {
    /// Without sequences that colour.
    var uncoloured: String { replacing(#/\u{1B}\[[0-9;]*m/#, with: "") }
}

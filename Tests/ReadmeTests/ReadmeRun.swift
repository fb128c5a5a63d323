import Foundation
import TestSupport

/// Runs blocks as a reader would: in order, each database with a daemon that serves it.
struct ReadmeRun {
    /// Starts what serves a database; returns when it is ready.
    var serve: (TestDatabase) async throws -> DaemonProcess?
    /// What stands in the README for what only a test has, such as the port of its mail server.
    var replacements: [String: String] = [:]
    /// How long a block marked `eventually` may take.
    var patience = Duration.seconds(75)

    private struct Reader {
        var database: TestDatabase
        var daemon: DaemonProcess?
        var folder: String
    }

    /// Runs all blocks but the skipped ones.
    ///
    /// - Throws: `ReadmeMistake` at the first block that fails or says something else.
    func run(_ blocks: [ReadmeBlock]) async throws {
        var readers: [String: Reader] = [:]
        defer {
            for reader in readers.values {
                try? FileManager.default.removeItem(atPath: reader.folder)
            }
        }
        for block in blocks where block.skipReason == nil {
            if readers[block.database] == nil {
                let database = try await PrivateCluster.database(block.database)
                readers[block.database] = Reader(
                    database: database, daemon: try await serve(database),
                    folder: try makeTemporaryFolder("carillon-readme"))
            }
            guard let reader = readers[block.database] else { continue }
            try await run(block, for: reader)
        }
    }

    private func run(_ block: ReadmeBlock, for reader: Reader) async throws {
        if let text = block.served { return try await serve(block, until: text, for: reader) }
        let deadline = ContinuousClock.now + patience
        while true {
            let result = try await start(block, for: reader)
            let output = result.stdout + result.stderr
            guard result.end == .exited(0) else {
                throw ReadmeMistake(
                    document: block.document, line: block.line, message: "\(result.end): \(output)")
            }
            let missing = (block.expected + block.awaited).first { !output.contains($0) }
            guard let missing else { return }
            guard block.expected.allSatisfy(output.contains), ContinuousClock.now < deadline else {
                throw ReadmeMistake(
                    document: block.document, line: block.line,
                    message: "no `\(missing)` in: \(output)")
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    private func start(_ block: ReadmeBlock, for reader: Reader) async throws -> ProgramResult {
        let text = replacements.reduce(block.text) { text, replacement in
            text.replacing(replacement.key, with: replacement.value)
        }
        let programs = reader.database.cluster.programs
        switch block.language {
        case .sql:
            return try await runProgram(
                "\(programs)/psql", ["-X", "-v", "ON_ERROR_STOP=1"],
                environment: reader.database.environment, stdin: text)
        case .shell:
            return try await runProgram(
                "/bin/bash", ["-euo", "pipefail", "-c", "cd \"$FOLDER\"\n\(text)"],
                environment: variables(of: reader))
        }
    }

    /// Runs a block that serves until it is told to end.
    private func serve(_ block: ReadmeBlock, until text: String, for reader: Reader) async throws {
        let script = "cd \"$FOLDER\"\nexec \(block.text)"
        let daemon = try DaemonProcess(
            ["-euo", "pipefail", "-c", script], environment: variables(of: reader),
            program: "/bin/bash")
        do {
            try await daemon.waitForLine(containing: text, within: .seconds(30))
            daemon.terminate()
            let end = try await daemon.waitForExit(within: .seconds(30))
            guard end == .exited(0) else {
                throw ReadmeMistake(
                    document: block.document, line: block.line, message: "SIGTERM: \(end)")
            }
        } catch let error as NotReached {
            throw ReadmeMistake(
                document: block.document, line: block.line, message: error.description)
        }
    }

    private func variables(of reader: Reader) throws -> [String: String] {
        let carillon = try DaemonProcess.builtCarillon()
        let own = carillon.prefix(upTo: carillon.lastIndex(of: "/") ?? carillon.endIndex)
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        let programs = reader.database.cluster.programs
        return reader.database.environment.merging(
            ["PATH": "\(own):\(programs):\(path)", "FOLDER": reader.folder]) { $1 }
    }
}

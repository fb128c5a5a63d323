import Foundation
import TestSupport

/// A database with our schema and no daemon, and the commands that bring jobs into it.
struct JobDatabase {
    let database: TestDatabase

    init(_ prefix: String, on cluster: PrivateCluster? = nil) async throws {
        if let cluster {
            database = try await cluster.createDatabase(prefix)
        } else {
            database = try await PrivateCluster.database(prefix)
        }
        let made = try await carillon(["migrate"])
        guard made.end == .exited(0) else { throw NotReached(made.stderr) }
    }

    func carillon(_ arguments: [String], stdin: String = "") async throws -> ProgramResult {
        try await runProgram(
            DaemonProcess.builtCarillon(), arguments,
            environment: database.environment.merging(["TZ": "Europe/Berlin"]) { $1 },
            stdin: stdin, limit: .seconds(60))
    }

    /// The lines that it prints; a failure is thrown.
    func lines(_ arguments: [String], stdin: String = "") async throws -> [String] {
        let result = try await carillon(arguments, stdin: stdin)
        guard result.end == .exited(0) else {
            throw NotReached("\(arguments): \(result.end) \(result.stderr)")
        }
        return result.stdout.split(separator: "\n").map(String.init)
    }

    @discardableResult
    func psql(_ sql: String) async throws -> String {
        try await database.psql(sql)
    }

    /// All that there is, so that two looks can be compared: rows with their places on disk, which
    /// an update changes.
    func everything() async throws -> String {
        let tables = [
            "base_task", "task_chain", "chain_execution_config", "chain_execution_parameters",
            "database_connection",
        ]
        return try await psql(
            tables.map { "SELECT ctid, xmin, t.* FROM timetable.\($0) t ORDER BY 1;" }
                .joined(separator: "\n"))
    }
}

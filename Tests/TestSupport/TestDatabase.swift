/// A statement that psql(1) could not run, with what psql said about it.
public struct PsqlFailed: Error, CustomStringConvertible {
    public let end: ProgramEnd
    /// psql's stderr: message, detail and hint of the server.
    public let stderr: String

    public var description: String { "psql: \(end)\n\(stderr)" }
}

/// A database of a private cluster, for one test.
public struct TestDatabase: Sendable {
    public let cluster: PrivateCluster
    public let name: String

    public init(cluster: PrivateCluster, name: String) {
        (self.cluster, self.name) = (cluster, name)
    }

    /// For libpq, in keyword form.
    public var connectionString: String {
        "host=\(cluster.folder) port=5432 dbname=\(name) user=postgres"
    }

    /// For programs that read libpq's variables.
    public var environment: [String: String] {
        [
            "PGHOST": cluster.folder, "PGPORT": "5432", "PGDATABASE": name, "PGUSER": "postgres",
        ]
    }

    /// Runs SQL in psql(1) and returns its rows: unaligned, columns parted by `|`.
    ///
    /// It ends at the first error. Each statement is a transaction of its own.
    /// - Throws: `PsqlFailed` with psql's stderr.
    @discardableResult
    public func psql(_ sql: String, user: String? = nil) throws -> String {
        try Self.rows(
            runProgram(
                "\(cluster.programs)/psql", psqlOptions(user), environment: environment,
                stdin: sql))
    }

    /// The same, without holding a thread of Swift's pool.
    @discardableResult
    public func psql(
        _ sql: String, user: String? = nil, limit: Duration = .seconds(60)
    ) async throws -> String {
        try await Self.rows(
            runProgram(
                "\(cluster.programs)/psql", psqlOptions(user), environment: environment,
                stdin: sql, limit: limit))
    }

    /// Drops the database, ending the sessions that are still in it.
    public func drop() throws {
        try TestDatabase(cluster: cluster, name: "postgres").psql(
            #"DROP DATABASE "\#(name)" WITH (FORCE)"#)
    }

    private func psqlOptions(_ user: String?) -> [String] {
        ["-XAtq", "-v", "ON_ERROR_STOP=1"] + (user.map { ["-U", $0] } ?? [])
    }

    private static func rows(_ result: ProgramResult) throws -> String {
        guard result.end == .exited(0) else {
            throw PsqlFailed(end: result.end, stderr: result.stderr)
        }
        return result.stdout.hasSuffix("\n") ? String(result.stdout.dropLast()) : result.stdout
    }
}

import Foundation
import Postgres
import Reactor
import TestSupport
import Testing

extension TestDatabase {
    var parameters: ConnectionParameters { ConnectionParameters(string: connectionString) }

    /// A session of this database, on the test's loop.
    func open() async throws(PostgresError) -> Connection {
        try await Connection.open(parameters, deadline: .seconds(60))
    }
}

/// Runs `body` with a session of a new database, on the loop.
func withSession<Value: Sendable>(
    _ body: @escaping @Sendable @LoopActor (Connection, TestDatabase) async throws -> Value
) async throws -> Value {
    let database = try await PrivateCluster.database("postgres")
    return try await onTestLoop {
        let session = try await database.open()
        let value = try await body(session, database)
        session.close()
        return value
    }
}

extension Connection {
    /// The first column of the last result, of a batch of unprepared statements.
    @discardableResult
    func ask(_ sql: String...) async throws(PostgresError) -> [String?] {
        let results = try await run(sql.map { Command(sql: $0) })
        guard let last = results.last else { return [] }
        return (0..<last.count).map { last.text($0, 0) }
    }

    /// The error that a batch fails with.
    func failure(_ sql: String...) async -> PostgresError? {
        await failure(sql.map { Command(sql: $0) })
    }

    func failure(_ commands: [Command]) async -> PostgresError? {
        do throws(PostgresError) {
            _ = try await run(commands)
            return nil
        } catch {
            return error
        }
    }

    func scriptFailure(_ sql: String) async -> PostgresError? {
        do throws(PostgresError) {
            _ = try await runScript(sql)
            return nil
        } catch {
            return error
        }
    }
}

/// What came, in its order.
@LoopActor
final class Log<Element: Sendable> {
    var all: [Element] = []
}

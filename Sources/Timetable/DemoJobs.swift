public import Postgres
internal import Reactor
internal import TimetableSchema

/// The jobs of `carillon demo`.
public enum DemoJobs {
    /// The statements that make them.
    public static var script: String { TimetableSchema.demo.sql }

    /// Makes them where they are not there yet; returns whether they were not.
    @LoopActor
    public static func insert(into database: ConnectionParameters) async throws(StartFailure)
        -> Bool
    {
        do throws(PostgresError) {
            let session = try await Connection.open(
                database.with("application_name", "carillon demo"))
            defer { session.close() }
            guard try await session.run(Statements.hasDemo).boolean(0, 0) != true else {
                return false
            }
            _ = try await session.runScript("BEGIN;\n\(script)\nCOMMIT")
            return true
        } catch {
            throw StartFailure(error, doing: "the demo's jobs can't be made")
        }
    }
}

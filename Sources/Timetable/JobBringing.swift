public import Jobs
public import Postgres
public import Reactor

/// Brings a set of jobs into a database, in one transaction.
@LoopActor
public enum JobBringing {
    /// What was done, or with a dry run would be.
    public struct Report: Sendable, Equatable {
        /// For people: see `JobPlan.lines`.
        public var changes: [String]
        /// What the daemon will miss: roles it is no member of.
        public var warnings: [String]
    }

    /// A set that can't be brought in as it is: a line each.
    public struct Refused: Error, Sendable, Equatable {
        public var reasons: [String]
    }

    public enum Way: Sendable, Equatable {
        case `import`(origin: String)
        /// `prune`: which of the configs that the set does not name go; nil: none.
        case file(prune: Pattern?)
    }

    /// - Parameter dryRun: All is done, and then rolled back.
    /// - Throws: `Refused`, `StartFailure`.
    public static func bring(
        _ jobs: JobSet, _ way: Way, connection: ConnectionParameters, dryRun: Bool
    ) async throws -> Report {
        try await withSession(connection) { session in
            let reader = JobReader(session: session)
            let jobs = try await reader.canonical(jobs)
            var names: [String]? = jobs.configs.map(\.name)
            var manner = JobPlan.Manner.file(prune: false)
            var origin: String?
            switch way {
            case .import(let label):
                manner = .import(origin: label)
                origin = label
            case .file(prune: .some(let pattern)):
                manner = .file(prune: true)
                names = try await self.names(matching: pattern, session) + (names ?? [])
            case .file(prune: nil): break
            }
            let tasks = Array(jobs.tasks.keys) + jobs.chains.flatMap { $0.elements.map(\.task) }
            let stored = try await reader.stored(configs: names, tasks: tasks)
            let plan: JobPlan
            do throws(JobPlan.Failure) {
                plan = try JobPlan(jobs, into: stored, manner)
            } catch {
                throw Refused(reasons: error.reasons)
            }
            try await JobWriter(session, jobs, stored, plan, origin: origin)
                .write(isPruning: manner == .file(prune: true))
            let report = Report(
                changes: plan.lines(jobs), warnings: try await warnings(jobs, session))
            let end = try await session.run(
                dryRun ? Statements.rollback : Statements.commit, deadline: .seconds(60))
            guard dryRun || end.commandTag == "COMMIT" else {
                throw PostgresError(.server, "COMMIT rolled it all back")
            }
            return report
        }
    }

    /// The jobs of a database whose names match, as a file says them, and those without a chain.
    public static func export(
        _ pattern: Pattern, connection: ConnectionParameters
    ) async throws -> (jobs: JobSet, left: [String]) {
        try await withSession(connection) { session in
            let names = try await self.names(matching: pattern, session)
            return try await JobReader(session: session).stored(configs: names, tasks: []).jobs()
        }
    }

    private static func names(
        matching pattern: Pattern, _ session: Connection
    ) async throws(PostgresError) -> [String] {
        let rows = try await session.run(
            Statements.configNames, [pattern.like], deadline: JobReader.deadline)
        return (0..<rows.count).compactMap { rows.text($0, 0) }
    }

    private static func warnings(
        _ jobs: JobSet, _ session: Connection
    ) async throws(PostgresError) -> [String] {
        let roles = Set(
            jobs.chains.flatMap(\.elements).compactMap { element in
                jobs.tasks[element.task]?.kind == .sql && element.connection == nil
                    ? element.runUID : nil
            })
        let rows = try await session.run(
            Statements.missingRoles, [(roles.sorted() as [String?]).arrayLiteral],
            deadline: .seconds(10))
        return (0..<rows.count).compactMap { row in
            guard let role = rows.text(row, 0), let owner = rows.text(row, 2) else { return nil }
            return rows.boolean(row, 1) == true
                ? "the role of the daemon has to be a member of \(role.quotedIdentifier): GRANT "
                    + "\(role.quotedIdentifier) TO \(owner.quotedIdentifier)"
                : "there is no role \(role.quotedIdentifier), as which SQL shall run"
        }
    }

    /// Opens a session, begins, and closes it: what is not committed then is rolled back.
    private static func withSession<Result: Sendable>(
        _ connection: ConnectionParameters,
        _ body: (Connection) async throws -> Result
    ) async throws -> Result {
        do {
            let session = try await Connection.open(connection.with("application_name", "carillon"))
            defer { session.close() }
            for statement in Statements.beginJobs {
                try await session.run(statement, deadline: JobReader.deadline)
            }
            return try await body(session)
        } catch let error as PostgresError {
            if ["42P01", "3F000", "42703"].contains(error.sqlstate) {
                throw StartFailure(
                    .schema,
                    "nothing was done: the database has no schema timetable of this version; "
                        + "carillon migrate installs or upgrades it (\(error.message))")
            }
            if error.sqlstate == "40001" {
                throw StartFailure(
                    .other, "somebody changed the same jobs meanwhile: nothing was done; try again")
            }
            throw StartFailure(error, doing: "nothing was done")
        }
    }
}

/// Which configs by their names: `*` is any text, `?` any character.
public struct Pattern: Sendable, Equatable {
    let like: String

    public static let all = Pattern("*")

    public init(_ text: String) {
        like = text.reduce(into: "") { like, character in
            switch character {
            case "*": like += "%"
            case "?": like += "_"
            case "%", "_", "\\": like += "\\\(character)"
            default: like.append(character)
            }
        }
    }
}

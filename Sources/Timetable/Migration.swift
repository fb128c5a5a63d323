public import Postgres
internal import Reactor
internal import TimetableSchema

/// Brings the schema of a database to the version of this program: `carillon migrate`.
public struct Migration: Sendable {
    private let connection: ConnectionParameters
    /// Says what would be done, and does nothing.
    public var isDryRun = false
    /// Goes on though daemons are connected: they end by themselves.
    public var isForced = false
    /// Makes the roles too, and grants them what they may do.
    public var makesRoles = false

    public init(_ connection: ConnectionParameters) {
        self.connection = connection
    }

    /// Does it, and says what, a sentence each. Safe to repeat, and beside another one.
    @LoopActor
    public func run(say: (String) -> Void) async throws(StartFailure) {
        let session: Connection
        do throws(PostgresError) {
            session = try await Connection.open(
                connection.with("application_name", "carillon migrate"))
        } catch {
            throw StartFailure.connecting(error)
        }
        defer { session.close() }
        try await migrate(session, say: say)
        if makesRoles { try await SchemaInstaller.makeRoles(session, isDryRun: isDryRun, say: say) }
    }

    @LoopActor
    private func migrate(
        _ session: Connection, say: (String) -> Void
    ) async throws(StartFailure) {
        let state = try await SchemaInstaller.state(session)
        let schema = "the schema timetable in \"\(state.database)\""
        guard let files = try state.files else {
            return say("\(schema) has version \(TimetableSchema.version) already")
        }
        if state.version != nil { try await check(state, session) }
        let isUpgrade = state.version != nil
        guard !isDryRun else {
            let names = files.map(\.name).joined(separator: ", ")
            return say(
                state.version.map {
                    "would upgrade \(schema) from version \($0) to \(TimetableSchema.version), by "
                        + names
                } ?? "would install \(schema), version \(TimetableSchema.version), by \(names)")
        }
        say(isUpgrade ? "upgrading \(schema) …" : "installing \(schema) …")
        switch try await SchemaInstaller.migrate(session) {
        case .installed: say("installed \(schema), version \(TimetableSchema.version)")
        case .upgraded(let old):
            say("upgraded \(schema) from version \(old) to \(TimetableSchema.version)")
        case .present:
            say("\(schema) has version \(TimetableSchema.version) by now: another did it")
        }
    }

    /// Throws where an upgrade may not be.
    @LoopActor
    private func check(
        _ state: SchemaInstaller.State, _ session: Connection
    ) async throws(StartFailure) {
        if let owner = state.owner, !state.mayOwn {
            throw StartFailure(
                .noPrivilege,
                "role \"\(state.user)\" may not upgrade the schema timetable in "
                    + "\"\(state.database)\": do it as its owner, \"\(owner)\", or as a member")
        }
        guard !isForced else { return }
        let workers: [String]
        do throws(PostgresError) {
            let rows = try await session.run(Statements.connectedWorkers)
            workers = (0..<rows.count).map { row in
                let (name, host) = (rows.text(row, 0) ?? "", rows.text(row, 1) ?? "")
                return "\"\(name)\" on \(host), process \(rows.text(row, 2) ?? "")"
            }
        } catch {
            throw StartFailure(error, doing: "the workers can't be read")
        }
        guard workers.isEmpty else {
            throw StartFailure(
                .nameInUse,
                "daemons of the earlier version are connected: stop them first, or let them end "
                    + "by themselves with --force (\(workers.joined(separator: "; ")))")
        }
    }
}

/// What `carillon schema` prints.
public enum SchemaScript {
    /// The script that installs the schema, or upgrades one of version `old` to ours; nil when that
    /// version can't be upgraded.
    public static func text(from old: Int64?, withRoles: Bool = false) -> String? {
        TimetableSchema.script(from: old, withRoles: withRoles)
    }

    /// The version of our schema, and the earliest that can be upgraded to it.
    public static var version: Int64 { TimetableSchema.version }
    public static var firstVersion: Int64 { TimetableSchema.firstVersion }
}

internal import Postgres
internal import Reactor
internal import TimetableSchema

/// Brings the schema `timetable` into a database that has none, upgrades one of an earlier version,
/// and checks the one that is there.
@LoopActor
enum SchemaInstaller {
    enum Outcome: Equatable {
        case installed
        case upgraded(from: Int64)
        case present
    }

    /// What a database has.
    struct State {
        /// Nil where there is no schema.
        let version: Int64?
        let user, database: String
        let owner: String?
        /// Whether we may act as the owner.
        let mayOwn: Bool

        /// Our files, in order, that have to be run; nil when there is nothing to do.
        var files: [TimetableSchema.File]? {
            get throws(StartFailure) {
                guard let version else { return TimetableSchema.installation }
                if version == TimetableSchema.version { return nil }
                guard let files = TimetableSchema.upgrade(from: version) else {
                    throw SchemaInstaller.wrong(version, in: database)
                }
                return files
            }
        }
    }

    /// In one transaction and under a lock: of two daemons one installs, the other waits for it.
    static func prepare(
        _ session: Connection, upgrades: Bool
    ) async throws(StartFailure) -> Outcome {
        let state = try await state(session)
        guard state.version != TimetableSchema.version else { return .present }
        if let version = state.version, !upgrades { throw wrong(version, in: state.database) }
        return try await migrate(session)
    }

    /// Installs or upgrades, whichever is needed when the lock has been had.
    static func migrate(_ session: Connection) async throws(StartFailure) -> Outcome {
        do throws(PostgresError) {
            try await session.run(Statements.begin)
            _ = try await session.runScript(TimetableSchema.lock.sql)
        } catch {
            await rollBack(session)
            throw StartFailure(error, doing: "the schema can't be locked for its installation")
        }
        let state: State
        let files: [TimetableSchema.File]?
        do throws(StartFailure) {
            // Another one may have been faster.
            state = try await Self.state(session)
            files = try state.files
        } catch {
            await rollBack(session)
            throw error
        }
        guard let files else {
            await rollBack(session)
            return .present
        }
        let isUpgrade = state.version != nil
        do throws(PostgresError) {
            if isUpgrade { try await session.run(Statements.announceUpgrade) }
            try await run(files, as: isUpgrade ? state.owner : nil, session)
        } catch {
            await rollBack(session)
            let what = isUpgrade ? "upgraded" : "installed"
            let advice =
                error.sqlstate == "55P03" || error.sqlstate == "40P01"
                ? " (others use its tables: stop the daemons and what else works there, try again)"
                : ""
            throw StartFailure(error, doing: "the schema timetable can't be \(what)\(advice)")
        }
        return state.version.map(Outcome.upgraded(from:)) ?? .installed
    }

    private static func run(
        _ files: [TimetableSchema.File], as owner: String?, _ session: Connection
    ) async throws(PostgresError) {
        if let owner { try await session.run(Statements.setLocalRole(owner)) }
        for file in files { _ = try await session.runScript(file.sql) }
        let rows = try await session.run(Statements.commit)
        guard rows.commandTag == "COMMIT" else {
            throw PostgresError(.server, "COMMIT rolled all of it back")
        }
    }

    /// Makes the roles with the rights of this session, and grants with those of the owner.
    static func makeRoles(
        _ session: Connection, isDryRun: Bool, say: (String) -> Void
    ) async throws(StartFailure) {
        let names = "timetable_admin, timetable_author, timetable_operator, timetable_reader"
        if isDryRun { return say("would make the roles \(names), and grant them their rights") }
        let state = try await state(session)
        do throws(PostgresError) {
            try await session.run(Statements.begin)
            _ = try await session.runScript(TimetableSchema.lock.sql)
            _ = try await session.runScript(TimetableSchema.roles.sql)
            try await run([TimetableSchema.grants], as: state.owner, session)
        } catch {
            await rollBack(session)
            throw StartFailure(
                error,
                doing: "the roles can't be made: that needs a role with CREATEROLE, such as a "
                    + "superuser, that owns the schema or is a member of its owner")
        }
        say("the roles \(names) have their rights")
    }

    private static func rollBack(_ session: Connection) async {
        guard session.ended == nil else { return }
        do throws(PostgresError) {
            try await session.run(Statements.rollback)
        } catch {
            session.close()
        }
    }

    // MARK: Looking

    /// Throws when something is there that is not ours, or may not be made.
    static func state(_ session: Connection) async throws(StartFailure) -> State {
        let found = try await ask(Statements.schemaState, session)
        let (user, database) = (found.text(0, 3) ?? "", found.text(0, 4) ?? "")
        guard found.boolean(0, 0) == true else {
            if found.boolean(0, 2) == true {
                return State(
                    version: nil, user: user, database: database, owner: nil, mayOwn: true)
            }
            throw StartFailure(
                .noPrivilege,
                "role \"\(user)\" may not create the schema timetable in database "
                    + "\"\(database)\": GRANT CREATE ON DATABASE "
                    + "\(database.quotedIdentifier) TO \(user.quotedIdentifier)")
        }
        guard found.boolean(0, 1) == true else {
            throw StartFailure(
                .schema,
                "database \"\(database)\" has a schema timetable that is not Carillon's: "
                    + "rename or drop it, or use another database")
        }
        guard let version = try await ask(Statements.schemaVersion, session).integer(0, 0) else {
            throw StartFailure(
                .schema,
                "the schema timetable in \"\(database)\" is only half there: its table "
                    + "schema_version is empty; drop the schema, or restore it")
        }
        return State(
            version: version, user: user, database: database, owner: found.text(0, 5),
            mayOwn: found.boolean(0, 6) == true)
    }

    /// Throws when somebody brought the schema to a version that is not ours.
    static func checkVersion(_ session: Connection) async throws(StartFailure) {
        let rows = try await ask(Statements.schemaVersion, session)
        if let failure = unusable(version: rows.integer(0, 0)) { throw failure }
    }

    /// Why a schema of this version can't be used any more; nil when it can.
    static func unusable(version: Int64?) -> StartFailure? {
        guard let version, version != TimetableSchema.version else { return nil }
        return wrong(version, in: nil)
    }

    nonisolated static func wrong(_ version: Int64, in database: String?) -> StartFailure {
        let advice =
            if version > TimetableSchema.version {
                "use a newer carillon"
            } else if version >= TimetableSchema.firstVersion {
                "it must be upgraded, by carillon migrate"
            } else {
                "it must be upgraded, which goes from version \(TimetableSchema.firstVersion) on "
                    + "only: earlier ones were never released; use another database"
            }
        return StartFailure(
            .schema,
            "the schema timetable\(database.map { " in \"\($0)\"" } ?? "") has version "
                + "\(version), this carillon knows version \(TimetableSchema.version): \(advice)")
    }

    private static func ask(
        _ statement: Statement, _ session: Connection
    ) async throws(StartFailure) -> Rows {
        do throws(PostgresError) {
            return try await session.run(statement)
        } catch {
            throw StartFailure(error, doing: "the schema timetable can't be read")
        }
    }
}

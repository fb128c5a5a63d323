internal import Postgres
internal import Reactor
internal import TimetableSchema

/// Brings the schema `timetable` into a database that has none, and checks the one that is there.
@LoopActor
enum SchemaInstaller {
    enum Outcome: Equatable {
        case installed
        case present
    }

    /// In one transaction and under a lock: of two daemons one installs, the other waits for it.
    static func prepare(_ session: Connection) async throws(StartFailure) -> Outcome {
        if try await check(session) { return .present }
        do throws(PostgresError) {
            _ = try await session.run([
                Command(Statements.begin), Command(Statements.lockInstallation),
            ])
        } catch {
            throw StartFailure(error, doing: "the schema can't be locked for its installation")
        }
        // The other daemon may have been faster.
        guard try await !check(session) else {
            await rollBack(session)
            return .present
        }
        do throws(PostgresError) {
            for file in TimetableSchema.files { _ = try await session.runScript(file.sql) }
            let rows = try await session.run(Statements.commit)
            guard rows.commandTag == "COMMIT" else {
                throw PostgresError(.server, "COMMIT rolled the installation back")
            }
        } catch {
            await rollBack(session)
            throw StartFailure(error, doing: "the schema timetable can't be installed")
        }
        return .installed
    }

    private static func rollBack(_ session: Connection) async {
        guard session.ended == nil else { return }
        do throws(PostgresError) {
            try await session.run(Statements.rollback)
        } catch {
            session.close()
        }
    }

    /// Whether our version is there; throws when something else is.
    private static func check(_ session: Connection) async throws(StartFailure) -> Bool {
        let state = try await ask(Statements.schemaState, session)
        let (user, database) = (state.text(0, 3) ?? "", state.text(0, 4) ?? "")
        guard state.boolean(0, 0) == true else {
            if state.boolean(0, 2) == true { return false }
            throw StartFailure(
                .noPrivilege,
                "role \"\(user)\" may not create the schema timetable in database "
                    + "\"\(database)\": GRANT CREATE ON DATABASE "
                    + "\(database.quotedIdentifier) TO \(user.quotedIdentifier)")
        }
        guard state.boolean(0, 1) == true else {
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
        guard version == TimetableSchema.version else {
            throw StartFailure(
                .schema,
                "the schema timetable in \"\(database)\" has version \(version), this carillon "
                    + "knows version \(TimetableSchema.version): "
                    + (version > TimetableSchema.version
                        ? "use a newer carillon" : "it must be upgraded"))
        }
        return true
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

public import Postgres
public import Reactor
internal import Scheduling
internal import Timing

/// What the command line asks the database: one session, and the rules of this host's zones.
@LoopActor
public final class Reports {
    let session: Connection
    let zones = Zones()
    static let deadline: Duration = .seconds(30)

    private init(_ session: Connection) {
        self.session = session
    }

    /// Connects; `command` is what the server shows of us.
    public static func open(
        _ parameters: ConnectionParameters, as command: String
    ) async throws(StartFailure) -> Reports {
        do throws(PostgresError) {
            return Reports(
                try await Connection.open(
                    parameters.with("application_name", "carillon \(command)")))
        } catch {
            throw StartFailure.connecting(error)
        }
    }

    public func close() {
        session.close()
    }

    /// The zone of configs that name none.
    var defaultZone: String { session.reportedSetting("TimeZone") ?? "UTC" }

    /// The rules of a config's zone; UTC where this host has none.
    func rules(_ name: String?) -> ZoneRules {
        (try? zones.rules(name ?? defaultZone)) ?? .utc
    }

    /// Asks one question; errors say what was being done.
    func ask(
        _ statement: Statement, _ parameters: [String?] = [], _ what: String
    ) async throws(StartFailure) -> Rows {
        do throws(PostgresError) {
            return try await session.run(statement, parameters, deadline: Self.deadline)
        } catch {
            throw failure(error, what)
        }
    }

    func failure(_ error: PostgresError, _ what: String) -> StartFailure {
        if ["42P01", "3F000", "42883", "42703"].contains(error.sqlstate) {
            return StartFailure(
                .schema,
                "\(what): the database has no schema timetable of this version; carillon serve "
                    + "installs it, carillon migrate upgrades it (\(error.message))")
        }
        guard error.sqlstate == "42501", error.hint == nil else {
            return StartFailure(error, doing: what)
        }
        let role = session.reportedSetting("session_authorization").map { "\"\($0)\"" }
        return StartFailure(
            error, doing: what,
            "; hint: the role \(role ?? "that is used") lacks that right; timetable_reader may look, "
                + "timetable_operator also run, cancel and pause, timetable_admin all")
    }

    /// A config's id and name, by its `chain_name` or, where none has that name, its id.
    public func config(
        named name: String
    ) async throws -> (id: Int64, name: String) {
        let rows = try await ask(Statements.configNamed, [name], "the config can't be read")
        guard let id = rows.integer(0, 0) else {
            throw NextFires.Misasked(
                message: "there is no config \"\(name)\"; carillon list --all shows all")
        }
        return (id, rows.text(0, 1) ?? "")
    }
}

extension Rows {
    func instant(_ row: Int, _ column: Int) -> WallInstant? {
        integer(row, column).map(WallInstant.init(microseconds:))
    }
}

internal import Postgres

/// Why a daemon can't serve: one sentence, and the exit code that goes with it.
public struct StartFailure: Error, Sendable, Equatable {
    /// The process's exit code; README.md lists them.
    public enum Reason: Int32, Sendable {
        case other = 1
        case unreachable = 2
        case notAuthenticated = 3
        case noDatabase = 4
        case noPrivilege = 5
        case schema = 6
        case nameInUse = 7
        case noPostgres = 8
        /// As sysexits(3) has it: options, or a file of them, that make no sense.
        case badOptions = 64
    }

    public let reason: Reason
    public let message: String
    /// Whether it may go away by itself.
    public let isTransient: Bool
    /// What the server answered, where it did.
    private(set) var sqlstate: String?

    public init(_ reason: Reason, _ message: String, isTransient: Bool = false) {
        self.reason = reason
        self.message = message
        self.isTransient = isTransient
    }

    /// A connection that can't be had, with what may help; `isAsked` by a person, who waits.
    static func connecting(_ error: PostgresError, isAsked: Bool = true) -> StartFailure {
        func failure(_ hint: String?) -> StartFailure {
            // libpq may have asked a question.
            let mark = error.message.hasSuffix("?") ? " Hint: " : "; hint: "
            let hint = hint.map { mark + $0 } ?? ""
            return StartFailure(error, doing: "no connection to the database", hint)
        }
        switch error.sqlstate {
        case "28000" where error.message.contains("role \""):
            return failure("name another role by --user or PGUSER, or make it by createuser")
        case "28000" where error.message.contains("Peer authentication"):
            return failure(
                "the user of the operating system has to be of that name (sudo -u), or log in with "
                    + "a password, by --host localhost")
        case "28P01":
            return failure(
                "a password is read from a password file (~/.pgpass, PGPASSFILE) or PGPASSWORD")
        case "3D000":
            return failure("name another by --dbname or PGDATABASE, or make it by createdb")
        // Not to a daemon: it tries again, and says so each time.
        case nil where error.kind == .connection && isAsked:
            return failure("--host and --port, or PGHOST and PGPORT, say where it is")
        default: return failure(nil)
        }
    }

    /// A refused connection or statement, by its SQLSTATE.
    init(_ error: PostgresError, doing what: String, _ hint: String = "") {
        let reason: Reason
        var isTransient = false
        switch error.sqlstate {
        case "28P01", "28000": reason = .notAuthenticated
        case "3D000": reason = .noDatabase
        case "42501": reason = .noPrivilege
        case nil:
            reason = error.kind == .connection || error.kind == .timedOut ? .unreachable : .other
            isTransient = reason == .unreachable
        case "57P03", "57P01", "57P02", "53300":
            reason = .unreachable
            isTransient = true
        default: reason = .other
        }
        self.init(reason, "\(what): \(error)\(hint)", isTransient: isTransient)
        sqlstate = error.sqlstate
    }
}

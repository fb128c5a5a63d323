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

    /// A refused connection or statement, by its SQLSTATE.
    init(_ error: PostgresError, doing what: String) {
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
        self.init(reason, "\(what): \(error)", isTransient: isTransient)
        sqlstate = error.sqlstate
    }
}

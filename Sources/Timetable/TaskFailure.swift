internal import Postgres

/// Why a task, and so its run, did not succeed.
struct TaskFailure: Error, Sendable, Equatable {
    var message: String
    var sqlstate: String?
    var returnCode: Int32?
    /// The connection was lost: what was under way may or may not have happened.
    var isUncertain = false
    /// Its time limit passed.
    var isTimeOut = false
    /// The element that failed.
    var element: Int64?

    private static let lengthLimit = 8_192

    init(_ message: String, sqlstate: String? = nil, returnCode: Int32? = nil) {
        self.message = message
        self.sqlstate = sqlstate
        self.returnCode = returnCode
    }

    init(_ error: PostgresError) {
        message = error.message
        if let detail = error.detail { message += "\nDetail: \(detail)" }
        if let hint = error.hint { message += "\nHint: \(hint)" }
        // That a COMMIT fails inside of our own function tells nobody anything.
        if let context = error.context, !context.contains(" timetable.chain_done(") {
            message += "\nContext: \(context)"
        }
        if error.sqlstate == "42P18" {
            message += "\nHint: say the type of each parameter, as in $1::text"
        }
        // A syntax error at a word of a megabyte repeats it.
        if message.utf8.count > Self.lengthLimit {
            message = "\(message.prefix(Self.lengthLimit)) … more left out …"
        }
        sqlstate = error.sqlstate
        isUncertain = error.kind == .connection || error.kind == .timedOut
    }
}

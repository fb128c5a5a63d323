internal import CLibpq

/// What went wrong between us and a PostgreSQL server. Never holds a password or a parameter.
public struct PostgresError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Kind: Sendable, Equatable {
        /// The server refused a statement; `sqlstate` is set.
        case server
        /// There is no connection, or it was lost; what was under way may or may not have happened.
        case connection
        /// Our own deadline passed; the connection has been given up.
        case timedOut
        /// Something that this client does not do, such as COPY from the client's side.
        case unsupported
        /// What takes the data of a COPY on our side failed, so the COPY was ended.
        case aborted
    }

    public let kind: Kind
    /// The five characters of appendix A of the PostgreSQL manual.
    public let sqlstate: String?
    public let message: String
    public let detail: String?
    public let hint: String?
    public let context: String?

    public init(
        _ kind: Kind, _ message: String, sqlstate: String? = nil, detail: String? = nil,
        hint: String? = nil, context: String? = nil
    ) {
        self.kind = kind
        self.message = message
        self.sqlstate = sqlstate
        self.detail = detail
        self.hint = hint
        self.context = context
    }

    public var description: String {
        var text = sqlstate.map { "\(message) (SQLSTATE \($0))" } ?? message
        if let detail { text += "; \(detail)" }
        if let hint { text += "; hint: \(hint)" }
        return text
    }

    /// Whether the same may succeed later, as it is: the server lacked room, connections or leave
    /// to write, was told to stop, or had to choose between transactions.
    public var mayPass: Bool {
        guard let sqlstate else { return kind == .connection || kind == .timedOut }
        // Classes 40 transaction rollback, 53 insufficient resources, 57 operator intervention,
        // 58 system error; read only transaction, lock not available.
        return ["40", "53", "57", "58"].contains(sqlstate.prefix(2))
            || sqlstate == "25006" || sqlstate == "55P03"
    }

    /// The error of a result, from its fields: PQresultErrorField.
    static func from(_ result: OpaquePointer) -> PostgresError {
        func field(_ code: Character) -> String? {
            guard let value = code.asciiValue,
                let text = unsafe PQresultErrorField(result, Int32(value))
            else { return nil }
            return unsafe String(cString: text)
        }
        let fallback = unsafe String(cString: PQresultErrorMessage(result)).trimmedLine
        guard let sqlstate = field("C") else {
            return PostgresError(.connection, fallback)
        }
        // Class 08 and the shutdown codes end the session; what follows is a lost connection.
        return PostgresError(
            .server, field("M") ?? fallback, sqlstate: sqlstate, detail: field("D"),
            hint: field("H"), context: field("W"))
    }

    /// The last error of a connection: PQerrorMessage.
    static func from(connection: OpaquePointer) -> PostgresError {
        let text = unsafe String(cString: PQerrorMessage(connection)).trimmedLine
        return PostgresError(.connection, text.isEmpty ? "connection lost" : text)
    }

    /// The error of a connection under way, whose messages are verbose: only so does the SQLSTATE
    /// come out of libpq before version 17. `FATAL:  3D000: …` and a LOCATION line of the server's
    /// source become the plain message and the code; the last of several servers counts.
    static func whileConnecting(_ text: String) -> PostgresError {
        var sqlstate: String?
        let lines = text.split(whereSeparator: \.isNewline).filter { !$0.hasPrefix("LOCATION:  ") }
        let plain = lines.map { line in
            guard let place = line.firstMatch(of: #/:  ([0-9A-Z]{5}): /#) else { return line }
            sqlstate = String(place.1)
            return line[..<place.range.lowerBound] + ":  " + line[place.range.upperBound...]
        }
        let message = plain.joined(separator: "\n").trimmedLine
        return PostgresError(
            .connection, message.isEmpty ? "connection lost" : message, sqlstate: sqlstate)
    }

    static let holdsNUL = PostgresError(
        .unsupported, "a text with a NUL character can't be sent to PostgreSQL")

    /// Whether the server ends the session with this: FATAL, PANIC, and the mere WARNING of an
    /// immediate shutdown (57P01) or a crash (57P02).
    static func endsSession(_ result: OpaquePointer) -> Bool {
        let severity = unsafe severity(of: result)
        let sqlstate = unsafe from(result).sqlstate
        return severity == "FATAL" || severity == "PANIC" || sqlstate == "57P01"
            || sqlstate == "57P02"
    }

    /// Severity as the server means it, not in its language.
    static func severity(of result: OpaquePointer) -> String? {
        // PG_DIAG_SEVERITY_NONLOCALIZED, PG_DIAG_SEVERITY
        for field in ["V", "S"] as [Unicode.Scalar] {
            if let text = unsafe PQresultErrorField(result, Int32(field.value)) {
                return unsafe String(cString: text)
            }
        }
        return nil
    }

    /// The same as an end of the session: what the server said last tells more than that it ended.
    var asEnd: PostgresError {
        PostgresError(
            .connection, message, sqlstate: sqlstate, detail: detail, hint: hint, context: context)
    }
}

extension String {
    /// One line without the blanks and line ends around it: libpq ends its messages with one. What
    /// it puts below a message, behind a tab, is a sentence of its own.
    var trimmedLine: String {
        split(whereSeparator: \.isNewline).reduce(into: "") { result, line in
            if !result.isEmpty {
                result += line.hasPrefix("\t") && result.last?.isLetter == true ? ". " : " "
            }
            result += line.drop(while: \.isWhitespace)
        }
    }
}

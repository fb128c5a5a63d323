/// A statement with `$1 …` places, prepared once on each connection that uses it.
public struct Statement: Sendable {
    /// The name it is prepared under; nil sends it unprepared each time.
    public let name: String?
    public let sql: String
    /// A C string ends at a NUL: the server would read less than was meant.
    let holdsNUL: Bool

    public init(_ name: String?, _ sql: String) {
        self.name = name
        self.sql = sql
        holdsNUL = sql.utf8.contains(0)
    }
}

/// One statement with the values for its places, as text; nil is NULL.
public struct Command: Sendable {
    public let statement: Statement
    public let parameters: [String?]
    /// It is parsed and analysed, and never executed.
    let isOnlyDescribed: Bool

    public init(_ statement: Statement, _ parameters: [String?] = []) {
        self.statement = statement
        self.parameters = parameters
        isOnlyDescribed = false
    }

    private init(describing sql: String) {
        statement = Statement(nil, sql)
        parameters = []
        isOnlyDescribed = true
    }

    /// One statement that the server parses, analyses and describes, without executing anything of
    /// it: its two results are the one of Parse, and the one with `Rows.parameterTypes`. Of a
    /// utility statement only the syntax is looked at. Tables that it names stay locked, weakly,
    /// up to the end of the transaction.
    public static func describing(_ sql: String) -> Command {
        Command(describing: sql)
    }

    /// Why it can't be sent; nil when it can.
    var refusal: PostgresError? {
        if statement.holdsNUL || parameters.contains(where: { $0?.utf8.contains(0) ?? false }) {
            return .holdsNUL
        }
        guard parameters.count <= UInt16.max else {
            return PostgresError(
                .unsupported, "a statement can't have \(parameters.count) parameters",
                hint: "65535 is the limit; pass an array")
        }
        return nil
    }

    /// An unprepared statement without parameters.
    public init(sql: String) {
        self.init(Statement(nil, sql))
    }
}

/// A NOTIFY that arrived.
public struct Notification: Sendable, Equatable {
    public let channel: String
    public let payload: String
    /// The backend that sent it.
    public let sender: Int32
}

/// How to reach a server: keywords of libpq with their values. Has no description: it may hold
/// a password.
public struct ConnectionParameters: Sendable, Equatable {
    /// In order; a later one wins. `dbname` may be a whole URI or keyword string.
    public var keywords: [(key: String, value: String)]

    public init(_ keywords: [(key: String, value: String)]) {
        self.keywords = keywords
    }

    public static func == (left: ConnectionParameters, right: ConnectionParameters) -> Bool {
        left.keywords.elementsEqual(right.keywords, by: ==)
    }

    /// A URI (`postgresql://…`) or a string of keywords (`host=… dbname=…`).
    public init(string: String) {
        keywords = [("dbname", string)]
    }

    /// A string as by `string:`, refused when libpq can't read it. Throws an error that shows
    /// nothing of it, since libpq's own would: parts of a password are taken for other things.
    public init(checking string: String) throws(PostgresError) {
        guard let keywords = Self.parse(string) else {
            throw PostgresError(
                .unsupported,
                "the connect string can't be read (it is not shown: it may hold a "
                    + "password)",
                hint: "write postgresql://user@host:port/database or host=… dbname=…")
        }
        if keywords.contains(where: { $0.0.hasPrefix("host") && $0.1.contains("@") }) {
            throw PostgresError(
                .unsupported, "the host in the connect string contains an @",
                hint: "in a URI write an @ within a password as %40")
        }
        self.init(string: string)
    }

    /// The same with one keyword more; it wins over an earlier one of its name.
    public func with(_ key: String, _ value: String) -> ConnectionParameters {
        ConnectionParameters(keywords + [(key, value)])
    }
}

extension String {
    /// As an SQL identifier: in double quotes, those inside doubled.
    public var quotedIdentifier: String {
        "\"" + doubling(UInt8(ascii: "\"")) + "\""
    }

    /// As an SQL string literal, whatever `standard_conforming_strings` says.
    public var quotedLiteral: String {
        let body = doubling(UInt8(ascii: "'"))
        guard body.utf8.contains(UInt8(ascii: "\\")) else { return "'\(body)'" }
        return "E'" + body.doubling(UInt8(ascii: "\\")) + "'"
    }

    /// By bytes, as the server reads it: for Swift a quote and an accent are one character, and
    /// not a quote.
    private func doubling(_ quote: UInt8) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(utf8.count)
        for byte in utf8 {
            if byte == quote { bytes.append(byte) }
            bytes.append(byte)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension [Int64] {
    /// As a PostgreSQL array literal: `{1,2,3}`.
    public var arrayLiteral: String {
        "{" + map(String.init).joined(separator: ",") + "}"
    }
}

extension [String?] {
    /// As a PostgreSQL array literal of text, each value quoted; nil is NULL.
    public var arrayLiteral: String {
        var bytes: [UInt8] = [UInt8(ascii: "{")]
        for (index, value) in enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            guard let value else {
                bytes.append(contentsOf: "NULL".utf8)
                continue
            }
            bytes.append(UInt8(ascii: "\""))
            for byte in value.utf8 {
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                    bytes.append(UInt8(ascii: "\\"))
                }
                bytes.append(byte)
            }
            bytes.append(UInt8(ascii: "\""))
        }
        bytes.append(UInt8(ascii: "}"))
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// A value of RFC 8259, to be printed: keys stay in the order in which they are given.
public enum JSONText: Sendable, Equatable, ExpressibleByStringLiteral {
    case null
    case boolean(Bool)
    case number(Int64)
    case text(String)
    /// JSON already, as PostgreSQL gives it.
    case raw(String)
    case array([JSONText])
    case object([(key: String, value: JSONText)])

    public init(stringLiteral text: String) {
        self = .text(text)
    }

    public static func of(_ text: String?) -> JSONText { text.map { .text($0) } ?? .null }
    public static func of(_ number: Int64?) -> JSONText { number.map { .number($0) } ?? .null }
    public static func of(json: String?) -> JSONText { json.map { .raw($0) } ?? .null }

    public static func == (left: JSONText, right: JSONText) -> Bool {
        left.description == right.description
    }

    /// An array with an object a line, so that a line is enough for grep(1).
    public static func lines(_ objects: [JSONText]) -> String {
        guard !objects.isEmpty else { return "[]" }
        return "[" + objects.map(\.description).joined(separator: ",\n ") + "]"
    }
}

extension JSONText: CustomStringConvertible {
    /// On one line.
    public var description: String {
        switch self {
        case .null: "null"
        case .boolean(let value): value ? "true" : "false"
        case .number(let value): "\(value)"
        case .text(let value): Self.quoted(value)
        case .raw(let value): value.unicodeScalars.reduce(into: "") { Self.append($1, to: &$0) }
        case .array(let values):
            "[" + values.map(\.description).joined(separator: ", ") + "]"
        case .object(let members):
            "{"
                + members.map { "\(Self.quoted($0.key)): \($0.value)" }.joined(separator: ", ")
                + "}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20: result += escape(scalar)
            default: append(scalar, to: &result)
            }
        }
        return result + "\""
    }

    /// What only a terminal would take amiss is escaped too: the controls of 8 bits, and what
    /// changes the direction of reading. In JSON it stands in texts alone.
    private static func append(_ scalar: Unicode.Scalar, to result: inout String) {
        switch scalar.value {
        case 0x7F...0x9F, 0x061C, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069:
            result += escape(scalar)
        default: result.unicodeScalars.append(scalar)
        }
    }

    private static func escape(_ scalar: Unicode.Scalar) -> String {
        let digits = String(scalar.value, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }
}

/// Steps over SQL token by token, as far as words, strings, comments, parentheses and semicolons.
///
/// Authority: PostgreSQL manual, 4.1, lexical structure.
public struct SQLTokens {
    public enum Token {
        case semicolon, opening, closing, other
        /// A string or comment without its end, or one that only the server can tell the end of.
        case unclosed
        /// A key word or name without quotes, or a number, as it stands.
        case word([UInt8])
    }

    private let bytes: [UInt8]
    private var index = 0
    /// How many bytes lie before the next token or the blanks before it.
    public var offset: Int { index }
    /// Whether a backslash in a plain string is one character; nil where nobody knows.
    private let conformingStrings: Bool?

    /// - Parameters:
    ///   - conformingStrings: the server's `standard_conforming_strings`, if known. If not, a plain
    ///     string with a backslash is `unclosed`.
    public init(_ sql: String, conformingStrings: Bool? = nil) {
        bytes = Array(sql.utf8)
        self.conformingStrings = conformingStrings
    }

    private func at(_ offset: Int) -> UInt8 {
        index + offset < bytes.count ? bytes[index + offset] : 0
    }

    /// The next token; nil at the end.
    public mutating func next() -> Token? {
        while index < bytes.count {
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: " "), 9...13:
                index += 1
            case UInt8(ascii: "-") where at(1) == UInt8(ascii: "-"):
                while index < bytes.count, bytes[index] != 10 { index += 1 }
            case UInt8(ascii: "/") where at(1) == UInt8(ascii: "*"):
                guard skipComment() else { return .unclosed }
            case UInt8(ascii: ";"):
                index += 1
                return .semicolon
            case UInt8(ascii: "("), UInt8(ascii: ")"):
                index += 1
                return byte == UInt8(ascii: "(") ? .opening : .closing
            case UInt8(ascii: "'"):
                return skipString(escapes: conformingStrings.map { !$0 })
            case UInt8(ascii: "\""):
                return skip(to: UInt8(ascii: "\""))
            case UInt8(ascii: "$"):
                return dollar()
            default:
                return word()
            }
        }
        return nil
    }

    private mutating func skipComment() -> Bool {
        var depth = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "/"), at(1) == UInt8(ascii: "*") {
                depth += 1
                index += 2
            } else if bytes[index] == UInt8(ascii: "*"), at(1) == UInt8(ascii: "/") {
                depth -= 1
                index += 2
                if depth == 0 { return true }
            } else {
                index += 1
            }
        }
        return false
    }

    private mutating func skip(to quote: UInt8) -> Token {
        index += 1
        while index < bytes.count {
            index += 1
            // A doubled quote ends one string and begins the next: the same to us.
            if bytes[index - 1] == quote { return .other }
        }
        return .unclosed
    }

    private mutating func skipString(escapes: Bool?) -> Token {
        index += 1
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if byte == UInt8(ascii: "'") { return .other }
            if byte == UInt8(ascii: "\\") {
                guard let escapes else { return .unclosed }
                if escapes { index += 1 }
            }
        }
        return .unclosed
    }

    private mutating func dollar() -> Token {
        var end = index + 1
        while end < bytes.count, Self.isWord(bytes[end]) { end += 1 }
        guard end < bytes.count, bytes[end] == UInt8(ascii: "$"),
            end == index + 1 || !(48...57).contains(bytes[index + 1])
        else {
            index += 1
            return .other
        }
        let tag = bytes[index...end]
        var cursor = end + 1
        while cursor + tag.count <= bytes.count {
            if bytes[cursor..<cursor + tag.count].elementsEqual(tag) {
                index = cursor + tag.count
                return .other
            }
            cursor += 1
        }
        return .unclosed
    }

    private mutating func word() -> Token {
        let start = index
        while index < bytes.count, Self.isWord(bytes[index]) || bytes[index] == UInt8(ascii: "$") {
            index += 1
        }
        guard index > start else {
            index += 1
            return .other
        }
        let word = Array(bytes[start..<index])
        if index < bytes.count, bytes[index] == UInt8(ascii: "'"), word.count == 1,
            word[0] == UInt8(ascii: "e") || word[0] == UInt8(ascii: "E")
        {
            return skipString(escapes: true)
        }
        return .word(word)
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
            || byte == UInt8(ascii: "_") || byte >= 128
    }
}

/// How an SQL script looks from outside: enough to choose the protocol to send it by.
enum ScriptShape: Equatable {
    /// One statement; its first word in upper case.
    case single(keyword: String)
    /// Several statements, or one that only the simple protocol can carry.
    case script
    case empty

    /// Looks for a semicolon with something behind it, outside of quotes and comments.
    ///
    /// Says `script` when in doubt: the server splits scripts better than we do (BEGIN ATOMIC).
    /// Authority: PostgreSQL manual, 4.1, lexical structure.
    init(_ sql: String) {
        var reader = Reader(bytes: Array(sql.utf8))
        var keyword: [UInt8] = []
        var isEnded = false
        var isEmpty = true
        while let token = reader.next() {
            switch token {
            case .semicolon:
                if !isEmpty { isEnded = true }
            case .word(let word):
                if isEnded {
                    self = .script
                    return
                }
                if isEmpty { keyword = word }
                isEmpty = false
            case .other:
                if isEnded {
                    self = .script
                    return
                }
                isEmpty = false
            case .unclosed:
                self = .script
                return
            }
        }
        guard !isEmpty else {
            self = .empty
            return
        }
        let text = String(decoding: keyword, as: UTF8.self).uppercased()
        // COPY may turn to the client, which no pipeline survives.
        self = text == "COPY" ? .script : .single(keyword: text)
    }

    /// Whether it begins or ends transactions itself.
    var controlsTransaction: Bool {
        guard case .single(let keyword) = self else { return false }
        return ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "PREPARE"].contains(keyword)
    }

    /// BEGIN or START TRANSACTION.
    var beginsTransaction: Bool {
        self == .single(keyword: "BEGIN") || self == .single(keyword: "START")
    }

    /// COMMIT or END.
    var commitsTransaction: Bool {
        self == .single(keyword: "COMMIT") || self == .single(keyword: "END")
    }
}

private enum Token {
    case semicolon, other, unclosed
    case word([UInt8])
}

/// Steps over SQL token by token, as far as strings, comments and semicolons go.
private struct Reader {
    let bytes: [UInt8]
    var index = 0

    init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    private func at(_ offset: Int) -> UInt8 {
        index + offset < bytes.count ? bytes[index + offset] : 0
    }

    mutating func next() -> Token? {
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
            case UInt8(ascii: "'"):
                return skipString(escapes: false)
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

    private mutating func skipString(escapes: Bool) -> Token {
        index += 1
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if byte == UInt8(ascii: "'") { return .other }
            if byte == UInt8(ascii: "\\") {
                // Plain strings depend on standard_conforming_strings: not ours to know.
                guard escapes else { return .unclosed }
                index += 1
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

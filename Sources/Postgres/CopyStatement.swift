/// Where the rows of a COPY with the client go.
enum CopyDirection {
    case fromClient, toClient

    /// As it is written in SQL.
    var words: String {
        self == .fromClient ? "FROM STDIN" : "TO STDOUT"
    }
}

/// What an SQL string is to somebody who wants a COPY with the client.
enum CopyStatement: Equatable {
    case withClient(CopyDirection)
    /// Something else, such as a COPY with a file of the server, or several statements.
    case other
    /// Nothing that the server would run: it tells what is wrong.
    case invalid

    /// Authority: PostgreSQL manual, COPY; its grammar takes STDIN and STDOUT in both directions,
    /// and FROM and TO are no names without quotes.
    init(_ sql: String, conformingStrings: Bool) {
        var tokens = SQLTokens(sql, conformingStrings: conformingStrings)
        self = Self.read(&tokens)
    }

    private static func read(_ tokens: inout SQLTokens) -> CopyStatement {
        var token = tokens.next()
        while case .semicolon = token { token = tokens.next() }
        guard case .word(let first) = token, upper(first) == "COPY" else { return .other }
        var depth = 0
        while let token = tokens.next() {
            switch token {
            case .opening: depth += 1
            case .closing: depth -= 1
            case .unclosed: return .invalid
            case .semicolon where depth == 0: return .invalid
            case .word(let bytes) where depth == 0:
                let word = upper(bytes)
                if word == "FROM" { return partner(&tokens, .fromClient) }
                if word == "TO" { return partner(&tokens, .toClient) }
            case .word, .semicolon, .other: break
            }
        }
        return .invalid
    }

    /// What stands behind FROM or TO, to the end.
    private static func partner(
        _ tokens: inout SQLTokens, _ direction: CopyDirection
    ) -> CopyStatement {
        switch tokens.next() {
        case .word(let bytes) where ["STDIN", "STDOUT"].contains(upper(bytes)): break
        case .unclosed, nil: return .invalid
        default: return .other
        }
        var isEnded = false
        while let token = tokens.next() {
            switch token {
            case .semicolon: isEnded = true
            case .unclosed: return .invalid
            default: if isEnded { return .other }
            }
        }
        return .withClient(direction)
    }

    private static func upper(_ bytes: [UInt8]) -> String {
        String(decoding: bytes, as: UTF8.self).uppercased()
    }
}

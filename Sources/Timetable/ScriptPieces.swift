internal import Postgres

/// One statement of an SQL script, as far as words tell about it.
struct ScriptPiece: Equatable {
    let sql: String
    /// The words outside of quotes and comments, in upper case; the first 200.
    let words: [String]
    /// Whether there is a parenthesis, and so maybe a call.
    let hasParenthesis: Bool

    /// The statements of a script without those that are empty.
    ///
    /// Parted as psql(1) does it: at semicolons outside of parentheses and of BEGIN ATOMIC … END.
    /// What has no end goes on to the end of the script: the server says then what is wrong.
    static func of(_ script: String, conformingStrings: Bool) -> [ScriptPiece] {
        let bytes = Array(script.utf8)
        var reader = SQLTokens(script, conformingStrings: conformingStrings)
        var pieces: [ScriptPiece] = []
        var state = Reading()
        func add(through end: Int) {
            guard !state.isEmpty else { return }
            pieces.append(
                ScriptPiece(
                    sql: String(decoding: bytes[state.start..<end], as: UTF8.self),
                    words: state.words, hasParenthesis: state.hasParenthesis))
        }
        while let token = reader.next() {
            if case .unclosed = token {
                state.isEmpty = false
                break
            }
            guard case .semicolon = token, state.isOutside else {
                state.take(token)
                continue
            }
            add(through: reader.offset - 1)
            state = Reading()
            state.start = reader.offset
        }
        add(through: bytes.count)
        return pieces
    }

    private struct Reading {
        var start = 0
        var isEmpty = true
        var words: [String] = []
        var hasParenthesis = false
        private var parentheses = 0
        private var blocks = 0

        var isOutside: Bool { parentheses == 0 && blocks == 0 }

        mutating func take(_ token: SQLTokens.Token) {
            isEmpty = false
            switch token {
            case .opening:
                hasParenthesis = true
                parentheses += 1
            case .closing: parentheses = max(0, parentheses - 1)
            case .word(let bytes):
                let word = String(decoding: bytes, as: UTF8.self).uppercased()
                follow(word)
                if words.count < 200 { words.append(word) }
            case .semicolon, .other, .unclosed: break
            }
        }

        /// The bodies of functions in standard SQL.
        private mutating func follow(_ word: String) {
            let makesRoutine =
                words.first == "CREATE"
                && (words.prefix(4).contains("FUNCTION") || words.prefix(4).contains("PROCEDURE"))
            guard makesRoutine else { return }
            switch word {
            case "ATOMIC": if words.last == "BEGIN" { blocks += 1 }
            case "CASE": if blocks > 0 { blocks += 1 }
            case "END": blocks = max(0, blocks - 1)
            default: break
            }
        }
    }
}

extension ScriptPiece {
    private static let analysed: Set<String> = [
        "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "WITH", "TABLE", "EXPLAIN",
        "DECLARE",
    ]
    private static let transactional: Set<String> = [
        "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE",
    ]

    var keyword: String { words.first ?? "" }

    /// Whether the server looks for what it names, not at its syntax alone.
    var isAnalysed: Bool { Self.analysed.contains(keyword) || words.isEmpty }

    /// Whether its syntax is all there is to look at.
    var isAllSyntax: Bool { Self.transactional.contains(keyword) }

    /// Begins or ends a transaction.
    var controlsTransaction: Bool {
        isAllSyntax && !["SAVEPOINT", "RELEASE"].contains(keyword)
            && !(keyword == "ROLLBACK" && words.contains("TO"))
    }

    /// Whether what comes after it may find other tables, columns, functions or rights than are
    /// there now.
    var mayChangeWhatIsThere: Bool {
        switch keyword {
        case "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "TABLE", "TRUNCATE", "VACUUM",
            "ANALYZE", "COPY", "LOCK", "NOTIFY", "BEGIN", "START", "COMMIT", "END", "REINDEX",
            "CHECKPOINT", "SAVEPOINT", "RELEASE", "EXPLAIN", "DECLARE", "SHOW":
            false
        case "SELECT", "WITH": words.contains("INTO") || hasParenthesis
        default: true
        }
    }

    /// A COPY from or to the client: an SQL task has none.
    var copiesWithClient: Bool {
        keyword == "COPY" && (words.contains("STDIN") || words.contains("STDOUT"))
    }

    /// Refused inside of a transaction, by the manual of each.
    var refusesTransaction: Bool {
        switch keyword {
        case "VACUUM": return true
        case "CREATE", "DROP":
            if words.count > 1, ["DATABASE", "TABLESPACE"].contains(words[1]) { return true }
            return words.prefix(4).contains("INDEX") && words.prefix(5).contains("CONCURRENTLY")
        case "REINDEX":
            return words.contains("CONCURRENTLY")
                || words.contains("DATABASE") || words.contains("SYSTEM")
        case "ALTER": return words.count > 1 && words[1] == "SYSTEM"
        case "CLUSTER": return words.count == 1
        default: return false
        }
    }
}

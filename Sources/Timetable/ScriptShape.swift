internal import Postgres

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
        var reader = SQLTokens(sql)
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
            case .other, .opening, .closing:
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

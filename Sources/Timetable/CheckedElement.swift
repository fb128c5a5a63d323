internal import Postgres

/// An element of a chain as it is checked.
struct CheckedElement {
    let head: Int64
    let position: Int64
    let id: Int64
    let name: String
    let kind: Element.Kind
    let script: String
    let runUID: String?
    let connectionID: Int64?
    let connectString: String?
    let isAutonomous: Bool
    var roleExists = true
    var daemonMayBeRole = true
    var weMayBeRole = true
    /// Of SQL: its statements, and the types of its parameters where the server could tell.
    var pieces: [ScriptPiece] = []
    var types: [UInt32]?
    var isLookedAt = false

    init?(_ rows: Rows, _ row: Int) {
        guard let head = rows.integer(row, 0), let id = rows.integer(row, 2),
            let kind = rows.text(row, 5).flatMap(Element.Kind.init)
        else { return nil }
        self.head = head
        self.id = id
        self.kind = kind
        position = rows.integer(row, 1) ?? 0
        name = rows.text(row, 4) ?? ""
        script = rows.text(row, 6) ?? ""
        runUID = rows.text(row, 7)
        connectionID = rows.integer(row, 8)
        connectString = rows.text(row, 9)
        isAutonomous = rows.boolean(row, 10) == true
        roleExists = rows.boolean(row, 11) == true
        daemonMayBeRole = rows.boolean(row, 12) == true
        weMayBeRole = rows.boolean(row, 13) == true
    }

    var copy: CopyBuiltIn? { kind == .builtIn ? CopyBuiltIn(rawValue: script) : nil }
    private var whatHoldsSQL: String {
        kind == .sql ? "the script of base task \"\(name)\"" : "\"sql\" in its parameters"
    }
    var usesDatabase: Bool { kind == .sql || copy != nil }

    /// Why what comes after it may find other tables, roles or functions than there are now; nil
    /// when it plainly changes none.
    var mayChangeWhatIsThere: Bool {
        switch kind {
        case .sql: pieces.contains(where: \.mayChangeWhatIsThere)
        case .program: true
        case .builtIn: copy == .fromProgram || copy == .toProgram
        }
    }

    /// What the words of its SQL tell. Pure.
    func judgeShape(_ place: Finding.Place) -> [Finding] {
        guard kind == .sql else { return [] }
        guard let first = pieces.first else {
            return [Finding(.sqlEmpty, place, "there is no statement in it", "write one")]
        }
        var findings: [Finding] = []
        if let piece = pieces.first(where: \.refusesTransaction), !isAutonomous || pieces.count > 1
        {
            findings.append(
                Finding(
                    .sqlTransaction, place, "\(piece.keyword) can't run inside of a transaction",
                    isAutonomous
                        ? "give it a task of its own"
                        : "set autonomous on its element: then it runs outside of the transaction"))
        }
        if isAutonomous, pieces.count == 1, ["BEGIN", "START"].contains(first.keyword) {
            findings.append(
                Finding(
                    .sqlTransaction, place, "an autonomous task must end what it begins",
                    "leave autonomous out, or COMMIT in the same task"))
        }
        if pieces.contains(where: \.copiesWithClient) {
            findings.append(
                Finding(
                    .sqlCopy, place, "an SQL task can't COPY from or to the client",
                    "use the built-ins CopyFromFile, CopyToFile, CopyFromProgram, CopyToProgram"))
        }
        if script.holdsLogin {
            findings.append(
                Finding(
                    .secretPlain, place, "a URL in its script holds a password",
                    "keep it in a file that the daemon alone can read"))
        }
        return findings
    }

    /// Of statements that the server took for good by their syntax alone.
    static func judge(unseen pieces: [ScriptPiece], _ place: Finding.Place) -> Finding? {
        let words = pieces.reduce(into: [String]()) { words, piece in
            guard !piece.isAnalysed, !piece.isAllSyntax, !words.contains(piece.keyword) else {
                return
            }
            words.append(piece.keyword)
        }
        guard !words.isEmpty else { return nil }
        return Finding(
            .sqlSyntaxOnly, place,
            "of \(words.joined(separator: ", ")) the server checks only the syntax before it runs")
    }

    /// What the server's refusal of a statement means. Pure.
    ///
    /// - Parameters:
    ///   - changer: what ran before, and may have changed what is there.
    ///   - doubt: why the daemon may see what we do not.
    func judge(
        _ error: PostgresError, _ place: Finding.Place, changer: String?, doubt: String?
    ) -> Finding {
        let said = "\(error)".firstLine
        guard let state = error.sqlstate, !error.mayPass else {
            return Finding(.sqlUnjudged, place, "the server did not tell: \(said)", "check again")
        }
        if state == "42601" {
            return Finding(.sqlSyntax, place, said, "correct \(whatHoldsSQL)")
        }
        if state == "42P18" {
            return Finding(.sqlWrong, place, said, "say the type of each parameter: $1::text")
        }
        if state.hasPrefix("42") || state.hasPrefix("3F") {
            if let changer {
                return Finding(
                    .sqlUnjudged, place, "can't be judged, since \(changer) may change it: \(said)")
            }
            if let doubt {
                return Finding(.sqlUnjudged, place, "can't be judged, since \(doubt): \(said)")
            }
        }
        return Finding(.sqlWrong, place, said, "correct \(whatHoldsSQL), or make what it names")
    }
}

extension String {
    /// A URL with a password, RFC 3986, section 3.2.1.
    var holdsLogin: Bool {
        contains(#/[A-Za-z][A-Za-z0-9+.\-]*:\/\/[^\/\s:@'"]*:[^\/\s@'"]+@/#)
    }

    /// A connect string with a password in it.
    var holdsPassword: Bool {
        holdsLogin || contains(#/(?i)\bpassword\s*=\s*[^\s&]/#)
    }
}

/// A libpq connect string, and the same without what nobody should read.
///
/// Authority: PostgreSQL manual, 34.1.1, connection strings.
public struct ConnectString: Hashable, Sendable {
    /// As it is given to libpq.
    public let text: String

    public static let placeholder = "***"

    public init(_ text: String) {
        self.text = text
    }

    /// The string with `***` for its passwords.
    public var redacted: String { Self.rewritten(text) { _ in Self.placeholder } }

    /// The string without its passwords: two that differ in them alone are one connection.
    public var identity: String { Self.rewritten(text) { _ in nil } }

    public var hasPassword: Bool { redacted != identity }

    /// Whether a password has been left out of it, as `redacted` does.
    public var hasPlaceholder: Bool {
        var found = false
        _ = Self.rewritten(text) { secret in
            if secret == Self.placeholder { found = true }
            return secret
        }
        return found
    }

    private static let secrets: Set<String> = ["password", "sslpassword", "scram_client_key"]

    /// Replaces each secret; where the replacement is nil, the keyword goes too.
    private static func rewritten(_ text: String, _ replace: (String) -> String?) -> String {
        for scheme in ["postgresql://", "postgres://"] where text.hasPrefix(scheme) {
            return scheme + rewrittenURI(text.dropFirst(scheme.count), replace)
        }
        return rewrittenKeywords(text, replace)
    }

    private static func rewrittenURI(
        _ rest: Substring, _ replace: (String) -> String?
    ) -> String {
        let question = rest.firstIndex(of: "?") ?? rest.endIndex
        var head = String(rest[..<question])
        // A password may hold an unescaped slash by mistake: all up to the last @ is the login.
        if let at = head.lastIndex(of: "@") {
            let login = head[..<at]
            if let colon = login.firstIndex(of: ":") {
                let secret = replace(String(login[login.index(after: colon)...]))
                head = login[..<colon] + (secret.map { ":" + $0 } ?? "") + head[at...]
            }
        }
        guard question < rest.endIndex else { return head }
        let pairs = rest[rest.index(after: question)...].split(
            separator: "&", omittingEmptySubsequences: false
        ).compactMap { pair -> String? in
            let halves = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard halves.count == 2, secrets.contains(halves[0].lowercased()) else {
                return String(pair)
            }
            return replace(String(halves[1])).map { "\(halves[0])=\($0)" }
        }
        return pairs.isEmpty ? head : head + "?" + pairs.joined(separator: "&")
    }

    /// `keyword = value`, or `keyword='va\'lue'`, parted by blanks.
    private static func rewrittenKeywords(
        _ text: String, _ replace: (String) -> String?
    ) -> String {
        var result: [String] = []
        var rest = Array(text)[...]
        func skipBlanks() { rest = rest.drop { $0.isWhitespace } }
        while true {
            skipBlanks()
            guard !rest.isEmpty else { return result.joined(separator: " ") }
            let key = String(rest.prefix { !$0.isWhitespace && $0 != "=" })
            rest = rest.dropFirst(key.count)
            skipBlanks()
            guard rest.first == "=" else {
                result.append(key)
                continue
            }
            rest = rest.dropFirst()
            skipBlanks()
            let value = takeValue(&rest)
            guard secrets.contains(key.lowercased()) else {
                result.append("\(key)=\(value)")
                continue
            }
            if let secret = replace(value) { result.append("\(key)=\(secret)") }
        }
    }

    /// A value as it is written, quotation marks and backslashes with it.
    private static func takeValue(_ rest: inout ArraySlice<Character>) -> String {
        var value = ""
        let isQuoted = rest.first == "'"
        if isQuoted, let quote = rest.popFirst() { value.append(quote) }
        while let character = rest.first, isQuoted || !character.isWhitespace {
            rest = rest.dropFirst()
            value.append(character)
            if character == "\\", let escaped = rest.popFirst() {
                value.append(escaped)
            } else if isQuoted, character == "'" {
                break
            }
        }
        return value
    }
}

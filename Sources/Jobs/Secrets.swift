/// What of a row of parameters nobody should read, and how it comes back.
public enum Secrets {
    /// The row with `***` for its passwords: values of keys that begin with "pass", other than a
    /// `PasswordFile`, and the passwords of URLs; all of it when the row is marked as secret.
    public static func redacted(_ row: JSON, isSecret: Bool = false) -> JSON {
        if isSecret { return .text(ConnectString.placeholder) }
        guard case .object(let members) = row else { return withoutPasswords(row) }
        return .object(
            members.map { member in
                JSON.Member(
                    key: member.key,
                    value: holdsSecret(key: member.key)
                        ? .text(ConnectString.placeholder) : withoutPasswords(member.value))
            })
    }

    /// The row with what a file has left out, from the row that is stored; nil: something is
    /// left out that is not known from there.
    public static func restored(_ row: JSON, from stored: JSON?, isSecret: Bool) -> JSON? {
        if let stored, redacted(stored, isSecret: isSecret) == row { return stored }
        guard case .object(let members) = row else {
            return hasPlaceholder(row) || row == .text(ConnectString.placeholder) ? nil : row
        }
        var result: [JSON.Member] = []
        for member in members {
            let before = stored?[member.key]
            let asShown = before.map { before in
                holdsSecret(key: member.key)
                    ? .text(ConnectString.placeholder) : withoutPasswords(before)
            }
            if let before, asShown == member.value {
                result.append(JSON.Member(key: member.key, value: before))
            } else if hasPlaceholder(member.value)
                || holdsSecret(key: member.key)
                    && member.value == .text(ConnectString.placeholder)
            {
                return nil
            } else {
                result.append(member)
            }
        }
        return .object(result)
    }

    private static func holdsSecret(key: String) -> Bool {
        let key = key.lowercased()
        return key.hasPrefix("pass") && key != "passwordfile"
    }

    private static func hasPlaceholder(_ value: JSON) -> Bool {
        switch value {
        case .text(let text): text.contains(":\(ConnectString.placeholder)@")
        case .array(let values): values.contains(where: hasPlaceholder)
        case .object(let members): members.contains { hasPlaceholder($0.value) }
        case .null, .boolean, .number: false
        }
    }

    private static func withoutPasswords(_ value: JSON) -> JSON {
        switch value {
        case .text(let text): .text(withoutPasswords(text))
        case .array(let values): .array(values.map(withoutPasswords))
        case .object(let members):
            .object(
                members.map { JSON.Member(key: $0.key, value: withoutPasswords($0.value)) })
        case .null, .boolean, .number: value
        }
    }

    /// `ftp://user:password@host` as `ftp://user:***@host`, wherever it stands.
    private static func withoutPasswords(_ text: String) -> String {
        guard text.contains("://") else { return text }
        var result: [UInt8] = []
        var rest = Array(text.utf8)[...]
        let mark = Array("://".utf8)
        while let byte = rest.popFirst() {
            result.append(byte)
            guard result.suffix(3) == mark[...] else { continue }
            // RFC 3986, section 3.2: there the authority ends.
            let authority = rest.prefix { byte in byte > 0x20 && !"/?#\"'\\".utf8.contains(byte) }
            guard let at = authority.lastIndex(of: UInt8(ascii: "@")),
                let colon = authority[..<at].firstIndex(of: UInt8(ascii: ":"))
            else { continue }
            result += rest[..<colon] + ":\(ConnectString.placeholder)".utf8
            rest = rest[at...]
        }
        return String(decoding: result, as: UTF8.self)
    }
}

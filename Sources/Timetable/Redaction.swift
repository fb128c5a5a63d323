extension Parameter {
    /// The JSON with `***` for what is secret: all of it where its row is marked so, else values of
    /// keys that begin with "pass" in any case, other than a `PasswordFile`, and the user and
    /// password of URLs. All else stays byte for byte.
    ///
    /// Without the mark only objects have any: arrays are values for SQL and programs.
    var redacted: String {
        if isSecret { return "\"***\"" }
        guard type == "object" else { return json }
        var redaction = Redaction(bytes: Array(json.utf8))
        redaction.run()
        return String(decoding: redaction.result, as: UTF8.self)
    }
}

/// One pass over the text of a JSON object.
private struct Redaction {
    let bytes: [UInt8]
    var result: [UInt8] = []
    private var position = 0

    init(bytes: [UInt8]) {
        self.bytes = bytes
        result.reserveCapacity(bytes.count)
    }

    /// Where a key of the outermost object ends, its value is judged.
    mutating func run() {
        var depth = 0
        var isKey = false
        var isSecret = false
        while position < bytes.count {
            let byte = bytes[position]
            switch byte {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                isKey = depth == 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
            case UInt8(ascii: ","):
                if depth == 1 { (isKey, isSecret) = (true, false) }
            case UInt8(ascii: ":"):
                isKey = false
            case UInt8(ascii: "\""):
                let token = takeText()
                if depth == 1, isKey {
                    isSecret = Self.isSecret(token)
                    result += token
                } else {
                    result += isSecret ? Array("\"***\"".utf8) : Self.withoutLogins(token)
                }
                continue
            default:
                // A number can be a password too.
                if isSecret, byte > 0x20 {
                    skipWord()
                    result += Array("\"***\"".utf8)
                    continue
                }
            }
            result.append(byte)
            position += 1
        }
    }

    /// A text with its quotation marks.
    private mutating func takeText() -> ArraySlice<UInt8> {
        let start = position
        position += 1
        while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
            position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
        }
        position = min(position + 1, bytes.count)
        return bytes[start..<position]
    }

    private mutating func skipWord() {
        while position < bytes.count, bytes[position] > 0x20, !",]}".utf8.contains(bytes[position])
        {
            position += 1
        }
    }

    private static func isSecret(_ token: ArraySlice<UInt8>) -> Bool {
        let key = String(decoding: token.dropFirst().dropLast(), as: UTF8.self).lowercased()
        return key.hasPrefix("pass") && key != "passwordfile"
    }

    /// `ftp://user:password@host/` as `ftp://***@host/`.
    private static func withoutLogins(_ token: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        var rest = token
        let mark = Array("://".utf8)
        while let byte = rest.popFirst() {
            result.append(byte)
            guard result.suffix(3) == mark[...] else { continue }
            // RFC 3986, section 3.2: there the authority ends.
            let authority = rest.prefix { !"/?#\\\" ".utf8.contains($0) }
            guard let at = authority.lastIndex(of: UInt8(ascii: "@")) else { continue }
            result += Array("***".utf8)
            rest = rest[at...]
        }
        return result
    }
}

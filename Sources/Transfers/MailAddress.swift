/// An address of a mail, such as `Zoë <zoe@example.com>` or `root`.
public struct MailAddress: Equatable, Sendable {
    /// As it stands in the envelope.
    public let address: String
    /// Empty when there is none.
    public let name: String

    /// Reads one address; `what` names its place in errors.
    public init(_ text: String, _ what: String) throws(TransferError) {
        try MailHeader.check(text, what)
        let trimmed = Self.trim(text[...])
        if trimmed.last == ">", let open = trimmed.lastIndex(of: "<") {
            address = String(trimmed[trimmed.index(after: open)...].dropLast())
            name = Self.unquote(Self.trim(trimmed[..<open]))
        } else {
            address = String(trimmed)
            name = ""
        }
        // RFC 5321: neither quoted local parts nor UTF-8 ones, which few servers take.
        let isSound = address.utf8.allSatisfy { byte in
            0x21...0x7E ~= byte && !"<>(),;\\\"".utf8.contains(byte)
        }
        let halves = address.split(separator: "@", omittingEmptySubsequences: false)
        guard isSound, halves.count <= 2, !halves.contains(where: \.isEmpty), address.count <= 254
        else {
            throw TransferError(.invalid, "\(what): \"\(text)\" is no address of a mail")
        }
    }

    /// As it stands in the header.
    var written: String {
        name.isEmpty ? address : "\(MailHeader.phrase(name))\r\n <\(address)>"
    }

    var domain: String {
        address.split(separator: "@").dropFirst().first.map(String.init) ?? "localhost"
    }

    private static func trim(_ text: Substring) -> Substring {
        let start = text.drop { $0 == " " || $0 == "\t" }
        guard let end = start.lastIndex(where: { $0 != " " && $0 != "\t" }) else { return "" }
        return start[...end]
    }

    private static func unquote(_ text: Substring) -> String {
        guard text.count >= 2, text.first == "\"", text.last == "\"" else { return String(text) }
        var result = ""
        var isEscaped = false
        for character in text.dropFirst().dropLast() {
            isEscaped = character == "\\" && !isEscaped
            if !isEscaped { result.append(character) }
        }
        return result
    }
}

internal import Glibc

/// Fields of a message's header (RFC 5322), from text that may hold any character but line ends.
enum MailHeader {
    /// In octets, of an encoded word: with the longest name of a field before it, a line has 76.
    private static let wordLength = 39

    /// Refuses what would end the line and begin another field.
    static func check(_ text: String, _ what: String) throws(TransferError) {
        guard !text.utf8.contains(where: { ($0 < 0x20 && $0 != 0x09) || $0 == 0x7F }) else {
            throw TransferError(
                .invalid, "\(what) can't hold a line break or another control character")
        }
    }

    /// Text of a Subject: as it is, or in encoded words; folded.
    static func unstructured(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { 0x20...0x7E ~= $0 } && !text.contains("=?")
        guard isPlain, text.utf8.count <= 65, text.first != " ", text.last != " " else {
            return encodedWords(text)
        }
        return text
    }

    /// A display name: quoted, or in encoded words.
    static func phrase(_ text: String) -> String {
        guard text.utf8.allSatisfy({ 0x20...0x7E ~= $0 }), !text.contains("=?"),
            text.utf8.count <= 60
        else { return encodedWords(text) }
        return quoted(text)
    }

    /// A quoted string (RFC 5322, section 3.2.4) of printable ASCII.
    private static func quoted(_ text: String) -> String {
        let escaped = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
        return "\"\(escaped)\""
    }

    /// RFC 2047, each word with whole characters and on a line of its own.
    private static func encodedWords(_ text: String) -> String {
        var words: [String] = []
        var word: [UInt8] = []
        for scalar in text.unicodeScalars {
            let bytes = Array(String(scalar).utf8)
            if word.count + bytes.count > wordLength {
                words.append("=?UTF-8?B?\(Base64.encode(word))?=")
                word = []
            }
            word += bytes
        }
        words.append("=?UTF-8?B?\(Base64.encode(word))?=")
        return words.joined(separator: "\r\n ")
    }

    /// The name that an attachment is offered under (RFC 2183, and RFC 2231 for other than ASCII).
    static func disposition(_ name: String) -> String {
        if name.utf8.allSatisfy({ 0x20...0x7E ~= $0 }) {
            return "Content-Disposition: attachment; filename=\(quoted(name))"
        }
        let encoded = name.utf8.map { byte in
            let isPlain =
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
                default: "-._~".utf8.contains(byte)
                }
            return isPlain ? String(decoding: [byte], as: UTF8.self) : percent(byte)
        }
        return "Content-Disposition: attachment;\r\n filename*=UTF-8''\(encoded.joined())"
    }

    private static func percent(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return digits.count == 1 ? "%0\(digits)" : "%\(digits)"
    }

    /// RFC 5322, section 3.3, in UTC.
    static func date(secondsSince1970 seconds: Int) -> String {
        var time = time_t(seconds)
        var parts = unsafe tm()
        unsafe gmtime_r(&time, &parts)
        let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ]
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let clock = unsafe "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
        let day =
            unsafe "\(days[Int(parts.tm_wday)]), \(parts.tm_mday) \(months[Int(parts.tm_mon)])"
        return unsafe "\(day) \(parts.tm_year + 1900) \(clock) +0000"
    }
}

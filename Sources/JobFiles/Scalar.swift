/// How single values are written in YAML, so that every reader takes them for what they are.
enum Scalar {
    /// A text in one line: plain where nobody takes it for something else.
    static func text(_ text: String) -> String {
        guard isUnmistakable(text), text.unicodeScalars.allSatisfy(isPrintable) else {
            return quoted(text)
        }
        return isPlain(text) ? text : "'" + text.replacing("'", with: "''") + "'"
    }

    /// What is no text: numbers, times, words of ours. In quotes where it can't stand alone.
    static func bare(_ text: String) -> String {
        let isBare = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: ":"), UInt8(ascii: " "):
                true
            default: false
            }
        }
        guard isBare, let first = text.utf8.first, isPlain(text) else { return quoted(text) }
        let isSigned = first == UInt8(ascii: "-") || first == UInt8(ascii: "+")
        let start = isSigned ? text.utf8.dropFirst().first : first
        // An indicator, or a mark of a document.
        guard let start, start != UInt8(ascii: " "), start != UInt8(ascii: "-"),
            start != UInt8(ascii: ":"), start != UInt8(ascii: ".")
        else { return quoted(text) }
        return text
    }

    /// In double quotes, what can't be seen as an escape (YAML 1.2.2, section 5.7).
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\r": result += "\\r"
            case "\u{00}": result += "\\0"
            case "\u{07}": result += "\\a"
            case "\u{08}": result += "\\b"
            case "\u{0B}": result += "\\v"
            case "\u{0C}": result += "\\f"
            case "\u{1B}": result += "\\e"
            case "\u{85}": result += "\\N"
            case "\u{2028}": result += "\\L"
            case "\u{2029}": result += "\\P"
            case _ where isPrintable(scalar): result.unicodeScalars.append(scalar)
            case _ where scalar.value <= 0xFF: result += "\\x" + hex(scalar, 2)
            case _ where scalar.value <= 0xFFFF: result += "\\u" + hex(scalar, 4)
            default: result += "\\U" + hex(scalar, 8)
            }
        }
        return result + "\""
    }

    /// Whether a text can stand as its lines: they are all there is to it, and can be seen.
    static func isLiteral(_ text: String) -> Bool {
        let scalars = text.unicodeScalars
        return scalars.contains("\n")
            && scalars.allSatisfy { isPrintable($0) || $0 == "\n" || $0 == "\t" }
            && scalars.contains { $0 != "\n" && $0 != "\t" && $0 != " " }
    }

    /// Whether it may be a key before its colon: that has at most 1,024 characters (YAML 1.2.2,
    /// section 7.4.2).
    static func isShort(_ key: String) -> Bool {
        key.utf8.count <= 1000
    }

    private static let words: Set<String> = [
        "true", "false", "null", "yes", "no", "on", "off", "y", "n",
    ]

    /// Whether every reader of YAML takes it for a text, when it may stand without quotes at all.
    private static func isUnmistakable(_ text: String) -> Bool {
        guard let first = text.first, !words.contains(text.lowercased()) else { return false }
        if first.isLetter || first == "/" || first == "_" { return true }
        // A schedule is no number, for all its digits; what begins as a date may be one.
        return first.isNumber && text.contains(" ") && text.prefix(while: \.isNumber).count < 4
    }

    /// Whether it has nothing that ends a plain scalar (YAML 1.2.2, section 7.3.3).
    private static func isPlain(_ text: String) -> Bool {
        // By bytes: a combining mark makes one character of itself and what is before it.
        let bytes = Array(text.utf8)
        let (blank, colon, number) = (UInt8(ascii: " "), UInt8(ascii: ":"), UInt8(ascii: "#"))
        guard let last = bytes.last, last != blank, last != colon else { return false }
        return zip(bytes, bytes.dropFirst()).allSatisfy { first, second in
            !(first == colon && second == blank) && !(first == blank && second == number)
        }
    }

    /// Within a line (YAML 1.2.2, section 5.1, without all breaks, tabs and the byte order mark),
    /// and there for every reader and terminal: no format character that turns lines around.
    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x20...0x7E: true
        case 0x2028, 0x2029, 0x202A...0x202E, 0x2066...0x2069: false
        case 0xA0...0xD7FF, 0xE000...0xFEFE, 0xFF00...0xFFFD: true
        case 0x1_0000...0x10_FFFF: true
        default: false
        }
    }

    private static func hex(_ scalar: Unicode.Scalar, _ width: Int) -> String {
        let digits = String(scalar.value, radix: 16, uppercase: true)
        return String(repeating: "0", count: width - digits.count) + digits
    }
}

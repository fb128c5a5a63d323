/// A read position in the text, lower case for ASCII letters; never leaves its bounds.
struct ByteCursor {
    let bytes: [UInt8]
    private(set) var position: Int
    let end: Int

    init(_ bytes: [UInt8], from start: Int = 0, to end: Int? = nil) {
        self.bytes = bytes
        self.end = min(max(end ?? bytes.count, 0), bytes.count)
        position = min(max(start, 0), self.end)
    }

    var isAtEnd: Bool { position >= end }

    /// The byte `ahead` of the position, letters in lower case; nil past the end.
    func peek(_ ahead: Int = 0) -> UInt8? {
        let index = position + ahead
        guard index >= 0, index < end else { return nil }
        return Self.lowercased(bytes[index])
    }

    mutating func skip(_ count: Int = 1) {
        position = min(position + count, end)
    }

    /// Moves past `byte` if it is there.
    mutating func take(_ byte: UInt8) -> Bool {
        guard peek() == byte else { return false }
        skip()
        return true
    }

    mutating func skipBlanks() {
        while let byte = peek(), Self.isBlank(byte) { skip() }
    }

    /// The number at the position and how many digits it has, none included; saturates.
    mutating func takeNumber() -> (value: Int, digits: Int) {
        var (value, digits) = (0, 0)
        while let byte = peek(), byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") {
            value = min(value, 99_999_999_999) * 10 + Int(byte - UInt8(ascii: "0"))
            digits += 1
            skip()
        }
        return (value, digits)
    }

    /// The ASCII letters at the position, in lower case.
    mutating func takeLetters() -> String {
        take(while: { $0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "z") })
    }

    mutating func take(while matches: (UInt8) -> Bool) -> String {
        var taken: [UInt8] = []
        while let byte = peek(), matches(byte) {
            taken.append(byte)
            skip()
        }
        return String(decoding: taken, as: UTF8.self)
    }

    /// The column of a byte position, in characters from 1.
    func column(of position: Int) -> Int {
        bytes.prefix(max(position, 0)).count { $0 & 0xC0 != 0x80 } + 1
    }

    /// Text between two positions for an error: at most 24 characters, no control characters.
    func excerpt(from start: Int, to end: Int) -> String {
        let start = min(max(start, 0), bytes.count)
        let slice = bytes[start..<min(max(end, start), bytes.count)]
        let printable = String(decoding: slice, as: UTF8.self).unicodeScalars.map { scalar in
            scalar.value < 0x20 || (scalar.value >= 0x7F && scalar.value < 0xA0) ? "?" : scalar
        }
        var text = String.UnicodeScalarView(printable.prefix(24))
        if printable.count > 24 { text.append("…") }
        return String(text)
    }

    static func isBlank(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || (byte >= 9 && byte <= 10) || byte == 13
    }

    static func lowercased(_ byte: UInt8) -> UInt8 {
        byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte + 32 : byte
    }
}

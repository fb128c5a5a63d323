/// Reads a one-dimensional PostgreSQL array literal such as `{a,"b c",NULL}`; nil when it is none.
///
/// Authority: PostgreSQL manual, 8.15.6, array input and output syntax. What the server would
/// refuse is nil, as are several dimensions and bounds (`[2:3]={…}`).
public func parseArrayLiteral(_ text: String) -> [String?]? {
    var reader = ArrayLiteralReader(bytes: Array(text.utf8))
    return reader.read()
}

private struct ArrayLiteralReader {
    let bytes: [UInt8]
    var position = 0

    private var next: UInt8? {
        position < bytes.count ? bytes[position] : nil
    }

    mutating func read() -> [String?]? {
        skipBlanks()
        guard take("{") else { return nil }
        var values: [String?] = []
        skipBlanks()
        if !take("}") {
            repeat {
                guard let value = readValue() else { return nil }
                values.append(value)
            } while take(",")
            guard take("}") else { return nil }
        }
        skipBlanks()
        return position == bytes.count ? values : nil
    }

    /// One value with the blanks around it; nil is an error, and `.some(nil)` is NULL.
    private mutating func readValue() -> String?? {
        skipBlanks()
        guard !take("\"") else {
            var value: [UInt8] = []
            while let byte = next, byte != UInt8(ascii: "\"") {
                guard let character = readCharacter(byte) else { return nil }
                value.append(character)
            }
            guard take("\"") else { return nil }
            skipBlanks()
            return String(decoding: value, as: UTF8.self)
        }
        var value: [UInt8] = []
        // Up to where blanks belong to it: those that are escaped, and those before others.
        var length = 0
        var isEscaped = false
        while let byte = next, !",}".utf8.contains(byte) {
            guard !"{\"".utf8.contains(byte), let character = readCharacter(byte) else {
                return nil
            }
            value.append(character)
            let escaped = byte == UInt8(ascii: "\\")
            isEscaped = isEscaped || escaped
            if escaped || !Self.isBlank(byte) { length = value.count }
        }
        guard length > 0 else { return nil }
        let string = String(decoding: value[..<length], as: UTF8.self)
        let isNull = !isEscaped && length == 4 && string.lowercased() == "null"
        return .some(isNull ? nil : string)
    }

    /// One byte, or the one after a backslash.
    private mutating func readCharacter(_ byte: UInt8) -> UInt8? {
        position += 1
        guard byte == UInt8(ascii: "\\") else { return byte }
        defer { position += 1 }
        return next
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func skipBlanks() {
        while let byte = next, Self.isBlank(byte) { position += 1 }
    }

    /// As array_isspace() of the server.
    private static func isBlank(_ byte: UInt8) -> Bool {
        byte == 32 || (9...13).contains(byte)
    }
}

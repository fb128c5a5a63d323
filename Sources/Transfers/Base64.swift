/// Base64 with the alphabet and padding of RFC 4648, section 4.
public enum Base64 {
    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    private static let values: [UInt8: Int] = Dictionary(
        uniqueKeysWithValues: zip(alphabet, 0..<64))

    public static func encode(_ bytes: [UInt8]) -> String {
        var result: [UInt8] = []
        result.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let count = min(3, bytes.count - start)
            var value = 0
            for index in 0..<3 {
                value = value << 8 | (index < count ? Int(bytes[start + index]) : 0)
            }
            for index in 0..<4 {
                let sextet = alphabet[value >> (18 - 6 * index) & 63]
                result.append(index <= count ? sextet : UInt8(ascii: "="))
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// The bytes of a text, which may be broken into lines; nil when it is no base64.
    public static func decode(_ text: String) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(text.utf8.count / 4 * 3)
        var value = 0
        var count = 0
        var padding = 0
        for byte in text.utf8 where ![0x20, 0x09, 0x0A, 0x0D].contains(byte) {
            if byte == UInt8(ascii: "=") {
                padding += 1
                value <<= 6
            } else {
                guard padding == 0, let sextet = values[byte] else { return nil }
                value = value << 6 | sextet
            }
            count += 1
            guard count == 4 else { continue }
            guard padding <= 2 else { return nil }
            for index in 0..<(3 - padding) {
                result.append(UInt8(value >> (16 - 8 * index) & 0xFF))
            }
            (value, count) = (0, 0)
            // Nothing may follow it.
            if padding > 0 { padding = 3 }
        }
        return count == 0 ? result : nil
    }
}

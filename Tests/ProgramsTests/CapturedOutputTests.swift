import Testing

@testable import Programs

struct CapturedOutputTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var limit: Int
        var pieces: [String]
        var text: String
        var omitted = 0

        var testDescription: String { "limit \(limit): \(pieces)" }
    }

    static let rows: [Row] = [
        Row(limit: 8, pieces: [], text: ""),
        Row(limit: 8, pieces: [""], text: ""),
        Row(limit: 8, pieces: ["123456"], text: "123456"),
        Row(limit: 8, pieces: ["1234567"], text: "1234567"),
        Row(limit: 8, pieces: ["12345678"], text: "12345678"),
        Row(limit: 8, pieces: ["1234", "5678"], text: "12345678"),
        Row(limit: 8, pieces: ["1", "2", "3", "4", "5", "6", "7", "8"], text: "12345678"),
        Row(
            limit: 8, pieces: ["123456789"], text: "123456\n… 1 bytes left out …\n89", omitted: 1),
        Row(
            limit: 8, pieces: ["1234567", "89"], text: "123456\n… 1 bytes left out …\n89",
            omitted: 1),
        Row(
            limit: 8, pieces: ["12345678", "9"], text: "123456\n… 1 bytes left out …\n89",
            omitted: 1),
        Row(
            limit: 8, pieces: ["12345678", "9", "a", "b"],
            text: "123456\n… 3 bytes left out …\nab", omitted: 3),
        Row(
            limit: 8, pieces: ["1", "2345678", "9abcdefgh"],
            text: "123456\n… 9 bytes left out …\ngh", omitted: 9),
        Row(limit: 4, pieces: ["abcdef"], text: "abc\n… 2 bytes left out …\nf", omitted: 2),
        Row(limit: 1, pieces: ["ab"], text: "\n… 1 bytes left out …\nb", omitted: 1),
        Row(limit: 1, pieces: ["a"], text: "a"),
        Row(limit: 0, pieces: ["a", "bc"], text: "\n… 3 bytes left out …\n", omitted: 3),
        Row(limit: -5, pieces: ["abc"], text: "\n… 3 bytes left out …\n", omitted: 3),
        Row(limit: 100, pieces: ["a\0b", "\0"], text: "a\u{FFFD}b\u{FFFD}"),
        Row(limit: 100, pieces: ["ü€", "😀"], text: "ü€😀"),
    ]

    @Test(arguments: rows) func headAndTailAreKept(_ row: Row) {
        var output = CapturedOutput(limit: row.limit)
        for piece in row.pieces { output.append(Array(piece.utf8)) }
        #expect(output.text == row.text)
        #expect(output.omittedCount == row.omitted)
        #expect(output.byteCount == row.pieces.joined().utf8.count)
    }

    @Test func whatIsNoUTF8IsReplaced() {
        var output = CapturedOutput(limit: 100)
        output.append([0x61, 0xFF, 0x62, 0xC3] as [UInt8])
        output.append([0xBC, 0xE2, 0x82] as [UInt8])
        #expect(output.text == "a\u{FFFD}bü\u{FFFD}")
    }

    /// However the bytes are cut into pieces, the result is that of one piece.
    @Test func theCutsMakeNoDifference() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2_000 {
            let limit = Int.random(in: 0...40, using: &generator)
            let bytes = (0..<Int.random(in: 0...120, using: &generator)).map {
                UInt8(33 + $0 % 90)
            }
            var whole = CapturedOutput(limit: limit)
            whole.append(bytes)
            var cut = CapturedOutput(limit: limit)
            var rest = bytes[...]
            while !rest.isEmpty {
                let length = Int.random(in: 1...rest.count, using: &generator)
                cut.append(rest.prefix(length))
                rest = rest.dropFirst(length)
            }
            #expect(cut.text == whole.text, "limit \(limit), \(bytes.count) bytes")
            #expect(cut.omittedCount == max(0, bytes.count - limit))
        }
    }
}

import JobFiles
import Jobs
import Testing

/// Any bytes end in jobs or in a mistake with a place, soon.
@Suite(.timeLimit(.minutes(2))) struct FuzzTests {
    private static let pieces = [
        "\n", "\n  ", "\n    - ", " ", "\t", ": ", "- ", "? ", "[", "]", "{", "}", ", ", "&a ",
        "*a", "!!str ", "!x ", "|\n", "|2+\n", ">-\n", "'", "\"", "\\", "\\x", "#", " #",
        "%YAML 1.1\n",
        "---\n", "...\n", "~", "=", "<<: ", "true", "1e9", "\r\n", "\u{85}", "\u{2028}", "\u{FEFF}",
        "\u{0}", "\u{7F}", "é", "🔔", "carillon: 1\n", "chains:\n", "elements: [a]", "parameters:",
    ].map { Array($0.utf8) }

    @Test(arguments: 1...8 as ClosedRange<UInt64>) func anyBytesEnd(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        for _ in 0..<150 {
            let bytes = (0..<Int.random(in: 0...300, using: &random)).map { _ in
                UInt8.random(in: .min ... .max, using: &random)
            }
            expectAnEnd(bytes)
        }
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>) func anyPiecesEnd(seed: UInt64) {
        var random = SeededGenerator(state: seed &* 0x1_0001)
        for _ in 0..<150 {
            let count = Int.random(in: 0...80, using: &random)
            expectAnEnd(
                (0..<count).flatMap { _ in Self.pieces.randomElement(using: &random) ?? [] })
        }
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>) func anyChangeOfAFileEnds(seed: UInt64) {
        var random = SeededGenerator(state: seed &* 0x1_0003)
        var read = 0
        for _ in 0..<150 {
            var bytes = Array(JobFileTests.example.utf8)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let from = Int.random(in: 0...bytes.count, using: &random)
                let to = min(bytes.count, from + Int.random(in: 0...6, using: &random))
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes.removeSubrange(from..<to)
                case 1: bytes.insert(contentsOf: bytes[from..<to], at: from)
                case 2:
                    bytes.replaceSubrange(
                        from..<to, with: Self.pieces.randomElement(using: &random) ?? [])
                default:
                    if from < to { bytes[from] ^= 1 << UInt8.random(in: 0..<8, using: &random) }
                }
            }
            if expectAnEnd(bytes) { read += 1 }
        }
        // Most changes are mistakes, but not all.
        #expect(read > 0 && read < 150)
    }

    /// Whether the bytes are a file of jobs.
    @discardableResult private func expectAnEnd(_ bytes: [UInt8]) -> Bool {
        do throws(JobFile.Mistake) {
            let jobs = try JobFile.read(bytes)
            let text = JobFile.text(jobs)
            #expect(try JobFile.text(JobFile.read(text)) == text, "\(bytes)")
            return true
        } catch {
            // libyaml counts the end of a last line that has none as a line.
            let breaks = String(decoding: bytes, as: UTF8.self).unicodeScalars.count {
                ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"].contains($0)
            }
            #expect((1...breaks + 2).contains(error.line) && error.column > 0, "\(bytes) \(error)")
            return false
        }
    }
}

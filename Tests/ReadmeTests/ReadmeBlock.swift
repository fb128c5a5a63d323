/// A fenced block of README.md, or of a page of the manual, that a reader would run, and what
/// the comments above it ask for.
///
///     <!-- test: skip (it runs this very test) -->   not run; the reason is printed
///     <!-- test: database tour -->                   shares the database `tour`
///     <!-- test: expect hello -->                    its output contains `hello`
///     <!-- test: eventually hello -->                it is repeated until its output does
///
///     <!-- test: serves hello -->                    it runs until its output contains `hello`,
///                                                    then SIGTERM ends it with exit code 0
///
/// Comments stand directly above the fence, one a line. Blocks of `sql` and `shell` count.
struct ReadmeBlock: Equatable {
    enum Language: String {
        case sql, shell
    }

    var language: Language
    var text: String
    /// The file, and the line of the opening fence.
    var document = "README.md"
    var line: Int
    var skipReason: String?
    var database = "readme"
    var expected: [String] = []
    var awaited: [String] = []
    var served: String?
}

/// A comment or a fence that can't be what its author meant.
struct ReadmeMistake: Error, Equatable, CustomStringConvertible {
    var document = "README.md"
    var line: Int
    var message: String

    var description: String { "\(document):\(line): \(message)" }
}

extension ReadmeBlock {
    /// All blocks in order.
    static func all(
        in text: String, of document: String = "README.md"
    ) throws(ReadmeMistake) -> [ReadmeBlock] {
        var blocks: [ReadmeBlock] = []
        var wishes: [(line: Int, text: String)] = []
        var open: ReadmeBlock?
        var isInOtherFence = false
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        for (number, line) in zip(1..., lines.map(String.init)) {
            if var block = open {
                if line.hasPrefix("```") {
                    blocks.append(block)
                    open = nil
                } else {
                    block.text += line + "\n"
                    open = block
                }
            } else if isInOtherFence {
                isInOtherFence = !line.hasPrefix("```")
            } else if line.hasPrefix("```"), let language = Language(rawValue: fence(line)) {
                var block = ReadmeBlock(
                    language: language, text: "", document: document, line: number)
                for wish in wishes { try block.take(wish) }
                wishes = []
                open = block
            } else if let wish = wish(in: line) {
                wishes.append((number, wish))
            } else {
                isInOtherFence = line.hasPrefix("```")
                guard let stray = wishes.first else { continue }
                throw ReadmeMistake(
                    document: document, line: stray.line, message: "no sql or shell block follows")
            }
        }
        guard open == nil, !isInOtherFence else {
            throw ReadmeMistake(
                document: document, line: lines.count, message: "the last block has no end")
        }
        return blocks
    }

    private static func fence(_ line: String) -> String {
        String(line.dropFirst(3).prefix { !$0.isWhitespace })
    }

    private static func wish(in line: String) -> String? {
        guard line.hasPrefix("<!-- test:"), line.hasSuffix("-->") else { return nil }
        let words = line.dropFirst("<!-- test:".count).dropLast("-->".count)
        return words.split(separator: " ").joined(separator: " ")
    }

    private mutating func take(_ wish: (line: Int, text: String)) throws(ReadmeMistake) {
        let word = wish.text.prefix { $0 != " " }
        let rest = String(wish.text.dropFirst(word.count).drop { $0 == " " })
        guard !rest.isEmpty else {
            throw ReadmeMistake(
                document: document, line: wish.line, message: "`\(word)` needs more than its name")
        }
        switch word {
        case "skip": skipReason = rest
        case "database": database = rest
        case "expect": expected.append(rest)
        case "serves": served = rest
        case "eventually": awaited.append(rest)
        default:
            throw ReadmeMistake(
                document: document, line: wish.line, message: "what is `\(word)`?")
        }
    }
}

/// A text file of the repository, and for Swift its code apart from comments and literals.
struct SourceFile {
    /// A string literal: its text between the quotes, and the line where it begins.
    struct Literal {
        var line: Int
        var text: String
    }

    /// Relative to the top, with `/`.
    let path: String
    let lines: [String]
    /// For Swift: the text with comments and string literals blanked, line breaks kept.
    let code: [Unicode.Scalar]
    /// `code` by lines, so that a finding can name one.
    let codeLines: [String]
    let literals: [Literal]
    /// The functions and initializers that have a body, in order.
    private(set) var functions: [FunctionShape] = []
    /// Where in `code` each line begins.
    private let lineStarts: [Int]

    init(path: String, text: String) {
        self.path = path
        // Swift takes CR LF for one character; here it is a line with a trailing blank.
        let text = text.replacing("\r\n", with: " \n")
        lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard path.hasSuffix(".swift") else {
            (code, codeLines, literals, lineStarts) = ([], [], [], [])
            return
        }
        var lexer = SwiftLexer(text)
        lexer.run()
        (code, literals) = (lexer.code, lexer.literals)
        codeLines = code.split(separator: "\n", omittingEmptySubsequences: false)
            .map { String(code: $0) }
        lineStarts = [0] + zip(code, 1...).compactMap { $0 == "\n" ? $1 : nil }
        functions = findFunctions()
    }

    var isSwift: Bool { path.hasSuffix(".swift") }
    var fileName: String { String(path.split(separator: "/").last ?? "") }

    /// `Reactor` for `Sources/Reactor/EventLoop.swift`, nil outside Sources.
    var room: String? {
        let parts = path.split(separator: "/")
        return parts.count > 2 && parts[0] == "Sources" ? String(parts[1]) : nil
    }

    /// The number, from 1, of the line in which a character of `code` stands.
    func line(of index: Int) -> Int {
        var (low, high) = (0, lineStarts.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if lineStarts[middle] <= index { low = middle } else { high = middle }
        }
        return low + 1
    }
}

/// Tells Swift's code from its comments and string literals; no more of the language than that.
struct SwiftLexer {
    private(set) var code: [Unicode.Scalar]
    private(set) var literals: [SourceFile.Literal] = []
    private let text: [Unicode.Scalar]
    private var position = 0
    private var line = 1

    init(_ text: String) {
        self.text = Array(text.unicodeScalars)
        code = self.text
    }

    mutating func run() {
        let starters = Set("/#\"".unicodeScalars)
        while position < text.count {
            if !starters.contains(text[position]) {
                step()
            } else if at("//") {
                while position < text.count, text[position] != "\n" { blank() }
            } else if at("/*") {
                blankComment()
            } else if let hashes = literalStart() {
                blankLiteral(hashes)
            } else {
                step()
            }
        }
    }

    private func at(_ word: String, offset: Int = 0) -> Bool {
        let begin = position + offset
        let end = begin + word.unicodeScalars.count
        return end <= text.count && text[begin..<end].elementsEqual(word.unicodeScalars)
    }

    /// The number of `#` before a quote, or nil if no string literal starts here.
    private func literalStart() -> Int? {
        var hashes = 0
        while at("#", offset: hashes) { hashes += 1 }
        return at("\"", offset: hashes) ? hashes : nil
    }

    private mutating func step() {
        if text[position] == "\n" { line += 1 }
        position += 1
    }

    private mutating func blank() {
        if text[position] != "\n" { code[position] = " " }
        step()
    }

    private mutating func blank(_ count: Int) {
        for _ in 0..<count where position < text.count { blank() }
    }

    /// Comments nest in Swift.
    private mutating func blankComment() {
        var depth = 0
        repeat {
            if at("/*") {
                depth += 1
                blank(2)
            } else if at("*/") {
                depth -= 1
                blank(2)
            } else {
                blank()
            }
        } while depth > 0 && position < text.count
    }

    private mutating func blankLiteral(_ hashes: Int) {
        let began = line
        let raw = String(repeating: "#", count: hashes)
        blank(hashes)
        let quote = at("\"\"\"") ? "\"\"\"" : "\""
        blank(quote.count)
        let first = position
        while position < text.count, !at(quote + raw) {
            if at("\\" + raw + "(") {
                blank(2 + hashes)
                blankInterpolation()
            } else if at("\\" + raw) {
                blank(2 + hashes)
            } else {
                blank()
            }
        }
        literals.append(
            SourceFile.Literal(line: began, text: String(code: text[first..<position])))
        blank(quote.count + hashes)
    }

    /// Up to the parenthesis that closes it: a literal may hold code that holds a literal.
    private mutating func blankInterpolation() {
        var depth = 1
        while depth > 0, position < text.count {
            if let hashes = literalStart() {
                blankLiteral(hashes)
                continue
            }
            if text[position] == "(" { depth += 1 }
            if text[position] == ")" { depth -= 1 }
            blank()
        }
    }
}

extension String {
    /// The text of a part of some code.
    init(code scalars: some Sequence<Unicode.Scalar>) {
        var view = UnicodeScalarView()
        view.append(contentsOf: scalars)
        self.init(view)
    }
}

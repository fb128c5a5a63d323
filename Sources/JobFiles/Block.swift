/// A part of a file in YAML, as it is written: in block style but for what stands in one line.
enum Block {
    /// A single value or a flow collection, as it is written.
    case line(String)
    /// A text that has its lines for itself; see `Scalar.isLiteral`.
    case literal(String)
    case mapping([Pair])
    case sequence([Block])

    struct Pair {
        let key: String
        let value: Block

        init(_ key: String, _ value: Block) {
            (self.key, self.value) = (key, value)
        }
    }

    /// The lines of a document. Keys and lines are as `Scalar` writes them.
    var document: String {
        var writer = Writer()
        switch self {
        case .line, .literal: writer.value(self, after: "---", at: 0, isIndented: false)
        case .mapping(let pairs): writer.mapping(pairs, at: 0, isInLine: false)
        case .sequence(let values): writer.sequence(values, at: 0, isInLine: false)
        }
        return writer.text
    }
}

private struct Writer {
    var text = ""
    /// Between a collection and what is in it.
    private static let step = 2

    /// `isInLine`: the first pair goes on in a line that has been begun.
    mutating func mapping(
        _ pairs: [Block.Pair], at column: Int, isInLine: Bool
    ) {
        for (number, pair) in pairs.enumerated() {
            if number > 0 || !isInLine { indent(column) }
            if Scalar.isShort(pair.key) {
                value(pair.value, after: pair.key + ":", at: column, isIndented: false)
            } else {
                text += "? \(pair.key)\n"
                indent(column)
                value(pair.value, after: ":", at: column, isIndented: true)
            }
        }
    }

    mutating func sequence(_ values: [Block], at column: Int, isInLine: Bool) {
        for (number, value) in values.enumerated() {
            if number > 0 || !isInLine { indent(column) }
            self.value(value, after: "-", at: column, isIndented: true)
        }
    }

    /// `isIndented`: a collection goes on in the line of `start`, which is one character; else it
    /// begins in a line of its own, and a list stands no deeper than its key.
    mutating func value(_ value: Block, after start: String, at column: Int, isIndented: Bool) {
        text += start
        switch value {
        case .line(let line): text += " \(line)\n"
        case .literal(let lines): literal(lines, at: column + Self.step)
        case .mapping(let pairs):
            text += isIndented ? " " : "\n"
            mapping(pairs, at: column + Self.step, isInLine: isIndented)
        case .sequence(let values):
            text += isIndented ? " " : "\n"
            sequence(values, at: column + (isIndented ? Self.step : 0), isInLine: isIndented)
        }
    }

    /// YAML 1.2.2, section 8.1.
    private mutating func literal(_ lines: String, at column: Int) {
        text += " |"
        // What begins with white space hides how deep it stands.
        if let first = lines.utf8.first, [0x20, 0x0A, 0x09].contains(first) {
            text += "\(Self.step)"
        }
        var rest = lines.utf8.split(separator: 0x0A, omittingEmptySubsequences: false)
        if rest.last?.isEmpty != true {
            text += "-"
        } else {
            rest.removeLast()
            if rest.last?.isEmpty == true { text += "+" }
        }
        text += "\n"
        for line in rest {
            if !line.isEmpty {
                indent(column)
                text += String(Substring(line))
            }
            text += "\n"
        }
    }

    private mutating func indent(_ column: Int) {
        text += String(repeating: " ", count: column)
    }
}

/// A place in a text: line and column count from 1, the column in characters of Unicode.
struct Place: Equatable {
    var line: Int
    var column: Int

    static let start = Place(line: 1, column: 1)
}

/// A value of a document in YAML, and where it is written.
struct Node {
    enum Content {
        /// Plain is what stands without quotes and without a tag that makes it a text: only that
        /// may mean a number, a boolean or null.
        case scalar(String, isPlain: Bool)
        case sequence([Node])
        case mapping([Pair])
    }

    struct Pair {
        let key: Node
        let value: Node
    }

    var place: Place
    let content: Content
    /// About how much memory it takes, written out: its aliases count each time.
    let weight: Int
    /// How many levels of collections it has: 0 for a scalar.
    let height: Int

    init(_ place: Place, _ content: Content) {
        (self.place, self.content) = (place, content)
        switch content {
        case .scalar(let text, _):
            (weight, height) = (16 + text.utf8.count, 0)
        case .sequence(let nodes):
            weight = nodes.reduce(16) { $0 + $1.weight }
            height = 1 + (nodes.lazy.map(\.height).max() ?? 0)
        case .mapping(let pairs):
            weight = pairs.reduce(16) { $0 + $1.key.weight + $1.value.weight }
            height = 1 + (pairs.lazy.map { max($0.key.height, $0.value.height) }.max() ?? 0)
        }
    }

    /// Nil for a collection.
    var scalar: String? {
        if case .scalar(let text, _) = content { return text }
        return nil
    }

    /// Nil for what is none.
    var sequence: [Node]? {
        if case .sequence(let nodes) = content { return nodes }
        return nil
    }

    /// In the order of the file, each key once; nil for what is none.
    var mapping: [Pair]? {
        if case .mapping(let pairs) = content { return pairs }
        return nil
    }
}

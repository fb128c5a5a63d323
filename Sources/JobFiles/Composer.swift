/// Makes the tree of a document from its events, within bounds that no file of jobs comes near.
///
/// Aliases are resolved: each is a copy of what its anchor is at, and can't be a part of itself.
struct Composer: ~Copyable {
    /// In bytes: as much as a command takes from its standard input.
    static let longest = 64 << 20
    /// Levels of collections in one another.
    static let deepest = 120
    static let mostNodes = 4_000_000
    /// libyaml compares each with all before it.
    static let mostDirectives = 1000
    /// The weight of all that aliases copy: a few lines of them could mean more than any memory.
    static let mostCopied = 16 << 20

    private var events: Events
    private var anchors: [String: Node] = [:]
    private var nodes = 0
    private var copied = 0

    private init(_ text: [UInt8]) throws(JobFile.Mistake) {
        events = try Events(text)
    }

    /// The value of the only document; nil where there is none.
    static func root(of text: [UInt8]) throws(JobFile.Mistake) -> Node? {
        guard text.count <= longest else {
            throw JobFile.Mistake(.start, "it is longer than \(longest >> 20) MiB")
        }
        guard directives(text) <= mostDirectives else {
            throw JobFile.Mistake(.start, "it has more than \(mostDirectives) directives")
        }
        var composer = try Composer(text)
        return try composer.root()
    }

    /// How many lines begin with %TAG; whatever breaks lines ends in such a byte.
    private static func directives(_ text: [UInt8]) -> Int {
        let name = Array("%TAG".utf8)
        var count = 0
        var last: UInt8 = 0
        for (index, byte) in text.enumerated() {
            if byte == name[0], last < 0x20 || last > 0x7F, text[index...].starts(with: name) {
                count += 1
            }
            last = byte
        }
        return count
    }

    private mutating func root() throws(JobFile.Mistake) -> Node? {
        var root: Node?
        while true {
            let event = try events.next()
            switch event.kind {
            case .streamEnd: return root
            case .document:
                guard root == nil else {
                    throw JobFile.Mistake(
                        event.place, "a second document begins here: a file has one")
                }
            case .documentEnd, .other: continue
            default: root = try node(event, depth: 0)
            }
        }
    }

    private mutating func node(_ event: Event, depth: Int) throws(JobFile.Mistake) -> Node {
        nodes += 1
        guard nodes <= Self.mostNodes else {
            throw JobFile.Mistake(event.place, "more than \(Self.mostNodes) values")
        }
        if case .alias(let name) = event.kind { return try copy(name, event.place, depth) }
        try Self.check(event)
        let content = try content(event, depth: depth)
        let node = Node(event.place, content)
        if let anchor = event.anchor { anchors[anchor] = node }
        return node
    }

    private mutating func content(
        _ event: Event, depth: Int
    ) throws(JobFile.Mistake) -> Node.Content {
        switch event.kind {
        case .scalar(let text, let isPlain):
            guard !text.utf8.contains(0) else {
                throw JobFile.Mistake(event.place, "no text of PostgreSQL has the character \\0")
            }
            return .scalar(text, isPlain: isPlain && event.tag == nil)
        case .sequence:
            try Self.check(depth, event.place)
            return .sequence(try sequence(depth: depth + 1))
        case .mapping:
            try Self.check(depth, event.place)
            return .mapping(try mapping(depth: depth + 1))
        default:
            // The grammar has nothing else here.
            throw JobFile.Mistake(event.place, "a value is expected")
        }
    }

    private mutating func sequence(depth: Int) throws(JobFile.Mistake) -> [Node] {
        var nodes: [Node] = []
        while true {
            let event = try events.next()
            if case .end = event.kind { return nodes }
            nodes.append(try node(event, depth: depth))
        }
    }

    private mutating func mapping(
        depth: Int
    ) throws(JobFile.Mistake) -> [Node.Pair] {
        var pairs: [Node.Pair] = []
        var lines: [String: Int] = [:]
        while true {
            let event = try events.next()
            if case .end = event.kind { return pairs }
            let key = try node(event, depth: depth)
            if let name = key.scalar,
                let line = lines.updateValue(key.place.line, forKey: name)
            {
                throw JobFile.Mistake(
                    key.place, "\(name): a key that is there twice, first in line \(line)")
            }
            pairs.append(Node.Pair(key: key, value: try node(events.next(), depth: depth)))
        }
    }

    private mutating func copy(
        _ name: String, _ place: Place, _ depth: Int
    ) throws(JobFile.Mistake) -> Node {
        guard var node = anchors[name] else {
            throw JobFile.Mistake(
                place, "the alias *\(name) stands for nothing: no value above it has &\(name)")
        }
        copied += node.weight
        guard copied <= Self.mostCopied else {
            throw JobFile.Mistake(
                place, "the aliases stand for more than \(Self.mostCopied >> 20) MiB")
        }
        try Self.check(depth + node.height - 1, place)
        node.place = place
        return node
    }

    private static func check(_ depth: Int, _ place: Place) throws(JobFile.Mistake) {
        guard depth < deepest else {
            throw JobFile.Mistake(place, "nested deeper than \(deepest)")
        }
    }

    /// Tags: those that say no more than what can be seen, and the one of texts.
    private static func check(_ event: Event) throws(JobFile.Mistake) {
        guard let tag = event.tag else { return }
        let own =
            switch event.kind {
            case .sequence: "seq"
            case .mapping: "map"
            default: "str"
            }
        // "!" alone has the value be what its form is: a text, a list, a mapping.
        guard tag == "!" || tag == "tag:yaml.org,2002:\(own)" else {
            throw JobFile.Mistake(
                event.place, "the tag \(tag) is not known; only !!\(own) may stand here")
        }
    }
}

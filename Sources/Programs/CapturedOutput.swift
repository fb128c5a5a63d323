/// The output of a program, bounded: its head and its tail are kept, the middle is counted.
public struct CapturedOutput: Sendable, Equatable {
    private let headLimit: Int
    private let tailLimit: Int
    private var head: [UInt8] = []
    /// A ring once it is full; `tailStart` is its oldest byte.
    private var tail: [UInt8] = []
    private var tailStart = 0

    /// All bytes that came, kept or not.
    public private(set) var byteCount = 0

    /// Keeps at most `limit` bytes: three quarters from the beginning, the rest from the end.
    /// None when `limit` is 0 or less.
    public init(limit: Int) {
        tailLimit = min(max(1, limit / 4), max(0, limit))
        headLimit = max(0, limit - tailLimit)
    }

    /// How many bytes were left out of the middle.
    public var omittedCount: Int {
        byteCount - head.count - tail.count
    }

    public mutating func append(_ bytes: some RandomAccessCollection<UInt8>) {
        byteCount += bytes.count
        let room = headLimit - head.count
        head.append(contentsOf: bytes.prefix(room))
        var rest = bytes.dropFirst(room)
        guard !rest.isEmpty, tailLimit > 0 else { return }
        if rest.count >= tailLimit {
            tail = Array(rest.suffix(tailLimit))
            tailStart = 0
            return
        }
        let free = tailLimit - tail.count
        if free > 0 {
            tail.append(contentsOf: rest.prefix(free))
            rest = rest.dropFirst(free)
        }
        for byte in rest {
            tail[tailStart] = byte
            tailStart = (tailStart + 1) % tailLimit
        }
    }

    /// As text that PostgreSQL can store: invalid UTF-8 and NUL become U+FFFD, and what was left
    /// out is said where it was.
    public var text: String {
        let end = Array(tail[tailStart...]) + tail[..<tailStart]
        guard omittedCount > 0 else { return Self.storable(head + end) }
        return Self.storable(head) + "\n… \(omittedCount) bytes left out …\n" + Self.storable(end)
    }

    private static func storable(_ bytes: [UInt8]) -> String {
        guard bytes.contains(0) else { return String(decoding: bytes, as: UTF8.self) }
        return bytes.split(separator: 0, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
            .joined(separator: "\u{FFFD}")
    }
}

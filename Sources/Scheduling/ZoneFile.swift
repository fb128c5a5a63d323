/// Why the bytes of a zone file were refused.
public struct ZoneFileError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String

    init(_ reason: String) {
        description = reason
    }
}

/// The contents of a TZif file, RFC 9636: explicit transitions and the footer.
struct ZoneFile {
    /// Ascending; the first begins at `ZoneTransition.beginning`.
    private(set) var transitions: [ZoneTransition]
    private let footer: PosixZone?
    private let hadTransitions: Bool

    private static let longest = 256 * 1024
    private static let mostTransitions = 2000

    init(_ bytes: [UInt8]) throws(ZoneFileError) {
        guard bytes.count <= Self.longest else { throw ZoneFileError("more than 256 KiB") }
        var reader = ByteReader(bytes)
        let first = try Header(&reader)
        guard first.version >= 2 else {
            let block = try Self.readBlock(&reader, first, timeSize: 4)
            hadTransitions = block.count > 1
            transitions = block
            footer = nil
            return
        }
        // The first block is for readers of 32-bit times only.
        try reader.skip(first.blockSize(timeSize: 4))
        let second = try Header(&reader)
        transitions = try Self.readBlock(&reader, second, timeSize: 8)
        hadTransitions = second.transitionCount > 0
        let text = try reader.line()
        footer = text.isEmpty ? nil : try PosixZone(text)
    }

    /// Lays the footer's rule over the 400 years after the last transition.
    /// Returns where that cycle starts; nil when the offset no longer changes.
    mutating func appendFooter() -> Int64? {
        guard let footer, let last = transitions.last else { return nil }
        guard footer.hasDaylightTime else {
            if !hadTransitions {
                transitions = [
                    ZoneTransition(start: ZoneTransition.beginning, offset: footer.standardOffset)
                ]
            }
            return nil
        }
        let from = hadTransitions ? last.start : CalendarRange.firstSecond - 86_400
        // Two changes go before the cycle, so that what repeats has its own kind before it.
        let ahead = footer.transitions(after: from, through: from + 3 * 366 * 86_400)
        guard let cycleStart = ahead.dropFirst(2).first?.start else {
            // Daylight time all year: one offset for ever.
            if !hadTransitions, let offset = footer.offsetAllYear {
                transitions = [ZoneTransition(start: ZoneTransition.beginning, offset: offset)]
            }
            return nil
        }
        let rules = footer.transitions(
            after: from, through: cycleStart + CalendarRange.cycleSeconds - 1)
        guard let final = rules.last else { return nil }
        if !hadTransitions {
            // No type but the footer counts; before its first change its other offset held.
            transitions = [ZoneTransition(start: ZoneTransition.beginning, offset: final.offset)]
        }
        transitions += rules
        return cycleStart
    }

    private struct Header {
        var version: UInt8
        var utIndicatorCount: Int
        var standardIndicatorCount: Int
        var leapCount: Int
        var transitionCount: Int
        var typeCount: Int
        var characterCount: Int

        init(_ reader: inout ByteReader) throws(ZoneFileError) {
            guard try reader.bytes(4).elementsEqual("TZif".utf8) else {
                throw ZoneFileError("no TZif file")
            }
            let letter = try reader.byte()
            guard letter == 0 || (letter >= UInt8(ascii: "2") && letter <= UInt8(ascii: "9"))
            else { throw ZoneFileError("unknown version") }
            version = letter == 0 ? 1 : letter - UInt8(ascii: "0")
            try reader.skip(15)
            utIndicatorCount = try reader.count()
            standardIndicatorCount = try reader.count()
            leapCount = try reader.count()
            transitionCount = try reader.count()
            typeCount = try reader.count()
            characterCount = try reader.count()
        }

        func blockSize(timeSize: Int) -> Int {
            transitionCount * (timeSize + 1) + typeCount * 6 + characterCount
                + leapCount * (timeSize + 4) + standardIndicatorCount + utIndicatorCount
        }
    }

    private static func readBlock(
        _ reader: inout ByteReader, _ header: Header, timeSize: Int
    ) throws(ZoneFileError) -> [ZoneTransition] {
        guard (1...256).contains(header.typeCount) else {
            throw ZoneFileError("\(header.typeCount) local time types; 1 to 256 are allowed")
        }
        guard header.transitionCount <= mostTransitions else {
            throw ZoneFileError("more than \(mostTransitions) transitions")
        }
        var times: [Int64] = []
        for _ in 0..<header.transitionCount { times.append(try reader.integer(size: timeSize)) }
        let types = try reader.bytes(header.transitionCount)
        var offsets: [Int32] = []
        for _ in 0..<header.typeCount {
            let offset = try reader.integer(size: 4)
            // RFC 9636, 3.2: more than −25 h, less than 26 h.
            guard (-89_999...93_599).contains(offset) else {
                throw ZoneFileError("an offset of \(offset) seconds")
            }
            offsets.append(Int32(offset))
            try reader.skip(2)
        }
        try reader.skip(header.characterCount)
        let leaps = try readLeaps(&reader, header.leapCount, timeSize: timeSize)
        try reader.skip(header.standardIndicatorCount + header.utIndicatorCount)
        return try table(times: times, types: types, offsets: offsets, leaps: leaps)
    }

    private static func readLeaps(
        _ reader: inout ByteReader, _ count: Int, timeSize: Int
    ) throws(ZoneFileError) -> [(time: Int64, correction: Int64)] {
        guard count <= mostTransitions else { throw ZoneFileError("too many leap seconds") }
        var leaps: [(time: Int64, correction: Int64)] = []
        for _ in 0..<count {
            let time = try reader.integer(size: timeSize)
            leaps.append((time, try reader.integer(size: 4)))
        }
        return leaps
    }

    private static func table(
        times: [Int64], types: ArraySlice<UInt8>, offsets: [Int32],
        leaps: [(time: Int64, correction: Int64)]
    ) throws(ZoneFileError) -> [ZoneTransition] {
        var table = [ZoneTransition(start: ZoneTransition.beginning, offset: offsets.first ?? 0)]
        var previous: Int64?
        for (time, type) in zip(times, types) {
            guard previous.map({ $0 < time }) ?? true else {
                throw ZoneFileError("transitions out of order")
            }
            previous = time
            guard offsets.indices.contains(Int(type)) else {
                throw ZoneFileError("a transition to an unknown type")
            }
            let offset = offsets[Int(type)]
            // Files under right/ count leap seconds; our instants, like PostgreSQL's, do not.
            let correction = leaps.last { $0.time <= time }?.correction ?? 0
            let start = time.subtractingReportingOverflow(correction).partialValue
            if time <= ZoneTransition.beginning || start <= ZoneTransition.beginning {
                table = [ZoneTransition(start: ZoneTransition.beginning, offset: offset)]
            } else if start < ZoneTransition.ending, let last = table.last, start > last.start {
                table.append(ZoneTransition(start: start, offset: offset))
            }
        }
        return table
    }
}

/// Reads big-endian numbers; every step checks that the bytes are there.
private struct ByteReader {
    private let content: [UInt8]
    private var position = 0

    init(_ content: [UInt8]) {
        self.content = content
    }

    mutating func bytes(_ count: Int) throws(ZoneFileError) -> ArraySlice<UInt8> {
        guard count >= 0, count <= content.count - position else {
            throw ZoneFileError("cut off after \(content.count) bytes")
        }
        defer { position += count }
        return content[position..<position + count]
    }

    mutating func skip(_ count: Int) throws(ZoneFileError) {
        _ = try bytes(count)
    }

    mutating func byte() throws(ZoneFileError) -> UInt8 {
        try bytes(1).first ?? 0
    }

    /// A signed number of 4 or 8 bytes.
    mutating func integer(size: Int) throws(ZoneFileError) -> Int64 {
        var bits: UInt64 = 0
        for byte in try bytes(size) { bits = bits << 8 | UInt64(byte) }
        return size == 4
            ? Int64(Int32(truncatingIfNeeded: bits)) : Int64(bitPattern: bits)
    }

    /// A count of the header: no more than the file has bytes.
    mutating func count() throws(ZoneFileError) -> Int {
        let count = try integer(size: 4)
        guard count >= 0, count <= Int64(content.count) else {
            throw ZoneFileError("a count beyond the file")
        }
        return Int(count)
    }

    /// The footer: what stands between two newlines.
    mutating func line() throws(ZoneFileError) -> ArraySlice<UInt8> {
        let newline = UInt8(ascii: "\n")
        guard try byte() == newline else { throw ZoneFileError("no footer") }
        guard let end = content[position...].firstIndex(of: newline) else {
            throw ZoneFileError("the footer does not end")
        }
        return try bytes(end - position)
    }
}

public import Timing

/// A time zone: from which instant on which offset from UTC holds.
///
/// Made from the bytes of a TZif file (RFC 9636), footer rule included, so that it answers alike
/// for the far past and the year 9999. Immutable and shared by all configs of the zone.
public final class ZoneRules: Sendable {
    /// The name it was asked for, e.g. `Europe/Berlin`.
    public let name: String

    /// From when each offset holds, ascending. The first entry stands before all years we know.
    let starts: [Int64]
    /// Seconds east of UTC.
    let offsets: [Int32]
    /// By how many seconds the local clock is further at `starts` than it ever was before: positive
    /// is a gap, negative an overlap, 0 no visible change.
    let jumps: [Int32]
    /// From this instant on, the rest of the table repeats every 400 years; nil: it never does.
    let cycleStart: Int64?

    /// UTC, without a file.
    public static let utc = ZoneRules(
        name: "UTC", table: [ZoneTransition(start: ZoneTransition.beginning, offset: 0)],
        cycleStart: nil)

    /// Reads a TZif file, version 1 to 4, also with leap seconds (`right/`).
    ///
    /// At most 256 KiB and 2,000 transitions are read. Throws what is wrong with it.
    public init(name: String, tzif bytes: [UInt8]) throws(ZoneFileError) {
        var file = try ZoneFile(bytes)
        let cycleStart = file.appendFooter()
        let table = file.transitions
        self.name = name
        starts = table.map { $0.start }
        offsets = table.map { $0.offset }
        jumps = Self.jumps(of: table)
        self.cycleStart = cycleStart
    }

    private init(name: String, table: [ZoneTransition], cycleStart: Int64?) {
        self.name = name
        starts = table.map { $0.start }
        offsets = table.map { $0.offset }
        jumps = Self.jumps(of: table)
        self.cycleStart = cycleStart
    }

    /// Seconds east of UTC at `instant`.
    public func offset(at instant: WallInstant) -> Int {
        let second = instant.microseconds.floorDivided(by: 1_000_000)
        return Int(segment(at: second).offset)
    }

    private static func jumps(of table: [ZoneTransition]) -> [Int32] {
        var jumps: [Int32] = []
        jumps.reserveCapacity(table.count)
        var reached: Int64?
        var previous: ZoneTransition?
        for entry in table {
            if let previous {
                let end = entry.start + Int64(previous.offset)
                reached = max(reached ?? end, end)
            }
            let local = entry.start + Int64(entry.offset)
            jumps.append(Int32(clamping: local - (reached ?? local)))
            previous = entry
        }
        return jumps
    }
}

/// One line of the table.
struct ZoneTransition: Equatable, Sendable {
    var start: Int64
    var offset: Int32

    /// Before every instant of `CalendarRange`, in any offset.
    static let beginning = CalendarRange.firstSecond - 400 * CalendarRange.secondsPerDay
    /// After every instant of `CalendarRange`, in any offset.
    static let ending = CalendarRange.lastSecond + 400 * CalendarRange.secondsPerDay
}

/// A stretch of time in which the offset does not change.
struct ZoneSegment {
    /// The first second that belongs to it.
    var start: Int64
    /// The first second that no more does.
    var end: Int64
    var offset: Int64
    /// As in `ZoneRules.jumps`.
    var jump: Int64

    var localStart: Int64 { start + offset }
    var localEnd: Int64 { end + offset }
    /// The local times below this one have all been shown before the segment began.
    var localReached: Int64 { start + offset - jump }
}

extension ZoneRules {
    /// The segment that `second` lies in; instants outside of `CalendarRange` count as its ends.
    /// O(log n).
    func segment(at second: Int64) -> ZoneSegment {
        let second = min(max(second, ZoneTransition.beginning), ZoneTransition.ending - 1)
        var shift: Int64 = 0
        if let cycleStart, second >= cycleStart {
            let cycle = CalendarRange.cycleSeconds
            shift = (second - cycleStart) / cycle * cycle
        }
        let index = lastIndex(startingBy: second - shift)
        guard index < starts.count else {
            return ZoneSegment(
                start: ZoneTransition.beginning, end: ZoneTransition.ending, offset: 0, jump: 0)
        }
        let end: Int64
        if index + 1 < starts.count {
            end = starts[index + 1] + shift
        } else if let cycleStart {
            end = cycleStart + shift + CalendarRange.cycleSeconds
        } else {
            end = ZoneTransition.ending
        }
        return ZoneSegment(
            start: starts[index] + shift, end: end, offset: Int64(offsets[index]),
            jump: Int64(jumps[index]))
    }

    /// The last entry whose start is not above `second`; the first when there is none.
    private func lastIndex(startingBy second: Int64) -> Int {
        var (low, high) = (0, starts.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= second {
                low = middle
            } else {
                high = middle
            }
        }
        return low
    }
}

import Foundation
import Scheduling
import Synchronization
import Timing

/// The zone files of the system, read once each.
enum TestZones {
    static let cache = Mutex<[String: ZoneRules]>([:])

    static func named(_ name: String) throws -> ZoneRules {
        if let known = cache.withLock({ $0[name] }) { return known }
        let zone = try ZoneRules(name: name, tzif: bytes(name))
        cache.withLock { $0[name] = zone }
        return zone
    }

    static func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(filePath: "/usr/share/zoneinfo/" + name)))
    }
}

enum Vectors {
    /// The lines of a file in `Vectors/`, split at tabs, comments left out.
    static func rows(_ file: String) throws -> [[String]] {
        let url = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Vectors").appending(path: file)
        return try String(contentsOf: url, encoding: .utf8)
            .split(separator: "\n").filter { !$0.hasPrefix("#") }
            .map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }
    }
}

struct BadTimestamp: Error {
    let text: String
}

/// Plain day counting, written apart from the code under test: whole years, then whole months.
enum PlainCalendar {
    static func isLeap(_ year: Int) -> Bool {
        year.isMultiple(of: 400) || (year.isMultiple(of: 4) && !year.isMultiple(of: 100))
    }

    static func lengths(_ year: Int) -> [Int] {
        [31, isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    }

    /// Days from 1970-01-01; years from 1 on.
    static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let past = year - 1
        let sinceYearOne = past * 365 + past / 4 - past / 100 + past / 400
        return sinceYearOne + lengths(year).prefix(month - 1).reduce(0, +) + day - 1 - 719_162
    }

    static func date(_ days: Int) -> (year: Int, month: Int, day: Int) {
        var year = 1970 + days / 366
        while Self.days(year + 1, 1, 1) <= days { year += 1 }
        while Self.days(year, 1, 1) > days { year -= 1 }
        var rest = days - Self.days(year, 1, 1)
        var month = 1
        for length in lengths(year) {
            if rest < length { break }
            rest -= length
            month += 1
        }
        return (year, month, rest + 1)
    }
}

extension WallInstant {
    /// Reads `2025-01-01T00:00[:00[.5]]` with `Z`, `+02`, `-04:30`.
    init(_ text: String) throws {
        let pattern = #/(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-].*)/#
        guard let match = text.wholeMatch(of: pattern),
            let year = Int(match.1), let month = Int(match.2), let day = Int(match.3),
            let hour = Int(match.4), let minute = Int(match.5)
        else { throw BadTimestamp(text: text) }
        let second = match.6.flatMap { Int($0) } ?? 0
        var seconds =
            PlainCalendar.days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
        if match.8 != "Z" {
            let parts = match.8.dropFirst().split(separator: ":").compactMap { Int($0) }
            let offset = (parts.first ?? 0) * 3600 + (parts.dropFirst().first ?? 0) * 60
            seconds += match.8.hasPrefix("-") ? offset : -offset
        }
        let fraction = String(match.7 ?? "").padding(toLength: 6, withPad: "0", startingAt: 0)
        self.init(microseconds: Int64(seconds) * 1_000_000 + (Int64(fraction) ?? 0))
    }

    var text: String {
        let fraction = (microseconds % 1_000_000 + 1_000_000) % 1_000_000
        let seconds = Int((microseconds - fraction) / 1_000_000)
        let time = (seconds % 86_400 + 86_400) % 86_400
        let date = PlainCalendar.date((seconds - time) / 86_400)
        let second = String(
            format: "%04d-%02d-%02dT%02d:%02d:%02d", date.year, date.month, date.day, time / 3600,
            time / 60 % 60, time % 60)
        return second + (fraction == 0 ? "" : String(format: ".%06d", Int(fraction))) + "Z"
    }
}

/// The first fires of an expression, as text in UTC.
func fires(
    _ expression: String, _ zone: String = "UTC", after: String, count: Int, config: Int64 = 1,
    onGap: FireRule.OnGap = .run, onRepeat: FireRule.OnRepeat = .first
) throws -> [String] {
    let rule = FireRule(
        schedule: try Schedule(parsing: expression, hashSeed: config),
        zone: try TestZones.named(zone), config: config, onGap: onGap, onRepeat: onRepeat)
    return rule.fires(after: try WallInstant(after), count: count).map { $0.text }
}

extension FireRule {
    func fires(after instant: WallInstant, count: Int) -> [WallInstant] {
        var result: [WallInstant] = []
        var last = instant
        while result.count < count, let next = next(after: last) {
            result.append(next)
            last = next
        }
        return result
    }
}

/// splitmix64: the same sequence for a seed on every machine.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

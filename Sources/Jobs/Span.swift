/// A length of time as PostgreSQL's `interval` has it: months, days and microseconds apart.
public struct Span: Hashable, Sendable, CustomStringConvertible {
    public var months: Int64 = 0
    public var days: Int64 = 0
    public var microseconds: Int64 = 0

    public init(microseconds: Int64) {
        self.microseconds = microseconds
    }

    /// Reads `90s`, `10 minutes`, `1h30m`, `1 day 02:00:00`: numbers with units, and a time of day.
    ///
    /// Nil when it is none, is negative, or too long. Authority: PostgreSQL manual, 8.5.4.
    public init?(_ text: String) {
        var rest = Array(text.lowercased().utf8)[...]
        var isEmpty = true
        while true {
            rest = rest.drop { $0 == 0x20 || $0 == 0x09 }
            guard !rest.isEmpty else { break }
            isEmpty = false
            guard add(&rest) else { return nil }
        }
        if isEmpty { return nil }
    }

    private mutating func add(_ rest: inout ArraySlice<UInt8>) -> Bool {
        guard let number = Self.number(&rest) else { return false }
        if rest.first == UInt8(ascii: ":") { return addTime(hours: number, &rest) }
        rest = rest.drop { $0 == 0x20 || $0 == 0x09 }
        let letters = rest.prefix { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) }
        rest = rest.dropFirst(letters.count)
        let unit = String(decoding: letters, as: UTF8.self)
        if let size = Self.sizes[unit] { return add(number, size, to: \.microseconds) }
        if let count = Self.dayCounts[unit] { return addWhole(number, count, to: \.days) }
        if let count = Self.monthCounts[unit] { return addWhole(number, count, to: \.months) }
        return false
    }

    /// In millionths of what is counted.
    private static func number(_ rest: inout ArraySlice<UInt8>) -> Int64? {
        let digits = rest.prefix { (0x30...0x39).contains($0) }
        rest = rest.dropFirst(digits.count)
        var fraction: ArraySlice<UInt8> = []
        if rest.first == UInt8(ascii: ".") {
            rest = rest.dropFirst()
            fraction = rest.prefix { (0x30...0x39).contains($0) }
            rest = rest.dropFirst(fraction.count)
        }
        guard !digits.isEmpty, digits.count <= 9, fraction.count <= 6 else { return nil }
        var text = String(decoding: digits, as: UTF8.self)
        text += String(decoding: fraction, as: UTF8.self)
        return Int64(text + String(repeating: "0", count: 6 - fraction.count))
    }

    /// `size`: microseconds of one unit.
    private mutating func add(
        _ millionths: Int64, _ size: Int64, to part: WritableKeyPath<Span, Int64>
    ) -> Bool {
        let (product, overflow) = millionths.multipliedReportingOverflow(by: size)
        guard !overflow else { return false }
        let (sum, overflows) = self[keyPath: part].addingReportingOverflow(product / 1_000_000)
        self[keyPath: part] = sum
        return !overflows && product % 1_000_000 == 0
    }

    private mutating func addWhole(
        _ millionths: Int64, _ count: Int64, to part: WritableKeyPath<Span, Int64>
    ) -> Bool {
        millionths % 1_000_000 == 0 && add(millionths, count, to: part)
    }

    /// The rest of `hh:mm:ss.ffffff`.
    private mutating func addTime(hours: Int64, _ rest: inout ArraySlice<UInt8>) -> Bool {
        rest = rest.dropFirst()
        guard hours % 1_000_000 == 0, add(hours, 3_600_000_000, to: \.microseconds),
            let minutes = Self.number(&rest), minutes < 60_000_000,
            addWhole(minutes, 60_000_000, to: \.microseconds)
        else { return false }
        guard rest.first == UInt8(ascii: ":") else { return true }
        rest = rest.dropFirst()
        guard let seconds = Self.number(&rest), seconds < 60_000_000 else { return false }
        return add(seconds, 1_000_000, to: \.microseconds)
    }

    private static func table(_ entries: [(String, Int64)]) -> [String: Int64] {
        var result: [String: Int64] = [:]
        for (names, value) in entries {
            for name in names.split(separator: " ") { result[String(name)] = value }
        }
        return result
    }

    private static let sizes = table([
        ("us usec usecs microsecond microseconds", 1),
        ("ms msec msecs millisecond milliseconds", 1_000),
        ("s sec secs second seconds", 1_000_000), ("m min mins minute minutes", 60_000_000),
        ("h hr hrs hour hours", 3_600_000_000),
    ])
    private static let dayCounts = table([("d day days", 1), ("w week weeks", 7)])
    private static let monthCounts = table([
        ("mon mons month months", 1), ("y yr yrs year years", 12),
    ])

    /// In units that the server reads and the schedule `@every` does too, the largest first.
    public var description: String {
        var parts: [String] = []
        func add(_ count: Int64, _ unit: String) {
            if count != 0 { parts.append("\(count) \(unit)\(count == 1 ? "" : "s")") }
        }
        add(months, "month")
        add(days, "day")
        var rest = microseconds
        add(rest / 3_600_000_000, "hour")
        rest %= 3_600_000_000
        add(rest / 60_000_000, "minute")
        rest %= 60_000_000
        if rest % 1_000_000 == 0 {
            add(rest / 1_000_000, "second")
        } else if rest % 1_000 == 0 {
            add(rest / 1_000, "millisecond")
        } else {
            add(rest, "microsecond")
        }
        return parts.isEmpty ? "0 seconds" : parts.joined(separator: " ")
    }
}

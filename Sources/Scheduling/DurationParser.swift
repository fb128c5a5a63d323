/// Reads the durations of `@every` and `@after`: `90s`, `1h30m`, `1.5 hours`, `10 minutes`.
///
/// Units: us, ms, s, m, h, d, w and their English words; a day is 24 hours. Two bounds: 100 ms,
/// because below it a config would do nothing but start, and 36,525 days.
struct DurationParser {
    /// `@every` or `@after`.
    let name: String

    static let shortest: Int64 = 100_000
    static let longest: Int64 = 36_525 * 86_400 * 1_000_000

    /// Microseconds. The cursor must be behind the name and its blanks.
    func parse(_ cursor: inout ByteCursor) throws(ScheduleSyntaxError) -> Int64 {
        let quoted = cursor.take(UInt8(ascii: "'"))
        cursor.skipBlanks()
        let start = cursor
        var total: Int64 = 0
        repeat {
            let part = try parsePart(&cursor)
            total = min(total + part, Self.longest + 1)
            cursor.skipBlanks()
        } while !cursor.isAtEnd && cursor.peek() != UInt8(ascii: "'")
        if quoted {
            guard cursor.take(UInt8(ascii: "'")) else {
                throw failure(cursor, "a quote is needed here, or none before")
            }
            cursor.skipBlanks()
        }
        guard cursor.isAtEnd else {
            throw failure(
                cursor, "\(cursor.excerpt(from: cursor.position, to: cursor.end)) is not allowed")
        }
        guard total >= Self.shortest, total <= Self.longest else {
            let token = cursor.excerpt(from: start.position, to: cursor.end)
            throw failure(start, "\(token) is not allowed; 100 ms to 36525 days are")
        }
        return total
    }

    /// One number with its unit, in microseconds, at most `longest` + 1.
    private func parsePart(_ cursor: inout ByteCursor) throws(ScheduleSyntaxError) -> Int64 {
        let start = cursor
        let (whole, digits) = cursor.takeNumber()
        guard (1...9).contains(digits) else {
            throw failure(
                start,
                digits == 0
                    ? "a number is needed here, as in 90s or 1h30m"
                    : "up to 9 digits are allowed")
        }
        var millionths: Int64 = 0
        if cursor.take(UInt8(ascii: ".")) {
            let (fraction, places) = cursor.takeNumber()
            guard (1...6).contains(places) else {
                throw failure(cursor, "1 to 6 digits are allowed after the point")
            }
            millionths = (places..<6).reduce(Int64(fraction)) { value, _ in value * 10 }
        }
        cursor.skipBlanks()
        let place = cursor
        let word = cursor.takeLetters()
        guard let unit = Self.unit(word) else {
            let token = cursor.excerpt(
                from: place.position, to: max(cursor.position, place.position + 1))
            throw failure(
                place,
                "\(token.isEmpty ? "nothing" : token) is not allowed; "
                    + "the units us, ms, s, m, h, d, w and their words are"
                    + (word.hasPrefix("mon") || word.hasPrefix("y")
                        ? " (months and years differ in length: @monthly, 0 0 1 * *)" : ""))
        }
        let (product, overflow) = Int64(whole).multipliedReportingOverflow(by: unit)
        guard !overflow else { return Self.longest + 1 }
        // At most 10^6 × 6 × 10^11: fits.
        return min(product, Self.longest + 1) + millionths * unit / 1_000_000
    }

    private static func unit(_ word: String) -> Int64? {
        switch word {
        case "us", "microsecond", "microseconds": 1
        case "ms", "millisecond", "milliseconds": 1000
        case "s", "sec", "secs", "second", "seconds": 1_000_000
        case "m", "min", "mins", "minute", "minutes": 60_000_000
        case "h", "hr", "hrs", "hour", "hours": 3_600_000_000
        case "d", "day", "days": 86_400_000_000
        case "w", "week", "weeks": 604_800_000_000
        default: nil
        }
    }

    private func failure(_ cursor: ByteCursor, _ reason: String) -> ScheduleSyntaxError {
        ScheduleSyntaxError(
            field: name, column: cursor.column(of: cursor.position), reason: reason)
    }
}

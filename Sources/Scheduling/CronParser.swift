extension CronExpression {
    /// Reads five fields (minute, hour, day, month, day of week), or six with seconds first.
    ///
    /// Fields are separated by any run of blanks. `hashSeed` is the config's id: it decides what
    /// `H` chooses, always the same. At most 1,024 bytes. Throws what is wrong, with field and
    /// column; also when no date could ever match.
    /// Authority: Debian's crontab(5); design, section 6.
    public init(parsing text: String, hashSeed: Int64) throws(ScheduleSyntaxError) {
        try self.init(bytes: Array(text.utf8), from: 0, hashSeed: hashSeed)
    }

    /// The longest schedule that is read, in bytes of UTF-8.
    static let longestText = 1024

    init(bytes: [UInt8], from start: Int, hashSeed: Int64) throws(ScheduleSyntaxError) {
        guard bytes.count <= Self.longestText else {
            throw ScheduleSyntaxError(
                field: nil, column: nil,
                reason: "\(bytes.count) bytes are not allowed; up to \(Self.longestText) are")
        }
        let ranges = Self.fieldRanges(bytes, from: start)
        guard ranges.count == 5 || ranges.count == 6 else {
            throw Self.wrongCount(ranges, in: bytes)
        }
        do {
            self = try Self.parse(bytes, ranges, hashSeed: hashSeed)
        } catch {
            throw Self.hinted(error, bytes, ranges)
        }
    }

    private static func fieldRanges(_ bytes: [UInt8], from start: Int) -> [Range<Int>] {
        var cursor = ByteCursor(bytes, from: start)
        var ranges: [Range<Int>] = []
        ranges.reserveCapacity(6)
        cursor.skipBlanks()
        while !cursor.isAtEnd {
            let first = cursor.position
            while let byte = cursor.peek(), !ByteCursor.isBlank(byte) { cursor.skip() }
            ranges.append(first..<cursor.position)
            cursor.skipBlanks()
        }
        return ranges
    }

    private static func parse(
        _ bytes: [UInt8], _ ranges: [Range<Int>], hashSeed: Int64
    ) throws(ScheduleSyntaxError) -> CronExpression {
        var result = CronExpression()
        var (day, month) = (CronFieldValues(), CronFieldValues())
        let fields = CronField.allCases.suffix(ranges.count)
        for (field, range) in zip(fields, ranges) {
            var parser = CronFieldParser(
                field, in: bytes, from: range.lowerBound, to: range.upperBound, hashSeed: hashSeed)
            let values = try parser.parse()
            result.store(values, of: field)
            switch field {
            case .second, .minute, .hour:
                if values.startsWithStar { result.flags.insert(.realTime) }
            case .day: day = values
            case .month: month = values
            case .dayOfWeek:
                if day.startsWithStar || values.startsWithStar || values.demandsBoth {
                    result.flags.insert(.bothDays)
                }
                if day.usesSpecialDays || values.usesSpecialDays {
                    result.flags.insert(.specialDays)
                }
                if let reason = result.whyNever(day: day, month: month, weekday: values) {
                    let dayRange = ranges.dropLast(2).last ?? range
                    throw ScheduleSyntaxError(
                        field: CronField.day.name,
                        column: ByteCursor(bytes).column(of: dayRange.lowerBound), reason: reason)
                }
            }
        }
        return result
    }

    private mutating func store(_ field: CronFieldValues, of kind: CronField) {
        switch kind {
        case .second: seconds = field.values
        case .minute: minutes = field.values
        case .hour: hours = UInt32(truncatingIfNeeded: field.values)
        case .day:
            days = UInt32(truncatingIfNeeded: field.values)
            lastDays = field.lastDays
            nearestWorkdays = field.nearestWorkdays
            if field.lastWorkday { flags.insert(.lastWorkday) }
        case .month: months = UInt16(truncatingIfNeeded: field.values)
        case .dayOfWeek:
            weekdays = UInt8(truncatingIfNeeded: field.values)
            nthWeekdays = field.nthWeekdays
        }
    }

    private static func wrongCount(
        _ ranges: [Range<Int>], in bytes: [UInt8]
    ) -> ScheduleSyntaxError {
        let found =
            switch ranges.count {
            case 0: "an empty schedule is"
            case 1: "1 field is"
            default: "\(ranges.count) fields are"
            }
        let error = ScheduleSyntaxError(
            field: nil, column: nil,
            reason: "\(found) not allowed; 5 are (minute, hour, day, month, day of week), "
                + "or 6 with seconds first, or @every, @at, @daily and the like")
        return hinted(error, bytes, ranges)
    }

    /// Other schedulers put seconds or a year last: say so where something was refused anyway.
    private static func hinted(
        _ error: ScheduleSyntaxError, _ bytes: [UInt8], _ ranges: [Range<Int>]
    ) -> ScheduleSyntaxError {
        guard ranges.count >= 6, let last = ranges.last else { return error }
        var cursor = ByteCursor(bytes, from: last.lowerBound, to: last.upperBound)
        let (number, digits) = cursor.takeNumber()
        if cursor.isAtEnd, digits == 4, (1970...9999).contains(number) {
            return error.adding(hint: "There is no field for the year; @at names one")
        }
        guard ranges.count == 6,
            (try? parse(bytes, [last] + ranges.dropLast(), hashSeed: 0)) != nil
        else { return error }
        return error.adding(hint: "Seconds come first, not last")
    }
}

/// A rule of the form `CET-1CEST,M3.5.0,M10.5.0/3`: the footer of a zone file.
///
/// Authority: POSIX.1-2024, 8.3, `TZ`, with RFC 9636's hours from −167 to 167 in transition times.
struct PosixZone {
    /// Seconds east of UTC.
    let standardOffset: Int32
    private let daylight: Daylight?

    private struct Daylight {
        var offset: Int32
        var begin: YearDay
        var end: YearDay
    }

    /// A day of the year and a time on it, in seconds of the local clock before the change.
    private struct YearDay {
        enum Day {
            /// `Jn`, 1 to 365: 29 February is not counted.
            case julian(Int)
            /// `n`, 0 to 365: it is.
            case zeroBased(Int)
            case weekday(month: Int, week: Int, weekday: Int)
        }
        var day: Day
        var time: Int64

        /// Seconds on the local clock since 1970.
        func localSecond(in year: Int64) -> Int64 {
            let number: Int64
            switch day {
            case .julian(let day):
                let leap = CivilDate.isLeap(year) && day >= 60 ? 1 : 0
                number =
                    CivilDate(year: year, month: 1, day: 1).dayNumber + Int64(day - 1 + leap)
            case .zeroBased(let day):
                number = CivilDate(year: year, month: 1, day: 1).dayNumber + Int64(day)
            case .weekday(let month, let week, let weekday):
                let first = CivilDate(year: year, month: month, day: 1).dayNumber
                let ahead = (weekday - CivilDate.weekday(ofDayNumber: first) + 7) % 7
                var day = ahead + 7 * (week - 1)
                // Week 5 is the last one, also where the month has only four.
                if day >= CivilDate.daysInMonth(month, of: year) { day -= 7 }
                number = first + Int64(day)
            }
            return number * CalendarRange.secondsPerDay + time
        }
    }

    var hasDaylightTime: Bool { daylight != nil }

    /// The offset of a rule whose daylight time never ends.
    var offsetAllYear: Int32? { daylight?.offset }

    /// The changes of offset in (after, through], ascending.
    func transitions(after: Int64, through: Int64) -> [ZoneTransition] {
        guard let daylight else { return [] }
        let firstYear = CivilDate(dayNumber: after.floorDivided(by: 86_400)).year - 2
        let lastYear = CivilDate(dayNumber: through.floorDivided(by: 86_400)).year + 2
        var result: [ZoneTransition] = []
        // Daylight time that ends where it begins again has not ended (all-year daylight time).
        var open: (begin: Int64, end: Int64)?
        func close() {
            guard let open else { return }
            for (start, offset) in [(open.begin, daylight.offset), (open.end, standardOffset)]
            where start > after && start <= through {
                result.append(ZoneTransition(start: start, offset: offset))
            }
        }
        for year in firstYear...max(firstYear, lastYear) {
            let begin = daylight.begin.localSecond(in: year) - Int64(standardOffset)
            var end = daylight.end.localSecond(in: year) - Int64(daylight.offset)
            if end <= begin {
                end = daylight.end.localSecond(in: year + 1) - Int64(daylight.offset)
            }
            if let current = open, begin <= current.end {
                open = (current.begin, max(current.end, end))
            } else {
                close()
                open = (begin, end)
            }
        }
        close()
        return result
    }

    init(_ text: ArraySlice<UInt8>) throws(ZoneFileError) {
        var reader = RuleReader(text)
        try reader.name()
        standardOffset = Int32(clamping: -(try reader.time(hours: 24)))
        guard !reader.isAtEnd else {
            daylight = nil
            return
        }
        try reader.name()
        var offset = standardOffset + 3600
        if let next = reader.peek(), next != UInt8(ascii: ",") {
            offset = Int32(clamping: -(try reader.time(hours: 24)))
        }
        // POSIX leaves the days open when they are missing; every library takes the American ones.
        var begin = YearDay(day: .weekday(month: 3, week: 2, weekday: 0), time: 7200)
        var end = YearDay(day: .weekday(month: 11, week: 1, weekday: 0), time: 7200)
        if !reader.isAtEnd {
            begin = try Self.yearDay(&reader)
            end = try Self.yearDay(&reader)
        }
        guard reader.isAtEnd else { throw ZoneFileError("the footer goes on after its rule") }
        daylight = Daylight(offset: offset, begin: begin, end: end)
    }

    private static func yearDay(_ reader: inout RuleReader) throws(ZoneFileError) -> YearDay {
        try reader.demand(UInt8(ascii: ","))
        let day: YearDay.Day
        if reader.take(UInt8(ascii: "M")) {
            let month = try reader.number(1...12)
            try reader.demand(UInt8(ascii: "."))
            let week = try reader.number(1...5)
            try reader.demand(UInt8(ascii: "."))
            day = .weekday(month: month, week: week, weekday: try reader.number(0...6))
        } else if reader.take(UInt8(ascii: "J")) {
            day = .julian(try reader.number(1...365))
        } else {
            day = .zeroBased(try reader.number(0...365))
        }
        let time = reader.take(UInt8(ascii: "/")) ? try reader.time(hours: 167) : 7200
        return YearDay(day: day, time: time)
    }
}

/// Reads the parts of a rule; never leaves its bytes.
private struct RuleReader {
    private var rest: ArraySlice<UInt8>

    init(_ text: ArraySlice<UInt8>) {
        rest = text
    }

    var isAtEnd: Bool { rest.isEmpty }

    func peek() -> UInt8? { rest.first }

    mutating func take(_ byte: UInt8) -> Bool {
        guard rest.first == byte else { return false }
        rest = rest.dropFirst()
        return true
    }

    mutating func demand(_ byte: UInt8) throws(ZoneFileError) {
        guard take(byte) else { throw ZoneFileError("a footer that is no TZ rule") }
    }

    /// Three letters or more, or anything between `<` and `>`.
    mutating func name() throws(ZoneFileError) {
        if take(UInt8(ascii: "<")) {
            rest = rest.drop { $0 != UInt8(ascii: ">") }
            try demand(UInt8(ascii: ">"))
            return
        }
        let before = rest.count
        rest = rest.drop { byte in
            let letter = byte | 0x20
            return letter >= UInt8(ascii: "a") && letter <= UInt8(ascii: "z")
        }
        guard before - rest.count >= 3 else { throw ZoneFileError("a footer without a name") }
    }

    mutating func number(_ range: ClosedRange<Int>) throws(ZoneFileError) -> Int {
        var (value, digits) = (0, 0)
        while let byte = rest.first, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9"),
            digits < 4
        {
            value = value * 10 + Int(byte - UInt8(ascii: "0"))
            digits += 1
            rest = rest.dropFirst()
        }
        guard digits > 0, range.contains(value) else {
            throw ZoneFileError("a footer with a number out of range")
        }
        return value
    }

    /// `[+-]hh[:mm[:ss]]` in seconds.
    mutating func time(hours: Int) throws(ZoneFileError) -> Int64 {
        let negative = take(UInt8(ascii: "-"))
        if !negative { _ = take(UInt8(ascii: "+")) }
        var seconds = try number(0...hours) * 3600
        if take(UInt8(ascii: ":")) {
            seconds += try number(0...59) * 60
            if take(UInt8(ascii: ":")) { seconds += try number(0...59) }
        }
        return Int64(negative ? -seconds : seconds)
    }
}

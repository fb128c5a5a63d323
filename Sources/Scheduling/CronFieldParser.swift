/// Reads one field: a list of items, each a value, a range, a step, or a special day.
struct CronFieldParser {
    private let field: CronField
    private let hash: UInt64
    private var cursor: ByteCursor
    private var result = CronFieldValues()

    /// `start` and `end` bound the field in `bytes`; `hashSeed` decides `H`.
    init(_ field: CronField, in bytes: [UInt8], from start: Int, to end: Int, hashSeed: Int64) {
        self.field = field
        hash = StableHash.mix(UInt64(bitPattern: hashSeed), field.rawValue)
        cursor = ByteCursor(bytes, from: start, to: end)
    }

    mutating func parse() throws(ScheduleSyntaxError) -> CronFieldValues {
        if field == .dayOfWeek, cursor.take(UInt8(ascii: "+")) { result.demandsBoth = true }
        if let first = cursor.peek() { result.startsWithStar = Self.isStar(first) }
        repeat {
            try parseItem()
        } while cursor.take(UInt8(ascii: ","))
        guard cursor.isAtEnd else { throw notAllowed(from: cursor.position) }
        return result
    }

    private mutating func parseItem() throws(ScheduleSyntaxError) {
        let start = cursor.position
        let least = field.range.lowerBound
        guard let first = cursor.peek(), first != UInt8(ascii: ",") else {
            throw failure(at: start, "an empty list item is not allowed; \(field.allowed) are")
        }
        if Self.isStar(first) {
            cursor.skip()
            addRange(from: least, through: greatest, step: try parseStep() ?? 1)
        } else if first == UInt8(ascii: "h") {
            cursor.skip()
            try parseHash()
        } else if field == .day, first == UInt8(ascii: "l") {
            cursor.skip()
            try parseLastDay()
        } else {
            try parseValues(start: start)
        }
        guard cursor.isAtEnd || cursor.peek() == UInt8(ascii: ",") else {
            throw notAllowed(from: start)
        }
    }

    /// `5`, `mon`, `1-5`, `5/20`, and what begins with a number: `15W`, `5#2`, `5L`.
    private mutating func parseValues(start: Int) throws(ScheduleSyntaxError) {
        let (low, isLast) = try parseValue(mayBeLast: field == .dayOfWeek)
        if isLast {
            result.nthWeekdays |= 1 << UInt64(35 + low % 7)
            return
        }
        if field == .day, cursor.take(UInt8(ascii: "w")) {
            result.nearestWorkdays |= 1 << UInt32(low)
            result.leastDay = min(result.leastDay, low)
        } else if field == .dayOfWeek, cursor.take(UInt8(ascii: "#")) {
            let place = cursor.position
            let (nth, digits) = cursor.takeNumber()
            guard digits == 1, (1...5).contains(nth) else {
                throw notAllowed(from: place, allowed: "after # 1 to 5")
            }
            result.nthWeekdays |= 1 << UInt64(7 * (nth - 1) + low % 7)
        } else if cursor.take(UInt8(ascii: "-")) {
            let (high, _) = try parseValue(mayBeLast: false)
            let step = try parseStep()
            // A step from a range of one value goes on like `8/2`: so cronsim, whose answers hold.
            let isOne = step != nil && distance(from: low, through: high) == 0
            addRange(from: low, through: isOne ? greatest : high, step: step ?? 1)
        } else if let step = try parseStep() {
            addRange(from: low, through: greatest, step: step)
        } else {
            addRange(from: low, through: low, step: 1)
        }
    }

    /// A number or name in range. `mayBeLast`: an `L` may follow, as in `5L` and `FRIL`.
    private mutating func parseValue(
        mayBeLast: Bool
    ) throws(ScheduleSyntaxError) -> (value: Int, isLast: Bool) {
        let start = cursor.position
        let (number, digits) = cursor.takeNumber()
        if digits > 0 {
            guard digits <= 4, field.range.contains(number) else { throw notAllowed(from: start) }
            return (number, mayBeLast && cursor.take(UInt8(ascii: "l")))
        }
        let word = cursor.takeLetters()
        if let value = field.number(named: word) { return (value, false) }
        if mayBeLast, word.utf8.last == UInt8(ascii: "l"),
            let value = field.number(named: String(word.dropLast()))
        {
            return (value, true)
        }
        throw notAllowed(from: start)
    }

    private mutating func parseStep() throws(ScheduleSyntaxError) -> Int? {
        guard cursor.take(UInt8(ascii: "/")) else { return nil }
        let start = cursor.position
        let (step, digits) = cursor.takeNumber()
        guard (1...4).contains(digits), step > 0 else {
            throw notAllowed(from: start, allowed: "after / 1 to 9999")
        }
        return step
    }

    /// `L`, `L-3`, `LW`.
    private mutating func parseLastDay() throws(ScheduleSyntaxError) {
        if cursor.take(UInt8(ascii: "w")) {
            result.lastWorkday = true
            result.leastDay = min(result.leastDay, 1)
            return
        }
        var back = 0
        if cursor.take(UInt8(ascii: "-")) {
            let start = cursor.position
            let (number, digits) = cursor.takeNumber()
            guard (1...4).contains(digits), (1...30).contains(number) else {
                throw notAllowed(from: start, allowed: "after L- 1 to 30")
            }
            back = number
        }
        result.lastDays |= 1 << UInt32(back)
        result.leastDay = min(result.leastDay, back + 1)
    }

    /// `H`, `H(0-29)`, `H/15`, `H(0-29)/10`: what the hash of the config's id chooses.
    private mutating func parseHash() throws(ScheduleSyntaxError) {
        result.usesHash = true
        var low = field.range.lowerBound
        // Every month has 28 days: a bare H never skips one.
        var high = field == .day ? 28 : greatest
        if cursor.take(UInt8(ascii: "(")) {
            low = try parseValue(mayBeLast: false).value
            guard cursor.take(UInt8(ascii: "-")) else {
                throw notAllowed(from: cursor.position, allowed: "H(a-b) with \(field.allowed)")
            }
            high = try parseValue(mayBeLast: false).value
            guard cursor.take(UInt8(ascii: ")")) else {
                throw notAllowed(from: cursor.position, allowed: "H(a-b) with \(field.allowed)")
            }
        }
        let length = distance(from: low, through: high) + 1
        let step = try parseStep() ?? length
        let choices = min(step, length)
        addHashed(
            from: low, length: length, step: step, choices: choices,
            chosen: Int(hash % UInt64(choices)))
    }

    /// Adds what the hash chose, and notes the worst that it might have chosen: the verdict on
    /// impossible dates must not depend on which config it is.
    private mutating func addHashed(
        from low: Int, length: Int, step: Int, choices: Int, chosen: Int
    ) {
        var (worstDay, worstMonth) = (1, 31)
        for offset in 0..<choices {
            var (leastDay, longestMonth) = (Int.max, 0)
            for index in stride(from: offset, to: length, by: step) {
                let value = Self.value(low, plus: index, of: field)
                if offset == chosen { result.values |= 1 << UInt64(value) }
                leastDay = min(leastDay, value)
                if field == .month { longestMonth = max(longestMonth, Self.longest(month: value)) }
            }
            worstDay = max(worstDay, leastDay)
            worstMonth = min(worstMonth, longestMonth)
        }
        if field == .day { result.leastDay = min(result.leastDay, worstDay) }
        if field == .month { result.longestMonth = max(result.longestMonth, worstMonth) }
    }

    private mutating func addRange(from low: Int, through high: Int, step: Int) {
        let last = distance(from: low, through: high)
        for offset in stride(from: 0, through: last, by: step) {
            let value = Self.value(low, plus: offset, of: field)
            result.values |= 1 << UInt64(value)
            if field == .day { result.leastDay = min(result.leastDay, value) }
            if field == .month {
                result.longestMonth = max(result.longestMonth, Self.longest(month: value))
            }
        }
    }

    /// The last value of the field as `*` counts them: Saturday, not the other Sunday.
    private var greatest: Int { field.range.lowerBound + field.span - 1 }

    /// How far the end of a range lies from its beginning: across the end of the field when `high`
    /// is below `low`.
    private func distance(from low: Int, through high: Int) -> Int {
        // 7 as a beginning is Sunday, 0; as an end it stands behind Saturday.
        let first = field == .dayOfWeek ? low % 7 : low
        let last = field == .dayOfWeek && low == 7 ? high % 7 : high
        return last >= first ? last - first : last + field.span - first
    }

    private static func value(_ low: Int, plus offset: Int, of field: CronField) -> Int {
        (low - field.range.lowerBound + offset) % field.span + field.range.lowerBound
    }

    private static func longest(month: Int) -> Int {
        CivilDate.daysInMonth(month, of: 2000)
    }

    private static func isStar(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "*") || byte == UInt8(ascii: "?")
    }

    private func failure(at position: Int, _ reason: String) -> ScheduleSyntaxError {
        ScheduleSyntaxError(
            field: field.name, column: cursor.column(of: position), reason: reason)
    }

    private func notAllowed(from start: Int, allowed: String? = nil) -> ScheduleSyntaxError {
        var reader = ByteCursor(cursor.bytes, from: start, to: cursor.end)
        _ = reader.take(while: { $0 != UInt8(ascii: ",") })
        let token = cursor.excerpt(from: start, to: reader.position)
        return failure(
            at: start,
            "\(token.isEmpty ? "nothing" : token) is not allowed; \(allowed ?? field.allowed) are")
    }
}

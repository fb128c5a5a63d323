/// Random schedule texts: well-formed ones, nearly well-formed ones, and any bytes.
struct FuzzCorpus {
    var random: SeededGenerator

    init(seed: UInt64) {
        random = SeededGenerator(state: seed)
    }

    mutating func text() -> String {
        switch Int.random(in: 0..<20, using: &random) {
        case 0: return String(decoding: bytes(), as: UTF8.self)
        case 1...3: return mutated(named())
        case 4: return named()
        case 5...9: return mutated(cron())
        default: return cron()
        }
    }

    mutating func bytes() -> [UInt8] {
        (0..<Int.random(in: 0...40, using: &random)).map { _ in
            UInt8.random(in: 0...255, using: &random)
        }
    }

    private mutating func pick(_ choices: [String]) -> String {
        choices.randomElement(using: &random) ?? ""
    }

    private mutating func chance(_ percent: Int) -> Bool {
        Int.random(in: 0..<100, using: &random) < percent
    }

    private mutating func cron() -> String {
        var fields = [
            field(0, 59, [], []), field(0, 23, [], []), day(), month(), weekday(),
        ]
        if chance(25) { fields.insert(field(0, 59, [], []), at: 0) }
        if chance(3) { fields.append("1") }
        return fields.joined(separator: chance(5) ? "\t " : " ")
    }

    private mutating func day() -> String {
        chance(35)
            ? "*" : field(1, 31, [], ["L", "L-3", "L-30", "L-29", "LW", "15W", "1W", "31W", "30w"])
    }

    private mutating func month() -> String {
        if chance(40) { return "*" }
        if chance(30) {
            return pick(["2", "feb", "4,6,9,11", "H", "H(2-4)", "H/6", "2,4", "H(4-6)/2"])
        }
        return field(1, 12, ["jan", "FEB", "march", "May", "december"], [])
    }

    private mutating func weekday() -> String {
        if chance(40) { return "*" }
        return (chance(25) ? "+" : "")
            + field(
                0, 7, ["sun", "MON", "friday", "Sat"],
                ["5#1", "1#5", "MON#2", "7#3", "5L", "sunL", "0l"])
    }

    private mutating func field(
        _ least: Int, _ greatest: Int, _ names: [String], _ special: [String]
    ) -> String {
        if chance(20) { return pick(["*", "?", "*/2", "*/7", "H", "*/31"]) }
        let count = chance(70) ? 1 : Int.random(in: 2...4, using: &random)
        return (0..<count).map { _ in item(least, greatest, names, special) }.joined(separator: ",")
    }

    private mutating func item(
        _ least: Int, _ greatest: Int, _ names: [String], _ special: [String]
    ) -> String {
        if !special.isEmpty, chance(35) { return pick(special) }
        let (a, b) = (value(least, greatest, names), value(least, greatest, names))
        switch Int.random(in: 0..<14, using: &random) {
        case 0...4: return a
        case 5...7: return "\(a)-\(b)"
        case 8: return "\(a)-\(b)/\(value(1, 9, []))"
        case 9: return "\(a)/\(value(1, 40, []))"
        case 10: return "*/\(value(1, 40, []))"
        case 11: return "H(\(a)-\(b))"
        case 12: return "H(\(a)-\(b))/\(value(1, 9, []))"
        default: return "H/\(value(1, 40, []))"
        }
    }

    private mutating func value(_ least: Int, _ greatest: Int, _ names: [String]) -> String {
        if !names.isEmpty, chance(25) { return pick(names) }
        // Now and then just out of range.
        let slack = chance(4) ? 2 : 0
        let number = Int.random(in: max(0, least - slack)...greatest + slack, using: &random)
        return (chance(6) ? "0" : "") + "\(number)"
    }

    private mutating func named() -> String {
        let number = pick([
            "1", "5", "90", "0", "99", "100", "250", "36525", "36526", "0.1", "1.5", "000000100",
        ])
        let unit = pick([
            "us", "µs", "μs", "ms", "s", "m", "h", "d", "w", " sec", " minutes", "  hours", "day",
            " weeks", "month", "",
            "secs", "mins", " hr", "hrs", " microseconds", "milliseconds", " millisecond", "second",
            "minute", "week",
        ])
        switch Int.random(in: 0..<8, using: &random) {
        case 0:
            return pick([
                "@yearly", "@annually", "@MONTHLY", "@weekly", "@Daily", "@midnight", "@hourly",
            ])
        case 1:
            return pick([
                "@manual", "@reboot", "@every_minute", "@every_second", "@every", "@", "@at",
                "@daily x",
            ])
        case 2...3: return pick(["@every ", "@after ", "@EVERY\t"]) + number + unit
        case 4:
            return pick(["@every ", "@after '"]) + number + unit + number + unit
                + pick(["", "'", " "])
        default: return "@at " + timestamp()
        }
    }

    private mutating func timestamp() -> String {
        let date = pick([
            "2027-01-31", "2027-02-29", "2028-2-29", "0001-01-01", "9999-12-31", "2100-02-29",
            "2027-04-31", "0000-01-01", "27-01-01", "2027-13-01",
        ])
        let time = pick([
            "09:00", "9:00", "23:59:59", "24:00", "00:00:00.123456", "12:60", "12:30:60", "12",
            "12:30:00.1234567", "12:3",
        ])
        let offset = pick([
            "", "", "Z", " z", "+01", "-0530", "+05:30", "+16", "+1", "+05:60", "+530", " +00",
            "Europe/Berlin", "+15:59", "-1559", "+1560",
        ])
        return date + pick([" ", "T", "t", "  ", ""]) + time + offset
    }

    private mutating func mutated(_ text: String) -> String {
        var scalars = Array(text.unicodeScalars)
        let alphabet = Array("0123456789*?/,-#+LWHlwh()@ \tsmdxé'.:_%\u{1}".unicodeScalars)
        for _ in 0..<Int.random(in: 1...2, using: &random) {
            let place = Int.random(in: 0...scalars.count, using: &random)
            let letter = alphabet.randomElement(using: &random) ?? "*"
            switch Int.random(in: 0..<3, using: &random) {
            case 0: scalars.insert(letter, at: place)
            case 1 where place < scalars.count: scalars.remove(at: place)
            default: if place < scalars.count { scalars[place] = letter }
            }
        }
        return String(String.UnicodeScalarView(scalars))
    }
}

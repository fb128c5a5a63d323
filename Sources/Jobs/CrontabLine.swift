/// A line of a crontab, taken apart as cron does.
///
/// Authority: crontab(5) of Debian; entry.c and env.c are what it describes.
public enum CrontabLine: Equatable, Sendable {
    /// Empty, or a comment.
    case nothing
    /// `name = value`, without quotes.
    case variable(name: String, value: String)
    case entry(Entry)
    /// Why cron does not take it.
    case mistake(String)

    public struct Entry: Equatable, Sendable {
        /// Five fields, or a name such as `@daily`.
        public var schedule: String
        /// The sixth field of a system's crontab.
        public var user: String?
        /// Up to the first `%`.
        public var command: String
        /// What stands behind it: lines for the command's standard input.
        public var input: [String]?
    }

    /// - Parameter isSystem: Whether a user stands before the command, as in /etc/crontab.
    public init(_ line: String, isSystem: Bool) {
        let text = line.drop(while: Self.isBlank)
        if text.isEmpty || text.first == "#" {
            self = .nothing
        } else if let variable = Self.variable(text) {
            self = variable
        } else {
            self = Self.entry(text, isSystem: isSystem)
        }
    }

    private static func isBlank(_ character: Character) -> Bool {
        character == " " || character == "\t"
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop(while: isBlank)
        while let last = text.last, isBlank(last) || last == "\r" { text.removeLast() }
        return text
    }

    private static func variable(_ text: Substring) -> CrontabLine? {
        var rest = text
        let name: String
        if let quote = rest.first, quote == "\"" || quote == "'" {
            rest.removeFirst()
            guard let end = rest.firstIndex(of: quote) else { return nil }
            name = String(rest[..<end])
            rest = rest[rest.index(after: end)...]
        } else {
            name = String(rest.prefix { !isBlank($0) && $0 != "=" })
            rest = rest.dropFirst(name.count)
        }
        rest = rest.drop(while: isBlank)
        guard rest.first == "=", !name.isEmpty else { return nil }
        var value = trimmed(rest.dropFirst())
        if value.count > 1, let quote = value.first, quote == "\"" || quote == "'",
            value.last == quote
        {
            value = value.dropFirst().dropLast()
        }
        return .variable(name: name, value: String(value))
    }

    private static func entry(_ text: Substring, isSystem: Bool) -> CrontabLine {
        var rest = text
        func word() -> String {
            rest = rest.drop(while: isBlank)
            let word = rest.prefix { !isBlank($0) }
            rest = rest.dropFirst(word.count)
            return String(word)
        }
        var fields = [word()]
        if !text.hasPrefix("@") { for _ in 0..<4 { fields.append(word()) } }
        let schedule = fields.joined(separator: " ")
        if let mistake = VixieSchedule.mistake(fields) { return .mistake(mistake) }
        let user = isSystem ? word() : nil
        let command = trimmed(rest)
        guard user != "", !command.isEmpty else {
            return .mistake(
                isSystem ? "no user and command stand behind the times" : "there is no command")
        }
        let (lines, hasInput) = split(command)
        return .entry(
            Entry(
                schedule: schedule, user: user, command: lines[0],
                input: hasInput ? Array(lines.dropFirst()) : nil))
    }

    /// At each `%` that has no backslash before it; `\%` is a percent sign.
    private static func split(_ command: Substring) -> (lines: [String], hasInput: Bool) {
        var lines = [""]
        var isEscaped = false
        for character in command {
            if character == "%" {
                if isEscaped {
                    lines[lines.count - 1].removeLast()
                    lines[lines.count - 1].append("%")
                } else {
                    lines.append("")
                }
            } else {
                lines[lines.count - 1].append(character)
            }
            isEscaped = character == "\\"
        }
        // What ends with % ends its last line: no empty one follows.
        let hasInput = lines.count > 1
        if hasInput, lines.count > 2, lines.last == "" { lines.removeLast() }
        return (lines, hasInput)
    }
}

/// What Debian's cron takes as times: our own parser takes more.
enum VixieSchedule {
    private static let names: Set<String> = [
        "@reboot", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly",
    ]
    private static let months = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ]
    private static let days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
    private static let fields: [(name: String, range: ClosedRange<Int>, names: [String])] = [
        ("minute", 0...59, []), ("hour", 0...23, []), ("day", 1...31, []),
        ("month", 1...12, months),
        ("day of week", 0...7, days),
    ]

    /// Why cron refuses it; nil when it does not.
    static func mistake(_ words: [String]) -> String? {
        if words.count == 1 {
            return names.contains(words[0])
                ? nil : "\(words[0]) is none of \(names.sorted().joined(separator: ", "))"
        }
        for (word, field) in zip(words, fields) {
            if word.isEmpty { return "five times and a command are needed" }
            for item in word.split(separator: ",", omittingEmptySubsequences: false) {
                if let flaw = flaw(item, field.range, field.names) {
                    return "\(field.name): \(item.isEmpty ? word : String(item)) \(flaw)"
                }
            }
        }
        return nil
    }

    private static func flaw(
        _ item: Substring, _ range: ClosedRange<Int>, _ names: [String]
    ) -> String? {
        let halves = item.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let ends = halves[0].split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        let isStar = halves[0] == "*"
        if !isStar {
            var numbers: [Int] = []
            for end in ends {
                let text = end.lowercased()
                let first = range.lowerBound
                guard let number = names.firstIndex(of: text).map({ $0 + first }) ?? number(text)
                else { return "is nothing that cron knows" }
                guard range.contains(number) else { return "is out of range" }
                numbers.append(number)
            }
            if numbers.count == 2, numbers[0] > numbers[1] { return "runs backwards" }
        }
        guard halves.count == 2 else { return nil }
        guard isStar || ends.count == 2 else { return "has a step but no range" }
        guard let step = number(halves[1].lowercased()), step > 0 else {
            return "has no step that cron knows"
        }
        return nil
    }

    private static func number(_ text: String) -> Int? {
        guard (1...4).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39) ~= $0 })
        else { return nil }
        return Int(text)
    }
}

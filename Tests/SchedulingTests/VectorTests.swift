import Scheduling
import Testing
import Timing

/// The right answers that came with the design: 110 rules with their reasons, 2,000 random cases.
@Suite struct VectorTests {
    struct Rule: CustomTestStringConvertible, Sendable {
        let id, expression, zone, reference, expected, why: String
        var testDescription: String { "\(id) \(expression) \(zone): \(why)" }
    }

    static func rules() throws -> [Rule] {
        try Vectors.rows("cron-rules.tsv").map { row in
            try #require(row.count == 6)
            return Rule(
                id: row[0], expression: row[1].replacing("\\t", with: "\t"), zone: row[2],
                reference: row[3], expected: row[4], why: row[5])
        }
    }

    @Test func thereAreAllRules() throws {
        #expect(try Self.rules().count == 110)
        #expect(try Vectors.rows("cron.tsv").count > 1900)
    }

    @Test(arguments: try rules()) func rule(_ rule: Rule) throws {
        if rule.expected == "ERROR" || rule.expected == "never" {
            let error = #expect(throws: ScheduleSyntaxError.self) {
                try Schedule(parsing: rule.expression, hashSeed: 1)
            }
            if rule.expected == "never" {
                #expect(error?.message.contains("can never fire") == true)
            }
            return
        }
        let expected = try rule.expected.split(separator: ", ").map {
            try WallInstant(String($0)).text
        }
        let found = try fires(
            rule.expression, rule.zone, after: rule.reference, count: expected.count)
        #expect(found == expected)
    }

    /// Where `cron.tsv` differs from its own authority, by line: our answers.
    ///
    /// On the days of Lord Howe's 30-minute changes cronsim steps whole hours from a half one and
    /// so leaves out wildcard fires whose local time exists, e.g. 03:00. Debian's cron compares
    /// every real minute with the local clock, as do the rules D29 to D31 of `cron-rules.tsv`.
    static let disputed: [String: [String]] = [
        "*/10 3 * * * 2030-04-05T22:23:00Z": [
            "2030-04-06T16:30:00Z", "2030-04-06T16:40:00Z", "2030-04-06T16:50:00Z",
            "2030-04-06T17:00:00Z",
        ],
        "10-20/5 */2 5 * * * 2013-04-06T02:31:00Z": [
            "2013-04-06T18:30:10Z", "2013-04-06T18:30:15Z", "2013-04-06T18:30:20Z",
            "2013-04-06T18:32:10Z",
        ],
        "0 */2 18-22/3 * * * 2010-04-03T12:38:00Z": [
            "2010-04-04T07:30:00Z", "2010-04-04T07:32:00Z", "2010-04-04T07:34:00Z",
            "2010-04-04T07:36:00Z",
        ],
        "47 * * * */10 2010-10-01T12:09:00Z": [
            "2010-10-02T14:17:00Z", "2010-10-02T15:17:00Z", "2010-10-02T15:47:00Z",
            "2010-10-02T16:47:00Z",
        ],
    ]

    static func cases() throws -> [(
        expression: String, zone: String, after: String, fires: [String]
    )] {
        try Vectors.rows("cron.tsv").map { row in
            try #require(row.count == 7)
            return (row[0], row[1], row[2], disputed["\(row[0]) \(row[2])"] ?? Array(row[3...]))
        }
    }

    @Test func randomCasesAroundClockChanges() throws {
        let cases = try Self.cases()
        let keys = Set(cases.map { "\($0.expression) \($0.after)" })
        #expect(Self.disputed.keys.allSatisfy(keys.contains))
        for (expression, zone, after, expected) in cases {
            let found = try fires(expression, zone, after: after, count: 4)
            #expect(found == expected, "\(expression) | \(zone) | after \(after)")
        }
    }

    /// The same cases, asked backwards: the latest fire before the second is the first.
    @Test func latestAgreesWithNext() throws {
        for (expression, zone, after, fires) in try Self.cases() {
            let rule = FireRule(
                schedule: try Schedule(parsing: expression, hashSeed: 1),
                zone: try TestZones.named(zone), config: 1)
            let start = try WallInstant(after)
            let times = try fires.map { try WallInstant($0) }
            for (index, time) in times.enumerated() {
                let before = time.advanced(byMicroseconds: -1)
                #expect(rule.latest(after: start, through: time) == time, "\(expression) \(after)")
                let earlier = index == 0 ? nil : times[index - 1]
                #expect(
                    rule.latest(after: start, through: before) == earlier, "\(expression) \(after)")
            }
        }
    }
}

import Foundation
import Scheduling
import TestSupport
import Testing
import Timing

/// The calendar has two readers, too: what `FireRule` says, sql/35_next_fires.sql says.
@Suite struct NextFiresTests {
    struct Case: CustomStringConvertible {
        var schedule: String
        var zone: String
        var after: WallInstant
        var count = 4
        var config: Int64 = 1
        var startsAt: WallInstant?
        var endsAt: WallInstant?
        var jitter: Int64 = 0
        var onGap = FireRule.OnGap.run
        var onRepeat = FireRule.OnRepeat.first

        var description: String {
            "\(schedule.debugDescription) | \(zone) | after \(after.microseconds) | "
                + "config \(config) | starts \(startsAt?.microseconds as Int64?, default: "-") | "
                + "ends \(endsAt?.microseconds as Int64?, default: "-") | jitter \(jitter) | "
                + "\(onGap) | \(onRepeat)"
        }

        func rule() throws -> FireRule {
            FireRule(
                schedule: try Schedule(parsing: schedule, hashSeed: config),
                zone: try TestZones.named(zone), config: config, onGap: onGap, onRepeat: onRepeat,
                startsAt: startsAt, endsAt: endsAt, jitterMicroseconds: jitter)
        }

        /// A line of COPY's text format.
        var line: String {
            let text = schedule.replacing("\\", with: "\\\\").replacing("\t", with: "\\t")
                .unicodeScalars.map { $0 == "\n" ? "\\n" : $0 == "\r" ? "\\r" : String($0) }
            func number(_ instant: WallInstant?) -> String {
                instant.map { "\($0.microseconds)" } ?? "\\N"
            }
            return [
                text.joined(), zone, number(after), "\(count)", "\(config)", number(startsAt),
                number(endsAt), "\(jitter)", onGap == .run ? "RUN" : "SKIP",
                onRepeat == .first ? "FIRST" : "BOTH",
            ].joined(separator: "\t")
        }
    }

    private static func database() async throws -> TestDatabase {
        let database = try await PrivateCluster.database("next_fires")
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../sql").standardized.path
        let files = ["10_types", "20_tables", "30_schedule", "35_next_fires"]
        try await database.psql(
            files.map { "\\i \(folder)/\($0).sql\n" }.joined())
        return database
    }

    /// What SQL says to each case: microseconds, parted by blanks.
    private static func ask(
        _ cases: [Case], _ database: TestDatabase
    ) async throws -> [String] {
        let output = try await database.psql(
            """
            CREATE TEMPORARY TABLE cases (n serial, schedule text, zone text, after bigint,
                count integer, config bigint, starts bigint, ends bigint, jitter bigint, gap text,
                repeated text);
            COPY cases (schedule, zone, after, count, config, starts, ends, jitter, gap, repeated)
            FROM STDIN;
            \(cases.map(\.line).joined(separator: "\n"))
            \\.
            SELECT '=' || coalesce(
                string_agg(timetable.microseconds(f.t)::text, ' ' ORDER BY f.t), '')
            FROM cases LEFT JOIN LATERAL timetable.fires_after(schedule, zone,
                timetable.instant(after), count, config, timetable.instant(starts),
                timetable.instant(ends), jitter * interval '1 microsecond', gap, repeated)
                AS f (t) ON true
            GROUP BY n ORDER BY n;
            """)
        return output.split(separator: "\n").map { String($0.dropFirst()) }
    }

    private static func expectEqual(_ cases: [Case]) async throws {
        let database = try await database()
        var fires = 0
        for start in stride(from: 0, to: cases.count, by: 300) {
            let part = Array(cases[start..<min(start + 300, cases.count)])
            let answers = try await ask(part, database)
            try #require(answers.count == part.count)
            for (one, answer) in zip(part, answers) {
                let expected = try one.rule().fires(after: one.after, count: one.count)
                    .map { "\($0.microseconds)" }
                fires += expected.count
                #expect(answer == expected.joined(separator: " "), "\(one)")
            }
        }
        print("two calendars: \(cases.count) cases, \(fires) fires")
    }

    @Test func everyRuleOfTheVectors() async throws {
        let rules = try VectorTests.rules().filter { !["ERROR", "never"].contains($0.expected) }
        try await Self.expectEqual(
            rules.map {
                Case(
                    schedule: $0.expression, zone: $0.zone, after: try WallInstant($0.reference),
                    count: $0.expected.split(separator: ",").count)
            })
    }

    @Test func everyRandomVector() async throws {
        var cases = try VectorTests.cases().map {
            Case(schedule: $0.expression, zone: $0.zone, after: try WallInstant($0.after))
        }
        // And with the other answers to a clock change.
        for (index, one) in cases.enumerated() where index % 4 == 0 {
            var other = one
            other.onGap = index % 8 == 0 ? .skip : .run
            other.onRepeat = index % 12 == 0 ? .first : .both
            cases.append(other)
        }
        try await Self.expectEqual(cases)
    }

    @Test func randomSchedules() async throws {
        let environment = ProcessInfo.processInfo.environment
        let seed = environment["CARILLON_FUZZ_SEED"].flatMap(UInt64.init) ?? 1
        let seconds = environment["CARILLON_FUZZ_SECONDS"].flatMap(Double.init) ?? 0
        var corpus = RandomCases(seed: seed)
        try await Self.expectEqual(
            (0..<1500 + Int(seconds * 200)).map { _ in corpus.next() })
    }

    @Test func theDaysOnWhichClocksChange() async throws {
        var corpus = RandomCases(seed: 2)
        try await Self.expectEqual((0..<1500).map { _ in try corpus.nextAtAChange() })
    }

    /// The hash in SQL is made of numerics: the edges of 64 bits.
    @Test func jitterHashesTheSame() async throws {
        let configs: [Int64] = [.min, .min + 1, -1, 0, 1, 5, 1 << 32, .max - 1, .max]
        try await Self.expectEqual(
            configs.map {
                Case(
                    schedule: "H H(0-3) H/9 * H",
                    zone: "Europe/Berlin", after: try WallInstant("2026-03-01T00:00Z"), config: $0,
                    jitter: 3_600_000_000)
            })
    }

    @Test func everyZoneOfTheServerChangesAlike() async throws {
        let database = try await Self.database()
        let (low, high) = (
            try WallInstant("2024-07-01T00:00Z").microseconds / 1_000_000,
            try WallInstant("2027-07-01T00:00Z").microseconds / 1_000_000
        )
        let output = try await database.psql(
            """
            SELECT z.name, u.start, u.shift
            FROM timetable.known_time_zone AS z,
                LATERAL (SELECT set_config('TimeZone', z.name, false)) AS s (name),
                LATERAL timetable.zone_segments(\(low) + length(s.name) * 0, \(high)) AS w,
                LATERAL unnest(w.starts, w.offsets) AS u (start, shift)
            ORDER BY z.name, u.start
            """)
        var zones: Set<String> = []
        var previous = (name: "", offset: 0)
        for line in output.split(separator: "\n") {
            let parts = line.split(separator: "|").map(String.init)
            let (name, offset) = (parts[0], try #require(Int(parts[2])))
            // The server knows names that are no file, such as localtime.
            guard let zone = try? TestZones.named(name) else { continue }
            let start = WallInstant(microseconds: try #require(Int64(parts[1])) * 1_000_000)
            #expect(zone.offset(at: start) == offset, "\(line)")
            if previous.name == name {
                let before = start.advanced(byMicroseconds: -1)
                #expect(zone.offset(at: before) == previous.offset, "\(line)")
            }
            zones.insert(name)
            previous = (name, offset)
        }
        #expect(zones.count > 400)
        print("two calendars: \(zones.count) zones")
    }

    @Test func whatNoClockDecidesHasNoFire() async throws {
        let database = try await Self.database()
        for schedule in ["@manual", "@reboot", "@after 5m"] {
            #expect(
                try await database.psql("SELECT timetable.next_fire('\(schedule)', 'UTC') IS NULL")
                    == "t")
        }
        let error = await #expect(throws: PsqlFailed.self) {
            try await database.psql("SELECT timetable.next_fire('61 * * * *', 'UTC')")
        }
        #expect(error?.stderr.contains("minute, column 1: 61 is not allowed") == true)
    }
}

/// Random schedules with random options, near to clock changes and far from them.
private struct RandomCases {
    private var corpus: FuzzCorpus
    private var random: SeededGenerator

    init(seed: UInt64) {
        corpus = FuzzCorpus(seed: seed)
        random = SeededGenerator(state: seed)
    }

    private mutating func chance(_ percent: Int) -> Bool {
        Int.random(in: 0..<100, using: &random) < percent
    }

    private mutating func instant() -> WallInstant {
        let year: Int64 = 31_556_952_000_000
        let years: ClosedRange<Int64> =
            chance(5) ? -1975...8035 : chance(20) ? -70...500 : 0...80
        return WallInstant(
            microseconds: .random(
                in: years.lowerBound * year...years.upperBound * year, using: &random))
    }

    private mutating func schedule() -> String {
        while true {
            let text = corpus.text()
            guard !text.unicodeScalars.contains("\0"),
                let schedule = try? Schedule(parsing: text, hashSeed: 1)
            else { continue }
            switch schedule {
            case .cron, .every, .at: return text
            case .after, .manual, .reboot: continue
            }
        }
    }

    /// A schedule on one day of the year on which a zone's clock changes, from shortly before.
    mutating func nextAtAChange() throws -> NextFiresTests.Case {
        while true {
            let name = ZoneRulesTests.names.randomElement(using: &random) ?? "UTC"
            let zone = try TestZones.named(name)
            let month: Int64 = 30 * 86_400
            var before = Int64.random(in: -80 * 12 * month...80 * 12 * month, using: &random)
            var after = before + 3 * month
            func offset(_ second: Int64) -> Int { zone.offset(at: WallInstant(seconds: second)) }
            guard offset(before) != offset(after) else { continue }
            while after - before > 1 {
                let middle = before + (after - before) / 2
                if offset(middle) == offset(before) { before = middle } else { after = middle }
            }
            let local = WallInstant(seconds: after + Int64(offset(chance(50) ? before : after)))
            let date = local.text.split(separator: "T")[0].split(separator: "-").suffix(2)
                .compactMap { Int($0) }
            let hour = (local.microseconds / 3_600_000_000 % 24 + 24) % 24
            let hours = [hour, (hour + 23) % 24, (hour + 1) % 24, (hour + 22) % 24]
            let minute = ["0", "30", "*/20", "*", "59", "15-45/15"].randomElement(using: &random)
            let hourText = "\(hours.randomElement(using: &random) ?? 0)"
            let schedule = "\(minute ?? "0") \(chance(15) ? "*" : hourText) \(date[1]) \(date[0]) *"
            var result = NextFiresTests.Case(
                schedule: schedule, zone: name,
                after: WallInstant(
                    seconds: after - Int64.random(in: -10_000...20_000, using: &random)))
            result.onGap = chance(30) ? .skip : .run
            result.onRepeat = chance(50) ? .both : .first
            return result
        }
    }

    mutating func next() -> NextFiresTests.Case {
        let names = ZoneRulesTests.names
        var result = NextFiresTests.Case(
            schedule: schedule(), zone: names.randomElement(using: &random) ?? "UTC",
            after: instant(), count: 3)
        result.config = chance(50) ? .random(in: .min ... .max, using: &random) : 7
        result.onGap = chance(30) ? .skip : .run
        result.onRepeat = chance(30) ? .both : .first
        let day: Int64 = 86_400_000_000
        if chance(20) {
            result.startsAt = result.after.advanced(
                byMicroseconds: .random(in: -900 * day...90 * day, using: &random))
        }
        if chance(20) {
            result.endsAt = result.after.advanced(
                byMicroseconds: .random(in: 0...90 * day, using: &random))
        }
        if chance(25) {
            let longest = [1_000_000, 60_000_000, 3_600_000_000, 2 * day]
            result.jitter = .random(
                in: 1...(longest.randomElement(using: &random) ?? 1), using: &random)
        }
        return result
    }
}

import Scheduling
import Testing
import Timing

/// Windows, jitter, alignment, one-off times and what clock changes do to them.
@Suite struct FireRuleTests {
    private func rule(
        _ text: String, zone: String = "UTC", config: Int64 = 1, onGap: FireRule.OnGap = .run,
        startsAt: String? = nil, endsAt: String? = nil, jitter: Int64 = 0
    ) throws -> FireRule {
        FireRule(
            schedule: try Schedule(parsing: text, hashSeed: config),
            zone: try TestZones.named(zone), config: config, onGap: onGap,
            startsAt: try startsAt.map { try WallInstant($0) },
            endsAt: try endsAt.map { try WallInstant($0) }, jitterMicroseconds: jitter)
    }

    private func texts(_ rule: FireRule, after: String, count: Int) throws -> [String] {
        rule.fires(after: try WallInstant(after), count: count).map { $0.text }
    }

    /// The options at a gap and at an overlap; the answer to the issue's own example comes first.
    @Test(arguments: [
        (
            "30 2 * * *", FireRule.OnGap.run, FireRule.OnRepeat.first, "2026-03-28T12:00Z",
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        ),
        (
            "30 2 * * *", .skip, .first, "2026-03-28T12:00Z",
            ["2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"]
        ),
        (
            "30 2 * * *", .run, .first, "2026-10-24T12:00Z",
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        ),
        (
            "30 2 * * *", .run, .both, "2026-10-24T12:00Z",
            ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"]
        ),
        // The match after the repeated one is far away, and yet it comes.
        (
            "30 2 25 10 *", .run, .both, "2026-10-24T12:00Z",
            ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2027-10-25T00:30:00Z"]
        ),
        (
            "*/30 2 25 10 *", .run, .first, "2026-10-25T00:00Z",
            ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"]
        ),
        (
            "0,30 2-3 * * *", .run, .first, "2026-03-28T12:00Z",
            ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:00:00Z"]
        ),
        ("0 30 2 * * *", .run, .first, "2026-03-28T12:00Z", ["2026-03-29T01:00:00Z"]),
        (
            "*/30 * * * *", .run, .both, "2026-03-29T00:30Z",
            ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]
        ),
    ])
    func clockChanges(
        _ text: String, _ onGap: FireRule.OnGap, _ onRepeat: FireRule.OnRepeat, _ after: String,
        _ expected: [String]
    ) throws {
        let found = try fires(
            text, "Europe/Berlin", after: after, count: expected.count, onGap: onGap,
            onRepeat: onRepeat)
        #expect(found == expected)
    }

    @Test func everyIsAligned() throws {
        #expect(
            try texts(rule("@every 90s"), after: "1970-01-01T00:00Z", count: 2)
                == ["1970-01-01T00:01:30Z", "1970-01-01T00:03:00Z"])
        #expect(
            try texts(rule("@every 7m"), after: "1969-12-31T23:59Z", count: 2)
                == ["1970-01-01T00:00:00Z", "1970-01-01T00:07:00Z"])
        let anchored = try rule("@every 1h", startsAt: "2025-01-01T00:10:00.25Z")
        #expect(
            try texts(anchored, after: "2024-01-01T00:00Z", count: 2)
                == ["2025-01-01T00:10:00.250000Z", "2025-01-01T01:10:00.250000Z"])
        #expect(
            try texts(rule("@every 250ms"), after: "2025-01-01T00:00Z", count: 2)
                == ["2025-01-01T00:00:00.250000Z", "2025-01-01T00:00:00.500000Z"])
    }

    @Test func windowsHoldBothEnds() throws {
        let window = try rule(
            "0 9 * * *", startsAt: "2025-01-02T09:00Z", endsAt: "2025-01-04T09:00Z")
        #expect(
            try texts(window, after: "2024-06-01T00:00Z", count: 9)
                == ["2025-01-02T09:00:00Z", "2025-01-03T09:00:00Z", "2025-01-04T09:00:00Z"])
        #expect(
            window.latest(after: .distantPast, through: .distantFuture)
                == (try WallInstant("2025-01-04T09:00Z")))
        let empty = try rule(
            "0 9 * * *", startsAt: "2025-01-05T00:00Z", endsAt: "2025-01-04T00:00Z")
        #expect(empty.next(after: .distantPast) == nil)
    }

    @Test func atFiresOnce() throws {
        #expect(
            try texts(
                rule("@at 2027-01-31 09:00", zone: "Europe/Berlin"), after: "2025-01-01T00:00Z",
                count: 2)
                == ["2027-01-31T08:00:00Z"])
        #expect(
            try texts(
                rule("@at 2026-03-29 02:30:00.5", zone: "Europe/Berlin"),
                after: "2025-01-01T00:00Z", count: 2)
                == ["2026-03-29T01:00:00Z"], "in the gap: at its end")
        #expect(
            try texts(
                rule("@at 2026-03-29 02:30", zone: "Europe/Berlin", onGap: .skip),
                after: "2025-01-01T00:00Z", count: 1)
                == [])
        #expect(
            try texts(
                rule("@at 2026-10-25 02:30", zone: "Europe/Berlin"), after: "2025-01-01T00:00Z",
                count: 2)
                == ["2026-10-25T00:30:00Z"], "shown twice: the first")
        #expect(
            try texts(
                rule("@at 2011-12-30 12:00", zone: "Pacific/Apia"), after: "2011-01-01T00:00Z",
                count: 1)
                == [], "a day that never was")
        #expect(
            try texts(
                rule("@at 2027-01-31 09:00:00.5+05:30", zone: "Europe/Berlin"),
                after: "2025-01-01T00:00Z", count: 2)
                == ["2027-01-31T03:30:00.500000Z"])
    }

    /// No fire is lost or doubled by jitter, whatever instants are asked for.
    @Test(
        arguments: [
            ("* * * * *", 30_000_000), ("* * * * *", 3_600_000_000),
            ("0 9 * * 1-5", 86_400_000_000),
            ("@every 100ms", 5_000_000), ("30 2 * * *", 900_000_000), ("*/7 * * * * *", 1),
        ] as [(String, Int64)])
    func jitter(_ text: String, _ jitter: Int64) throws {
        let plain = try rule(text, zone: "Europe/Berlin", config: 42)
        let moved = try rule(text, zone: "Europe/Berlin", config: 42, jitter: jitter)
        let start = try WallInstant("2026-03-27T12:00Z")
        let planned = plain.fires(after: start, count: 300)
        // The fire planned before the start may have been moved behind it.
        let jittered = Array(
            moved.fires(after: start.advanced(byMicroseconds: -jitter), count: 5000)
                .drop { $0 < planned[0] }.prefix(planned.count))
        try #require(jittered.count == 300)
        for (index, fire) in jittered.enumerated() {
            #expect(fire >= planned[index])
            #expect(fire.microseconds(since: planned[index]) <= jitter)
            if index + 1 < planned.count { #expect(fire < planned[index + 1]) }
            #expect(moved.next(after: fire.advanced(byMicroseconds: -1)) == fire)
            #expect(moved.latest(after: start, through: fire) == fire)
            if index > 0 {
                #expect(moved.next(after: planned[index].advanced(byMicroseconds: -1)) == fire)
            }
        }
        if jitter > 1 { #expect(jittered != planned) }
    }

    @Test func jitterEndsWithTheWindow() throws {
        let window = try rule("0 9 * * *", endsAt: "2025-01-04T09:00:10Z", jitter: 3_600_000_000)
        for fire in window.fires(after: try WallInstant("2025-01-01T00:00Z"), count: 9).suffix(1) {
            #expect(fire <= (try WallInstant("2025-01-04T09:00:10Z")))
            #expect(fire >= (try WallInstant("2025-01-04T09:00Z")))
        }
    }

    @Test func endsOfTime() throws {
        for text in ["* * * * *", "@every 100ms", "0 0 29 2 +MON", "@at 9999-12-31 23:59Z"] {
            for jitter: Int64 in [0, 1_000_000, .max] {
                for zone in ["UTC", "Europe/Berlin", "Pacific/Kiritimati"] {
                    let rule = try rule(text, zone: zone, jitter: jitter)
                    #expect(rule.next(after: .distantFuture) == nil)
                    let first = try #require(rule.next(after: .distantPast))
                    #expect(rule.next(after: first).map { $0 > first } ?? true)
                    let last = try #require(
                        rule.latest(after: .distantPast, through: .distantFuture))
                    #expect(rule.next(after: last) == nil)
                }
            }
        }
    }

    @Test func farAway() throws {
        #expect(
            try fires("30 2 * * *", "Europe/Berlin", after: "2500-03-27T12:00Z", count: 2)
                == ["2500-03-28T01:00:00Z", "2500-03-29T00:30:00Z"])
        #expect(
            try fires("0 12 * * *", "Europe/Berlin", after: "1850-01-01T00:00Z", count: 1)
                == ["1850-01-01T11:06:32Z"], "local mean time")
        #expect(
            try fires("0 0 29 2 +MON", after: "2072-03-01T00:00Z", count: 2)
                == ["2112-02-29T00:00:00Z", "2140-02-29T00:00:00Z"], "40 years across 2100")
    }
}

import Scheduling
import Testing
import Timing

/// What is read, what is refused, and what the refusal says.
@Suite struct ScheduleSyntaxTests {
    @Test(arguments: [
        ("60 * * * *", "minute, column 1: 60 is not allowed; 0 to 59 are"),
        (
            "0 0 0 * *",
            "day, column 5: 0 is not allowed; 1 to 31, L, L-1 to L-30, LW and 1W to 31W are"
        ),
        ("*/0 * * * *", "minute, column 3: 0 is not allowed; after / 1 to 9999 are"),
        ("*/10000 * * * *", "minute, column 3: 10000 is not allowed; after / 1 to 9999 are"),
        ("1,,2 * * * *", "minute, column 3: an empty list item is not allowed; 0 to 59 are"),
        ("1, * * * *", "minute, column 3: an empty list item is not allowed; 0 to 59 are"),
        ("-5 * * * *", "minute, column 1: -5 is not allowed; 0 to 59 are"),
        ("0 5-24 * * *", "hour, column 5: 24 is not allowed; 0 to 23 are"),
        (
            "0 0 * * 1-8",
            "day of week, column 11: 8 is not allowed; 0 to 7, SUN to SAT, 5#1 to 5#5 and 5L are"
        ),
        ("0 0 * * 5#6", "day of week, column 11: 6 is not allowed; after # 1 to 5 are"),
        ("0 0 L-31 * *", "day, column 7: 31 is not allowed; after L- 1 to 30 are"),
        ("0 0 * foo *", "month, column 7: foo is not allowed; 1 to 12 and JAN to DEC are"),
        (
            "0 0 * * L",
            "day of week, column 9: L is not allowed; 0 to 7, SUN to SAT, 5#1 to 5#5 and 5L are"
        ),
        ("5x * * * *", "minute, column 1: 5x is not allowed; 0 to 59 are"),
        ("é * * * *", "minute, column 1: é is not allowed; 0 to 59 are"),
        ("0 0 30 2 *", "day, column 5: can never fire: February has no 30th"),
        ("0 0 31 4,6,9,11 *", "day, column 5: can never fire: none of these months has a 31st"),
        ("0 0 L-30 2 *", "day, column 5: can never fire: February has no 31st"),
        ("0 0 31 H *", "day, column 5: could never fire: H may choose a month that has no 31st"),
        ("0 0 1-7 * +MON#2", "day, column 5: can never fire: no date matches both day fields"),
        ("0 0 15W * +SUN", "day, column 5: can never fire: no date matches both day fields"),
        (
            "0 0 H * +MON#1",
            "day, column 5: H is not allowed together with L, W or # where both day fields must match"
        ),
        (
            "0 0 1 1 * 2025",
            "day of week, column 11: 2025 is not allowed; 0 to 7, SUN to SAT, 5#1 to 5#5 and 5L are. There is no field for the year; @at names one"
        ),
        (
            "0 12 * * 1 30",
            "day of week, column 12: 30 is not allowed; 0 to 7, SUN to SAT, 5#1 to 5#5 and 5L are. Seconds come first, not last"
        ),
        ("@every 10ms", "@every, column 8: 10ms is not allowed; 100 ms to 36525 days are"),
        (
            "@every 5",
            "@every, column 9: nothing is not allowed; the units us, ms, s, m, h, d, w and their words are"
        ),
        (
            "@every 1 month",
            "@every, column 10: month is not allowed; the units us, ms, s, m, h, d, w and their words are (months and years differ in length: @monthly, 0 0 1 * *)"
        ),
        ("@every", "@every, column 7: more is needed, as in @every 90s"),
        (
            "@at 2027-02-29 09:00",
            "@at, column 13: 29 is not allowed; a day 1 to 28 of February 2027 is"
        ),
        ("@at 2027-01-31", "@at, column 15: a time of day, as in 09:00, is needed after the date"),
        (
            "@at 2027-01-31 09:00 Europe/Berlin",
            "@at, column 22: Europe/Berlin is not allowed; Z or an offset such as +01 or +05:30 are"
        ),
        (
            "@restart",
            "column 1: @restart is not allowed; @every, @after, @at, @manual, @reboot, @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly, @every_minute and @every_second are"
        ),
        (
            "* * *",
            "3 fields are not allowed; 5 are (minute, hour, day, month, day of week), or 6 with seconds first, or @every, @at, @daily and the like"
        ),
        (
            "",
            "an empty schedule is not allowed; 5 are (minute, hour, day, month, day of week), or 6 with seconds first, or @every, @at, @daily and the like"
        ),
    ])
    func refusal(_ text: String, _ message: String) {
        let error = #expect(throws: ScheduleSyntaxError.self) {
            try Schedule(parsing: text, hashSeed: 7)
        }
        #expect(error?.message == message)
    }

    /// Two texts that mean the same.
    @Test(arguments: [
        ("0 0 * * ?", "0 0 ? * *"), ("0 0 * * 0", "0 0 * * 7"), ("0 0 * * 7-7", "0 0 * * SUN"),
        ("0 0 * * 7-2", "0 0 * * sun,Mon,TUESDAY"), ("0 0 * * 5-1", "0 0 * * 5,6,0,1"),
        ("0 0 * * 1-7/2", "0 0 * * 1,3,5,0"), ("0 0 * * 5/1", "0 0 * * 5,6"),
        ("0 22-6/2 * * *", "0 22,0,2,4,6 * * *"), ("0 0 1 NOV-february *", "0 0 1 11,12,1,2 *"),
        ("0 0 29-2 * *", "0 0 29,30,31,1,2 * *"), ("8-8/20 * * * *", "8/20 * * * *"),
        ("0 0 * * FRIL", "0 0 * * 5l"), ("0 0 * * friday#2", "0 0 * * 5#2"),
        ("0 0 l-3,lw,15w * *", "0 0 15W,LW,L-3 * *"), ("0000 0023 * * *", "0 23 * * *"),
        ("\t0 0 * * *\n", "0 0 * * *"), ("@hourly", "0 * * * *"), ("@YEARLY ", "@annually"),
        ("@midnight", "@daily"), ("@every_minute", "* * * * *"), ("@every_second", "* * * * * *"),
        ("@weekly", "0 0 * * 0"), ("@monthly", "0 0 1 * *"), ("0 30 9 * * *", "30 9 * * *"),
        ("@every 90s", "@every 1m30s"), ("@every 1h", "@EVERY 60 minutes"),
        ("@every 1.5 hours", "@every 90m"), ("@every '10 minutes'", "@every 600s"),
        ("@every 1 day 2 hours", "@every 26h"), ("@every 1w", "@every 7 days"),
        ("@every 250ms", "@every 250000us"), ("@after 10 seconds", "@after 10s"),
        ("@at 2027-01-31 09:00Z", "@at 2027-01-31T09:00:00.000+00"),
        ("@at 2027-01-31 09:00 +0530", "@at 2027-01-31 03:30Z"),
        ("@at 2027-01-31 09:00-05:30", "@at 2027-1-31 14:30Z"),
        ("@at 2027-01-31 9:00", "@at 2027-01-31 09:00:00.0"),
    ])
    func same(_ left: String, _ right: String) throws {
        let (one, other) = (
            try Schedule(parsing: left, hashSeed: 3), try Schedule(parsing: right, hashSeed: 3)
        )
        #expect(one == other)
    }

    @Test(arguments: ["@manual", "@reboot", "@after 5m"]) func notByTheClock(_ text: String) throws
    {
        #expect(try fires(text, after: "2025-01-01T00:00Z", count: 1) == [])
    }

    @Test func runAtColumns() throws {
        #expect(
            try Schedule(minute: nil, hour: nil, day: nil, month: nil, dayOfWeek: nil)
                == Schedule(parsing: "* * * * *", hashSeed: 0))
        #expect(
            try Schedule(minute: 5, hour: 6, day: 7, month: 8, dayOfWeek: 7)
                == Schedule(parsing: "5 6 7 8 0", hashSeed: 0))
    }

    @Test(
        arguments: [
            ([60, nil, nil, nil, nil], "run_at_minute: 60 is not allowed; 0 to 59 are"),
            ([nil, -1, nil, nil, nil], "run_at_hour: -1 is not allowed; 0 to 23 are"),
            ([nil, nil, 32, nil, nil], "run_at_day: 32 is not allowed; 1 to 31 are"),
            ([nil, nil, nil, 0, nil], "run_at_month: 0 is not allowed; 1 to 12 are"),
            (
                [nil, nil, nil, nil, Int.max],
                "run_at_day_of_week: \(Int.max) is not allowed; 0 to 7 are"
            ),
            ([nil, nil, 30, 2, nil], "run_at_day: can never fire: February has no 30th"),
        ] as [([Int?], String)])
    func runAtRefusal(_ columns: [Int?], _ message: String) {
        let error = #expect(throws: ScheduleSyntaxError.self) {
            try Schedule(
                minute: columns[0], hour: columns[1], day: columns[2], month: columns[3],
                dayOfWeek: columns[4])
        }
        #expect(error?.message == message)
    }

    /// `H` is the same for a config for ever, and differs between configs.
    @Test func hashSpreads() throws {
        var counts: [Schedule: Int] = [:]
        for config: Int64 in 0..<6000 {
            let schedule = try Schedule(parsing: "H * * * *", hashSeed: config)
            #expect(try schedule == Schedule(parsing: "H * * * *", hashSeed: config))
            counts[schedule, default: 0] += 1
        }
        #expect(counts.count == 60)
        #expect(counts.values.allSatisfy { (60...140).contains($0) })
        let every15 = try fires("H/15 * * * *", after: "2025-01-01T00:00Z", count: 5, config: 9)
        let minutes = try every15.map { try WallInstant($0).microseconds / 60_000_000 }
        #expect(zip(minutes, minutes.dropFirst()).allSatisfy { $1 - $0 == 15 })
        for config: Int64 in 0..<200 {
            let fire = try #require(
                try fires(
                    "H(10-19) H(22-2) H H *", after: "2025-01-01T00:00Z", count: 1, config: config
                )
                .first)
            #expect(fire.dropFirst(14).first == "1", "minute 10 to 19")
            #expect(["22", "23", "00", "01", "02"].contains(fire.dropFirst(11).prefix(2)))
            #expect((1...28).contains(Int(fire.dropFirst(8).prefix(2)) ?? 0))
        }
    }

    @Test func sizes() {
        #expect(MemoryLayout<CronExpression>.size <= 64)
        #expect(MemoryLayout<FireRule>.stride <= 72)
    }
}

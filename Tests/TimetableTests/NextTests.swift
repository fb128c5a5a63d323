import TestSupport
import Testing

/// `carillon next` and `timetable.next_fires`: what the daemon will do.
struct NextTests {
    private func next(
        _ arguments: [String], _ environment: [String: String] = [:]
    ) async throws -> (lines: [String], said: String, end: ProgramEnd) {
        let result = try await runProgram(
            DaemonProcess.builtCarillon(), ["next"] + arguments,
            environment: ["TZ": "UTC"].merging(environment) { $1 }, limit: .seconds(30))
        return (result.stdout.split(separator: "\n").map(String.init), result.stderr, result.end)
    }

    private static let night = [
        "30 2 * * *", "--zone", "Europe/Berlin", "--after", "2026-03-28T00:00:00Z", "--count", "3",
    ]

    @Test func aGapInBerlin() async throws {
        let (lines, said, end) = try await next(Self.night + ["--utc"])
        #expect(lines == ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"])
        #expect(
            said == """
                at 02:30 every day, Europe/Berlin time
                on 29 March 2026 at 03:00, because 02:30 does not exist

                """)
        #expect(end == .exited(0))
        let local = [
            "2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00",
        ]
        #expect(try await next(Self.night).lines == local)
        #expect(
            try await next(Self.night + ["--on-gap", "skip"]).lines
                == [local[0], local[2], "2026-03-31T02:30:00+02:00"])
    }

    @Test(arguments: [
        // The zone's clock decides where a time names no offset.
        (["@hourly", "--after", "2026-07-01 12:00"], "2026-07-01T13:00:00-02:30"),
        (
            [
                "@every 90s", "--after", "2026-01-01T00:00Z", "--starts-at",
                "2026-07-01T00:00:00.5Z",
            ],
            "2026-06-30T21:30:00.500000-02:30"
        ),
        (["0 0 1 1 *", "--after", "1900-01-01T00:00Z"], "1900-01-01T03:30:52Z"),
        (
            ["30 1 1 11 *", "--after", "2026-10-31T00:00Z", "--on-repeat", "both"],
            "2026-11-01T01:30:00-02:30 2026-11-01T01:30:00-03:30"
        ),
        (["@at 9999-12-31 23:00"], "+ ends"),
    ])
    func times(arguments: [String], expected: String) async throws {
        let found = try await next(
            [
                "--zone", "America/St_Johns", "--count", "2", "--ends-at", "2027-01-01T00:00Z",
            ] + arguments)
        #expect(found.end == .exited(0))
        if expected == "+ ends" {
            #expect(found.lines.isEmpty)
            #expect(found.said.contains("never fires after that"))
        } else {
            #expect(found.lines.joined(separator: " ").hasPrefix(expected), "\(found)")
        }
    }

    @Test func theZoneOfTheHost() async throws {
        for zone in ["Asia/Kathmandu", ":Asia/Kathmandu"] {
            let found = try await next(
                ["@daily", "--after", "2026-01-01T00:00Z", "--count", "1"], ["TZ": zone])
            #expect(found.lines == ["2026-01-02T00:00:00+05:45"])
        }
    }

    @Test(arguments: [
        (["61 * * * *"], "minute, column 1: 61 is not allowed; 0 to 59 are"),
        (["0 0 30 2 *"], "can never fire: February has no 30th"),
        (["@evry 5m"], "@evry 5m is not allowed"),
        (["@daily", "--zone", "Europe/Nowhere"], "no time zone 'Europe/Nowhere'"),
        (["@daily", "--after", "tomorrow"], "--after: tomorrow is no time"),
        (["@daily", "--jitter", "much"], "--jitter: much is no duration"),
        (["@daily", "--count", "0"], "--count must be from 1 to 1000"),
        ([], "give a schedule, a config, or --name"),
        (["@daily", "--name", "a"], "give a schedule, a config, or --name"),
        (["nightly", "--zone", "UTC"], "nightly is no schedule"),
    ])
    func whatMakesNoSense(arguments: [String], reason: String) async throws {
        let found = try await next(arguments)
        #expect(found.said.contains(reason), "\(found.said)")
        #expect(found.end == .exited(64))
        #expect(found.lines.isEmpty)
    }

    @Test(arguments: ["@manual", "@reboot", "@after 5m"])
    func whatNoClockDecides(schedule: String) async throws {
        let found = try await next([schedule])
        #expect(found.lines.isEmpty)
        #expect(found.said.contains("\(schedule) fires"))
        #expect(found.said.contains("not by the clock"))
        #expect(found.end == .exited(0))
    }

    @Test func helpNamesItAll() async throws {
        let found = try await next(["--help"])
        #expect(found.end == .exited(0))
        let text = found.lines.joined(separator: "\n")
        for word in [
            "USAGE: carillon next [<options>] [<what>]", "Exit codes: 0", "--zone <zone>",
            "--after <time>", "--count <number>", "--utc", "--name <name>", "--dbname",
        ] {
            #expect(text.contains(word), "\(word) is missing in \(text)")
        }
    }

    /// The command, the function and the daemon's own log: three answers, one time.
    @Test func aConfigFiresAsTheDaemonSays() async throws {
        let served = try await Served.fresh("next")
        let name = try await served.psql("SELECT current_database()")
        try await served.psql("ALTER DATABASE \(name) SET TimeZone = 'America/New_York'")
        let configs = [
            ("nightly run", "schedule, time_zone", "'30 2 * * *', 'Europe/Berlin'"),
            ("by columns", "time_zone, run_at_hour, run_at_day", "'Asia/Kathmandu', 3, 29"),
            ("spread", "schedule, time_zone, jitter", "'H H * * *', 'Pacific/Apia', '3 hours'"),
            (
                "later", "schedule, time_zone, starts_at",
                "'@every 7h', 'UTC', '2100-01-01 00:00:01+00'"
            ),
        ]
        for (name, columns, values) in configs {
            let id = try await served.addConfig(
                name, [("SQL", "SELECT 1")], columns: columns, values: values)
            let said = try await next(
                ["--name", name, "--utc", "--count", "4"], served.database.environment)
            #expect(said.end == .exited(0) && said.lines.count == 4, "\(said)")
            let told = try await served.psql(
                """
                SELECT to_char(f AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
                FROM timetable.next_fires(\(id), 4) AS f
                """)
            #expect(
                said.lines.map { String($0.prefix(19)) }
                    == told.split(separator: "\n").map(String.init))
            try await served.daemon.waitForLine(
                containing: "scheduled config \(id), next fire \(said.lines[0].prefix(19))")
        }
        // The zone of a config without one is the database's, whatever a session has set.
        let id = try await served.addConfig(
            "no zone", [("SQL", "SELECT 1")], values: "'@daily'")
        let said = try await next(
            ["\(id)", "--count", "1"],
            served.database.environment.merging(["PGTZ": "Asia/Tokyo"]) { $1 })
        #expect(said.lines.first?.contains("T00:00:00-0") == true, "\(said)")
        let told = try await served.psql(
            """
            SET TimeZone = 'Asia/Tokyo';
            SELECT to_char(f AT TIME ZONE 'America/New_York', 'HH24:MI')
            FROM timetable.next_fires('no zone', 1) AS f
            """)
        #expect(told == "00:00")
    }

    @Test func timesWithoutAnEnd() async throws {
        let served = try await Served.fresh("next")
        let id = try await served.addConfig(
            "endless", [("SQL", "SELECT 1")],
            columns: "schedule, starts_at, ends_at, misfire_grace",
            values: "'@at 2100-01-01 00:00Z', '-infinity', 'infinity', '170000000 years'")
        try await served.daemon.waitForLine(
            containing: "scheduled config \(id), next fire 2100-01-01")
        #expect(
            try await served.psql("SELECT timetable.next_fires(\(id))")
                == "2100-01-01 00:00:00+00")
        try await served.psql(
            "UPDATE timetable.chain_execution_config SET starts_at = 'infinity', ends_at = NULL")
        try await served.daemon.waitForLine(
            containing: "scheduled config \(id), next fire never")
        #expect(try await served.psql("SELECT timetable.next_fires(\(id))") == "")
    }

    @Test func aConfigThatDoesNotFire() async throws {
        let served = try await Served.fresh("next")
        let environment = served.database.environment
        let cases = [
            ("by hand", "schedule", "'@manual'", "by hand) fires only when it is asked for"),
            ("at start", "schedule", "'@reboot'", "at start) fires once when a daemon"),
            ("over", "schedule", "'@at 2020-01-01 00:00Z'", "over) never fires after that"),
        ]
        for (name, columns, values, reason) in cases {
            _ = try await served.addConfig(
                name, [("SQL", "SELECT 1")], columns: columns, values: values)
            let said = try await next([name], environment)
            #expect(said.lines.isEmpty)
            #expect(said.said.contains(reason), "\(said.said)")
            #expect(said.end == .exited(0))
            let told = try await served.psql(
                "SELECT count(*) FROM timetable.next_fires('\(name)')")
            #expect(told == "0")
        }
        try await served.psql(
            """
            UPDATE timetable.chain_execution_config SET schedule = '@daily', live = false
            WHERE chain_name = 'over'
            """)
        #expect(try await next(["over"], environment).said.contains("is not live"))
        #expect(try await served.psql("SELECT timetable.next_fires('over')") == "")
        let unknown = try await next(["nowhere"], environment)
        #expect(unknown.end == .exited(64))
        #expect(unknown.said.contains("there is no config \"nowhere\""))
        let error = await #expect(throws: PsqlFailed.self) {
            try await served.psql("SELECT timetable.next_fires('nowhere')")
        }
        #expect(error?.stderr.contains("there is no config with the chain_name") == true)
    }

    @Test func aDatabaseThatIsNotThere() async throws {
        let database = try await PrivateCluster.database("next")
        let empty = try await next(["nightly"], database.environment)
        #expect(empty.end == .exited(6))
        #expect(empty.said.contains("no schema timetable"))
        let away = try await next(["nightly", "--host", "/nowhere"], database.environment)
        #expect(away.end == .exited(2))
    }
}

/// What `carillon next` says beside the times.
struct NextInWordsTests {
    @Test(arguments: [
        (["0 3 * * *", "--zone", "Europe/Berlin"], "at 03:00 every day, Europe/Berlin time\n"),
        (
            ["@at 2026-03-29 02:10", "--zone", "Europe/Berlin"],
            """
            once, on 29 March 2026 at 02:10
            on 29 March 2026 at 03:00, because 02:10 does not exist
            carillon: @at 2026-03-29 02:10 fires no more after that

            """
        ),
        // In the gap and at its end, merged: nothing is moved that was not to fire anyway.
        (
            ["0,30 2,3 * * *", "--zone", "Europe/Berlin"],
            "at 02:00, 02:30, 03:00 and 03:30 every day, Europe/Berlin time\n"
        ),
        // What follows real time is not moved.
        (["*/30 * * * *", "--zone", "Europe/Berlin"], "every 30 minutes, Europe/Berlin time\n"),
        (
            ["30 2 * * *", "--zone", "Europe/Berlin", "--jitter", "5m"],
            """
            at 02:30 every day, Europe/Berlin time
            on 29 March 2026 at 03:00, because 02:30 does not exist

            """
        ),
        // The clock of Havana goes from 23:59:59 on 8 March to 01:00: midnight is of the new day.
        (
            ["0 0 * * *", "--zone", "America/Havana", "--after", "2026-03-07T06:00Z"],
            """
            at 00:00 every day, America/Havana time
            on 8 March 2026 at 01:00, because 00:00 does not exist

            """
        ),
    ])
    func words(arguments: [String], expected: String) async throws {
        let after = arguments.contains("--after") ? [] : ["--after", "2026-03-28T23:00Z"]
        let result = try await runProgram(
            DaemonProcess.builtCarillon(), ["next", "--count", "2"] + after + arguments,
            environment: ["TZ": "UTC"], limit: .seconds(30))
        #expect(result.stderr == expected)
        #expect(result.end == .exited(0))
    }

    @Test func asJSON() async throws {
        let result = try await runProgram(
            DaemonProcess.builtCarillon(),
            [
                "next", "30 2 * * *", "--zone", "Europe/Berlin", "--after", "2026-03-28T00:00Z",
                "--count", "2", "--json",
            ],
            environment: [:], limit: .seconds(30))
        let words = #""in_words": "at 02:30 every day, Europe/Berlin time""#
        let berlin = #""name": null, \#(words), "zone": "Europe/Berlin""#
        #expect(
            result.stdout == """
                [{\(berlin), "fire": "2026-03-28T02:30:00+01:00", "missing_time": null},
                 {\(berlin), "fire": "2026-03-29T03:00:00+02:00", "missing_time": "02:30"}]

                """)
        #expect(result.stderr == "")
    }
}

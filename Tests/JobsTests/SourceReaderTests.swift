import Jobs
import Scheduling
import Testing
import Timing

/// What rows of other schedulers become, without a database.
struct SourceReaderTests {
    private static let server = SourceServer(
        database: "shop", host: "db.example.com", port: "5433", user: "agent", ours: "shop",
        zone: "GMT")

    private func row(_ json: String) throws -> JSON {
        try #require(JSON(json))
    }

    // MARK: pg_cron

    @Test(
        arguments: [
            ("*/7 1-5,22 * JAN mon-fri", "*/7 1-5,22 * JAN mon-fri"), ("0 0 $ * *", "0 0 L * *"),
            ("0 0 1,$ * 5", "0 0 1,L * 5"), ("30 seconds", "@every 30 seconds"),
            ("1 second", "@every 1 second"), (" 59  SECONDS ", "@every 59 seconds"),
            ("@daily", "@daily"), ("@reboot", "@reboot"), ("@restart", "@reboot"),
            ("0 0 * * 7", "0 0 * * 7"), ("0 seconds", nil), ("60 seconds", nil),
            ("5/10 * * * *", nil),
            ("* * * *", nil), ("", nil), ("1-$ * * * *", nil), ("0 0 1-$ * *", nil),
            ("@never", nil),
            ("0 0 30 2 *", nil), ("seconds", nil),
        ] as [(String, String?)])
    func schedulesOfPgCron(text: String, schedule: String?) throws {
        let found = PgCron(server: Self.server).read([
            try row(
                #"{"jobid": 7, "jobname": null, "command": "SELECT 1", "database": "shop", "#
                    + #""username": "alice", "active": true, "nodename": "localhost", "#
                    + "\"schedule\": \(JSON.text(text).rendered)}")
        ])
        #expect(found.jobs.configs.first?.columns["schedule"] == schedule)
        #expect(found.remarks.contains { $0.weight == .left } == (schedule == nil))
        guard let schedule, !schedule.hasPrefix("@every") else { return }
        #expect(found.jobs.configs[0].columns["overlap"] == "WAIT")
        #expect(found.jobs.configs[0].name == "pg_cron job 7")
        let zone = found.jobs.configs[0].columns["time_zone"]
        #expect(zone == (schedule == "@reboot" ? nil : "GMT"))
    }

    @Test(
        arguments: [
            ("localhost", "shop", "alice", nil),
            ("/run/postgresql", "shop", "alice", nil), ("", "shop", "alice", nil),
            (
                "localhost", "o'ther db", nil,
                #"host=db.example.com port=5433 dbname='o\'ther db' user=alice"#
            ),
            ("worker1", "shop", nil, "host=worker1 port=6000 dbname=shop user=alice"),
        ] as [(String, String, String?, String?)])
    func placesOfPgCron(
        node: String, database: String, runUID: String?, connection: String?
    ) throws {
        let found = PgCron(server: Self.server).read([
            try row(
                #"{"jobid": 7, "jobname": "a", "command": "SELECT 1", "schedule": "* * * * *", "#
                    + #""username": "alice", "active": false, "nodeport": 6000, "#
                    + "\"nodename\": \"\(node)\", \"database\": \"\(database)\"}")
        ])
        let element = try #require(found.jobs.chains.first?.elements.first)
        #expect(element.runUID == runUID)
        #expect(element.connection?.text == connection)
        #expect(found.jobs.configs[0].columns["live"] == "false")
    }

    @Test(arguments: [
        ("SELECT 1", false), ("-- a\n/* b */ (select 1)", false), ("delete from t", false),
        ("VACUUM", true), ("CALL p()", true), ("DO $$ BEGIN COMMIT; END $$", true),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", true), ("", true), ("/* open", true),
    ])
    func whatMayNeedNoTransaction(command: String, autonomous: Bool) throws {
        let found = PgCron(server: Self.server).read([
            try row(
                #"{"jobid": 7, "schedule": "* * * * *", "database": "shop", "#
                    + "\"username\": \"a\", \"command\": \(JSON.text(command).rendered)}")
        ])
        #expect(found.jobs.chains[0].elements[0].autonomous == autonomous)
    }

    // MARK: pg_timetable

    @Test(
        arguments: [
            ("\"0 0 13 * 5\"", "null", "0 0 13 * +5"), ("\"0 0 */2 * 5\"", "null", "0 0 */2 * 5"),
            ("\"0 0 13 * */2\"", "null", "0 0 13 * */2"), ("null", "null", "* * * * *"),
            ("\"@every 90 minutes\"", "5400000000", "@every 1 hour 30 minutes"),
            ("\"@after 00:00:10\"", "10000000", "@after 10 seconds"),
            ("\"@reboot\"", "null", "@reboot"),
            ("\"@every 1 ms\"", "1000", nil), ("\"0 0 31 2 1\"", "null", nil),
            ("\"nonsense\"", "null", nil),
        ] as [(String, String, String?)])
    func schedulesOfPgTimetable(runAt: String, interval: String, schedule: String?) throws {
        let clocks = ClockChanges(now: WallInstant(seconds: 1_800_000_000)) { _ in nil }
        let found = PgTimetable(server: Self.server, clocks: clocks).read(
            chains: [
                try row(
                    "{\"chain_id\": 1, \"chain_name\": \"c\", \"run_at\": \(runAt), "
                        + "\"interval_microseconds\": \(interval), \"live\": true}")
            ],
            tasks: [
                try row(
                    #"{"chain_id": 1, "task_id": 2, "kind": "BUILTIN", "command": "NoOp"}"#)
            ], parameters: [])
        #expect(found.jobs.configs.first?.columns["schedule"] == schedule)
        #expect(found.remarks.contains { $0.weight == .left } == (schedule == nil))
    }

    // MARK: pgAgent

    @Test(
        arguments: [
            ([], [], [], [], [], "* * * * *"), ([0, 30], [2, 3, 4], [], [], [], "0,30 2-4 * * *"),
            ([0], [0], [31], [], [], "0 0 L * *"), ([0], [0], [0, 31], [], [], "0 0 1 * *"),
            ([0], [0], [12], [], [5], "0 0 13 * +fri"),
            (
                [0], [0], [], [0, 11], [1, 2, 3, 4, 5],
                "0 0 * 1,12 mon-fri"
            ), (Array(0..<60), Array(0..<24), [], [], [], "* * * * *"),
            ([0], [0], Array(0..<31), [], [], "0 0 * * *"),
        ] as [([Int], [Int], [Int], [Int], [Int], String)])
    func schedulesOfPgAgent(
        minutes: [Int], hours: [Int], days: [Int], months: [Int], weekdays: [Int], schedule: String
    ) throws {
        func flags(_ chosen: [Int], _ size: Int) -> String {
            JSON.array((0..<size).map { .boolean(chosen.contains($0)) }).rendered
        }
        let clocks = ClockChanges(now: WallInstant(seconds: 1_800_000_000)) { _ in nil }
        let found = PgAgent(server: Self.server, clocks: clocks).read(
            jobs: [try row(#"{"jobid": 1, "jobname": "j", "jobenabled": true}"#)],
            steps: [
                try row(
                    #"{"jstjobid": 1, "jstname": "s", "jstenabled": true, "jstkind": "s", "#
                        + #""jstcode": "SELECT 1", "jstdbname": "shop", "jstonerror": "f"}"#)
            ],
            schedules: [
                try row(
                    #"{"jscjobid": 1, "jscid": 1, "jscname": "t", "jscenabled": true, "#
                        + #""jscstart": "2020-01-01T00:00:00+00:00", "jscend": null, "#
                        + "\"jscminutes\": \(flags(minutes, 60)), "
                        + "\"jschours\": \(flags(hours, 24)), "
                        + "\"jscmonthdays\": \(flags(days, 32)), "
                        + "\"jscmonths\": \(flags(months, 12)), "
                        + "\"jscweekdays\": \(flags(weekdays, 7))}")
            ], exceptions: [])
        #expect(found.jobs.configs.map { $0.columns["schedule"] } == [schedule])
        #expect(found.jobs.chains[0].elements[0].connection == nil)
    }

    @Test(
        arguments: [
            ("echo a", "/bin/sh"), ("#!/bin/bash\necho a", "/bin/bash"),
            ("#!/usr/bin/python3\nprint(1)", nil), ("#!/usr/bin/env bash\nx", nil),
        ] as [(String, String?)])
    func scriptsOfPgAgent(code: String, program: String?) throws {
        let clocks = ClockChanges(now: WallInstant(seconds: 1_800_000_000)) { _ in nil }
        let found = PgAgent(server: Self.server, clocks: clocks).read(
            jobs: [try row(#"{"jobid": 1, "jobname": "j", "jobenabled": true}"#)],
            steps: [
                try row(
                    #"{"jstjobid": 1, "jstname": "s", "jstenabled": true, "jstkind": "b", "#
                        + "\"jstonerror\": \"f\", \"jstcode\": \(JSON.text(code).rendered)}")
            ], schedules: [], exceptions: [])
        #expect(found.jobs.tasks["j"]?.script == program)
        guard program != nil else {
            #expect(found.remarks.contains { $0.text.contains("put it into a file") })
            return
        }
        let config = try #require(found.jobs.configs.first)
        #expect(config.parameters == [0: [.array([.text("-c"), .text(code)])]])
        #expect(config.columns["schedule"] == "@manual")
    }
}

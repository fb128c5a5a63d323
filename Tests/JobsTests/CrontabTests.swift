import Jobs
import Scheduling
import Testing
import Timing

/// What becomes of each line of a crontab. Authority: crontab(5) of Debian.
struct CrontabTests {
    struct Line: CustomTestStringConvertible {
        let text: String
        /// The schedule and the command's shell line, or what is said about it.
        let schedule: String?
        let outcome: String

        var testDescription: String { text }

        init(_ text: String, _ schedule: String, runs outcome: String) {
            (self.text, self.schedule, self.outcome) = (text, schedule, outcome)
        }

        init(_ text: String, left outcome: String) {
            (self.text, schedule, self.outcome) = (text, nil, outcome)
        }
    }

    static let lines = [
        Line("* * * * * a", "* * * * *", runs: "a"),
        Line("  0\t5  *\t* *   a  b ", "0 5 * * *", runs: "a  b"),
        Line("*/7 * * * * a", "*/7 * * * *", runs: "a"),
        Line("5-59/20 * * * * a", "5-59/20 * * * *", runs: "a"),
        Line("0 0 * * 7 a", "0 0 * * 7", runs: "a"),
        Line("0 0 * * 5-7 a", "0 0 * * 5-7", runs: "a"),
        Line("0 0 * JAN,Jul mon-Fri a", "0 0 * JAN,Jul mon-Fri", runs: "a"),
        Line("0 0 13 * 5 a", "0 0 13 * 5", runs: "a"),
        Line("0 0 1-7 * */7 a", "0 0 1-7 * */7", runs: "a"),
        Line("00 08 * * * a", "00 08 * * *", runs: "a"),
        Line("0,30 8-18/2 * * 1,3,5 a", "0,30 8-18/2 * * 1,3,5", runs: "a"),
        Line("*/90 * * * * a", "*/90 * * * *", runs: "a"),
        Line("0 0 29 2 * a", "0 0 29 2 *", runs: "a"),
        Line("@reboot a", "@reboot", runs: "a"),
        Line("@yearly a", "@yearly", runs: "a"),
        Line("@annually a", "@annually", runs: "a"),
        Line("@monthly a", "@monthly", runs: "a"),
        Line("@weekly a", "@weekly", runs: "a"),
        Line("@daily a", "@daily", runs: "a"),
        Line("@midnight a", "@midnight", runs: "a"),
        Line("@hourly\ta > /dev/null", "@hourly", runs: "a > /dev/null"),
        Line("* * * * * A=1 b", "* * * * *", runs: "A=1 b"),
        Line(#"* * * * * date +\%F"#, "* * * * *", runs: "date +%F"),
        Line("* * * * * cat%x", "* * * * *", runs: "{ cat\n} <<'END'\nx\nEND\n"),
        Line("* * * * * cat%a%b%", "* * * * *", runs: "{ cat\n} <<'END'\na\nb\nEND\n"),
        Line("* * * * * cat%END", "* * * * *", runs: "{ cat\n} <<'END_'\nEND\nEND_\n"),
        Line("* * * * * cat%", "* * * * *", runs: "{ cat\n} <<'END'\n\nEND\n"),
        Line("* * * * * * a", "* * * * *", runs: "* a"),
        Line("* * * * * # a", "* * * * *", runs: "# a"),
        Line("", left: ""),
        Line("   \t", left: ""),
        Line("# 0 0 * * * a", left: ""),
        Line("  # a", left: ""),
        Line("60 * * * * a", left: "minute: 60 is out of range"),
        Line("0 24 * * * a", left: "hour: 24 is out of range"),
        Line("0 0 0 * * a", left: "day: 0 is out of range"),
        Line("0 0 * 13 * a", left: "month: 13 is out of range"),
        Line("0 0 * * 8 a", left: "day of week: 8 is out of range"),
        Line("0 22-6 * * * a", left: "hour: 22-6 runs backwards"),
        Line("0 0 * * fri-sun a", left: "day of week: fri-sun runs backwards"),
        Line("5/20 * * * * a", left: "minute: 5/20 has a step but no range"),
        Line("*/0 * * * * a", left: "minute: */0 has no step that cron knows"),
        Line("*/x * * * * a", left: "minute: */x has no step that cron knows"),
        Line("1,,2 * * * * a", left: "minute: 1,,2 is nothing that cron knows"),
        Line("-5 * * * * a", left: "minute: -5 is nothing that cron knows"),
        Line("0 0 L * * a", left: "day: L is nothing that cron knows"),
        Line("H H * * * a", left: "minute: H is nothing that cron knows"),
        Line("0 0 * * monday a", left: "day of week: monday is nothing that cron knows"),
        Line("0~30 * * * * a", left: "minute: 0~30 is nothing that cron knows"),
        Line("0 0 30 2 * a", left: "February has no 30th"),
        Line("* * * * *", left: "there is no command"),
        Line("* * * *", left: "five times and a command are needed"),
        Line("@daily", left: "there is no command"),
        Line("@every 5m a", left: "@every is none of"),
        Line("@Daily a", left: "@Daily is none of"),
        Line("nonsense", left: "minute: nonsense is nothing that cron knows"),
        Line("\u{0} * * * * a", left: "is nothing that cron knows"),
        Line("é * * * * a", left: "minute: é is nothing that cron knows"),
        Line("99999999999999999999 * * * * a", left: "is nothing that cron knows"),
    ]

    @Test(arguments: lines)
    func eachLine(_ line: Line) throws {
        let found = Crontab(zone: "UTC", isSystem: false).read(line.text + "\n")
        guard let schedule = line.schedule else {
            #expect(found.jobs.chains.isEmpty)
            let said = found.remarks.map(\.line).joined(separator: "\n")
            #expect(said.isEmpty == line.outcome.isEmpty, "\(said)")
            #expect(line.outcome.isEmpty || said.contains(line.outcome), "\(said)")
            #expect(found.remarks.allSatisfy { $0.weight == .left && $0.place == "line 1" })
            return
        }
        let config = try #require(found.jobs.configs.first)
        #expect(config.columns["schedule"] == schedule)
        #expect(config.columns["time_zone"] == (schedule == "@reboot" ? nil : "UTC"))
        #expect(config.columns["live"] == "true")
        #expect(config.parameters == [0: [.array([.text("-c"), .text(line.outcome)])]])
        #expect(found.jobs.tasks.values.map(\.script) == ["/bin/sh"])
        // What we make of it can be scheduled.
        #expect(throws: Never.self) { try Schedule(parsing: schedule, hashSeed: 0) }
    }

    @Test(arguments: [
        ("A=b", "A", "b"), (" A = b c ", "A", "b c"), ("A='b '", "A", "b "), ("A=\"\"", "A", ""),
        ("\"A\"=b", "A", "b"), ("A=", "A", ""), ("A=b=c", "A", "b=c"), ("A='b", "A", "'b"),
    ])
    func variables(line: String, name: String, value: String) {
        #expect(
            CrontabLine(line, isSystem: false) == .variable(name: name, value: value))
    }

    @Test func variablesHoldForTheLinesBelow() throws {
        let found = Crontab(zone: "UTC", isSystem: false).read(
            """
            * * * * * first
            SHELL=/bin/bash
            PATH=/opt/it's/bin:/bin
            MAILTO=ops@example.com
            CRON_TZ=Asia/Tokyo
            TZ=Europe/Paris
            * * * * * second
            HOME=/srv
            MAILTO=""
            * * * * * third
            """)
        func command(_ name: String) -> String? {
            found.jobs.configs.first { $0.name == name }?.parameters[0]?[0].array?.last?.text
        }
        #expect(command("first") == "first")
        let path = "export PATH='/opt/it'\\''s/bin:/bin'\n"
        #expect(command("second") == path + "export TZ='Europe/Paris'\nsecond")
        #expect(
            command("third")
                == path
                + "export TZ='Europe/Paris'\nexport HOME='/srv'\ncd \"$HOME\" || exit\nthird")
        #expect(found.jobs.tasks["first"] == JobSet.BaseTask(.program, "/bin/sh"))
        #expect(found.jobs.tasks["third"] == JobSet.BaseTask(.program, "/bin/bash"))
        let zones = found.jobs.configs.map { $0.columns["time_zone"] }
        #expect(zones == ["UTC", "Asia/Tokyo", "Asia/Tokyo"])
        let said = found.remarks.map(\.line)
        #expect(said.count == 3)
        #expect(said[0].hasPrefix("line 4: output is not mailed to ops@example.com"))
        #expect(said[1].hasPrefix("line 5: the lines below it fire by the clock of Asia/Tokyo"))
        #expect(said[2].hasPrefix("line 6: TZ is for the commands below it"))
    }

    @Test func linesOfASystemNameTheirUsers() throws {
        let found = Crontab(zone: "UTC", isSystem: true).read(
            """
            17 * * * * root cd / && run-parts --report /etc/cron.hourly
            @daily www-data tidy
            0 0 * * * alone
            """)
        let users = found.jobs.chains.map { $0.elements[0].runUID }
        #expect(users == ["root", "www-data"])
        #expect(found.remarks.map(\.line).contains { $0.contains("daemon has to be root") })
        #expect(
            found.remarks.map(\.line).contains { $0.hasPrefix("line 3: cron would not run it: no") }
        )
    }

    @Test(arguments: [
        ("/usr/local/bin/backup.sh --full >/dev/null 2>&1", "backup.sh --full"),
        ("cd / && run-parts /etc/cron.daily", "cd / && run-parts /etc/cron.daily"),
        (">log a", ">log a"), ("/", "/"), ("a\tb", "a b"),
        (String(repeating: "x", count: 80), String(repeating: "x", count: 59) + "…"),
    ])
    func names(command: String, name: String) throws {
        let found = Crontab(zone: "UTC", isSystem: false).read("* * * * * \(command)")
        #expect(found.jobs.configs.map(\.name) == [name])
    }

    @Test func equalCommandsGetNumbers() {
        let found = Crontab(zone: "UTC", isSystem: false, prefix: "web: ").read(
            "0 1 * * * a\n0 2 * * * /bin/a\r\n0 3 * * * a >b")
        #expect(found.jobs.configs.map(\.name) == ["web: a", "web: a (2)", "web: a (3)"])
    }
}

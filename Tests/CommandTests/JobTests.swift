import Foundation
import TestSupport
import Testing

@Suite struct JobTests {
    @Test func addEditRemove() async throws {
        let served = try await Served.fresh("job")
        let database = served.database
        let added = try await carillon(
            database, "add", "nightly", "--schedule", "30 2 * * *", "--zone", "Europe/Berlin",
            "--sql", "SELECT 'one'", "--retries", "2", "--timeout", "10m")
        #expect(added.code == 0, "\(added)")
        #expect(
            added.lines.first
                == "nightly added (config 1): at 02:30 every day, Europe/Berlin time")
        #expect(added.lines.last?.hasPrefix("next: 20") == true)
        #expect(added.lines.last?.contains(" 02:30:00+0") == true)
        try await served.daemon.waitForLine(containing: "scheduled config 1, next fire 20")
        #expect(try await carillon(database, "run", "nightly", "-w").out.contains("one"))

        let again = try await carillon(
            database, "add", "nightly", "--schedule", "@daily", "--sql", "SELECT 2")
        #expect(again.code == 64 && again.err.contains("already; carillon edit changes it"))
        let edited = try await carillon(
            database, "edit", "nightly", "--schedule", "@every 90s", "--sql", "SELECT 'two'",
            "--no-live", "--json")
        #expect(edited.code == 0, "\(edited)")
        let object = try #require(try edited.objects().first)
        #expect(object["live"] as? Bool == false)
        #expect(object["in_words"] as? String == "every 90 seconds")
        #expect(
            try await served.psql(
                "SELECT retries, timeout, time_zone FROM timetable.chain_execution_config")
                == "2|00:10:00|Europe/Berlin")
        #expect(try await carillon(database, "run", "nightly", "-w").out.contains("two"))

        let removed = try await carillon(database, "remove", "nightly")
        #expect(removed.out == "nightly removed (config 1)\n", "\(removed)")
        #expect(try await served.psql("SELECT count(*) FROM timetable.task_chain") == "0")
        let gone = try await carillon(database, "edit", "nightly", "--live")
        #expect(gone.code == 64 && gone.err.contains("there is no config \"nightly\""))
        #expect(try await carillon(database, "remove", "nightly").code == 64)
    }

    @Test func aProgramWithArguments() async throws {
        let served = try await Served.fresh("job")
        let database = served.database
        let added = try await carillon(
            database, "add", "echo", "--schedule", "@manual", "--program", "/bin/echo", "--",
            "--not", "an option", "$x")
        #expect(added.code == 0 && added.lines.last == "next: by request", "\(added)")
        let said = try await carillon(database, "run", "echo", "-w")
        #expect(said.out == "--not an option $x\n", "\(said)")
        let file = try makeTemporaryFolder("carillon-sql") + "/script.sql"
        try "SELECT 'from a file';".write(toFile: file, atomically: true, encoding: .utf8)
        let script = try await carillon(
            database, "add", "file", "--schedule", "@manual", "--sql-file", file)
        #expect(script.code == 0, "\(script)")
        #expect(try await carillon(database, "run", "file", "-w").out.contains("from a file"))
    }

    /// A name that looks like an id is not taken for that of the job just made.
    @Test func namesThatAreNumbers() async throws {
        let database = try await Served.fresh("job").database
        for (name, id) in [("2", 1), ("other", 2)] {
            let added = try await carillon(
                database, "add", name, "--schedule", "@manual", "--sql", "SELECT 1")
            #expect(
                added.lines.first?.hasPrefix("\(name) added (config \(id))") == true, "\(added)")
        }
        let edited = try await carillon(database, "edit", "1", "--schedule", "@daily")
        #expect(edited.lines.first?.hasPrefix("2 changed (config 1)") == true, "\(edited)")
    }

    @Test func pauseAndResume() async throws {
        let served = try await Served.fresh("job")
        let database = served.database
        _ = try await carillon(
            database, "add", "often", "--schedule", "@every 1h", "--sql", "SELECT 1")
        let paused = try await carillon(database, "pause", "often", "--note", "moving house")
        #expect(paused.code == 0, "\(paused)")
        #expect(paused.out == "often paused (config 1): every hour\nnext: paused\n", "\(paused)")
        let shown = try await carillon(database, "list", "often", "--json").objects()
        #expect(shown.first?["pause_note"] as? String == "moving house")
        #expect(shown.first?["paused_until"] as? String == "infinity")
        let listed = try await carillon(database, "list", "often")
        #expect(listed.err == "often is paused until it is resumed: moving house\n", "\(listed)")
        let resumed = try await carillon(database, "resume", "often")
        #expect(resumed.lines.last?.hasPrefix("next: 20") == true, "\(resumed)")
        let twice = try await carillon(database, "resume", "often")
        #expect(twice.code == 1 && twice.err == "carillon: often is not paused\n")
        let until = try await carillon(database, "pause", "often", "--until", "2999-01-01 00:00Z")
        #expect(until.lines.last == "next: 2999-01-01 00:00:00+00:00", "\(until)")
        #expect(try await carillon(database, "pause", "often", "--until", "2h").code == 0)
        #expect(try await carillon(database, "pause", "often", "--until", "tomorrow").code == 0)
        let morning = try await carillon(database, "pause", "often", "--until", "tomorrow 8:00")
        #expect(morning.lines.first?.contains(" 08:00:00+00:00 (config 1)") == true, "\(morning)")
    }

    @Test(arguments: [
        (["add", "x"], "say what it runs: --sql, --sql-file"),
        (["add", "x", "--sql", "SELECT 1"], "say when it runs: --schedule '30 2 * * *'"),
        (["add", "x", "--sql", "SELECT 1", "--schedule", "61 * * * *"], "minute, column 1: 61"),
        (
            ["add", "x", "--sql", "SELECT 1", "--schedule", "@daily", "--zone", "Mars/North"],
            "Mars"
        ),
        (["add", "x", "--sql", "a", "--program", "b"], "give one of --sql"),
        (
            ["add", "x", "--schedule", "@daily", "--sql-file", "/nowhere"],
            "--sql-file: /nowhere can't be read: No such file or directory\n"
        ),
        (
            ["add", " ", "--schedule", "@daily", "--sql", "SELECT 1"], "a job needs a name"
        ),
        (["next", "*/5 * * *"], "nor is that a schedule: 4 fields are not allowed; 5 are"),
        (
            ["next", "*/5 * * *", "--host", "/nowhere"],
            "\"*/5 * * *\" is no schedule: 4 fields are not allowed"
        ),
        (["edit", "x"], "say what to change"), (["lst"], "did you mean carillon list?"),
        (["delete", "x"], "did you mean carillon remove?"),
        (["frobnicate", "--json"], "there is no command \"frobnicate\"; carillon --help lists"),
        (
            ["add", "x", "--sql", "SELECT 1", "--schedule", "@daily", "--overlap", "maybe"],
            "one of 'skip' and 'wait'"
        ),
        (
            ["add", "x", "--sql", "a", "--schedule", "@daily", "--jitter", "much"],
            "--jitter: invalid input syntax for type interval"
        ),
        (
            ["add", "x", "--sql", "a", "--schedule", "@daily", "--on-failure", "y"],
            "--on-failure: there is no config"
        ),
        (["pause", "nobody"], "there is no config"), (["resume", "nobody"], "there is no config"),
        (["remove", "nobody"], "there is no config"),
    ])
    func whatCanNotBe(arguments: [String], reason: String) async throws {
        let served = try await Served.fresh("job")
        let result = try await runProgram(
            DaemonProcess.builtCarillon(), arguments, environment: served.database.environment)
        #expect(result.stderr.contains(reason), "\(result.stderr)")
        #expect(result.end == .exited(64))
        #expect(result.stdout == "")
        let left = "SELECT count(*) FROM timetable.chain_execution_config"
        #expect(try await served.psql(left) == "0")
        let tasks = "SELECT count(*) FROM timetable.base_task WHERE kind <> 'BUILTIN'"
        #expect(try await served.psql(tasks) == "0")
    }
}

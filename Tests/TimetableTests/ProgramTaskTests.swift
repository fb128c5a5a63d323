import TestSupport
import Testing

struct ProgramTaskTests {
    @Test(arguments: [
        ("/bin/false", "NULL", "program '/bin/false' exited with code 1", "1"),
        ("/bin/sh", #"'[["-c", "exit 3"]]'"#, "program '/bin/sh' exited with code 3", "3"),
        ("/bin/sh", #"'[["-c", "kill -9 $$"]]'"#, "was ended by signal 9", "137"),
        ("/usr/bin/no-such-program", "NULL", "no shell is used", "127"),
        ("/etc/passwd", "NULL", "may not be run", "127"),
        ("/bin/echo", #"'[{"a": 1}]'"#, "must be a JSON array of its arguments", "1"),
        ("/bin/echo", #"'[[null]]'"#, "an argument of a program can't be null", "1"),
    ])
    func aFailureIsRecordedWithItsReason(
        program: String, parameters: String, reason: String, code: String
    ) async throws {
        let served = try await Served.fresh("program")
        let config = try await served.addConfig("failing", [("SHELL", program)])
        let end = try await served.run(config, parameters)
        #expect(end.hasPrefix("CHAIN_FAILED|"))
        #expect(end.contains(reason))
        try await served.waitFor(code, "SELECT returncode FROM timetable.execution_log")
        let error = try await served.psql("SELECT error FROM timetable.execution_log")
        #expect(error.contains(reason))
    }

    @Test func outputAndErrorAreKept() async throws {
        let served = try await Served.fresh("program")
        let config = try await served.addConfig("speaking", [("SHELL", "/bin/sh")])
        let parameters = #"'[["-c", "echo out; echo oops >&2"]]'"#
        #expect(try await served.run(config, parameters) == "CHAIN_DONE||")
        try await served.waitFor(
            "out\n|oops\n", "SELECT output || '|' || error FROM timetable.execution_log")
    }

    /// Like cron(8): the home, and an environment with what is needed and no secrets.
    @Test func environmentAndFolderAreThoseOfCron() async throws {
        let database = try await PrivateCluster.database("program")
        var environment = database.environment
        environment["PGPASSWORD"] = "secret"
        environment["HOME"] = "/usr/share"
        environment["USER"] = "me"
        environment["LD_LIBRARY_PATH"] = "/nonexistent"
        let daemon = try DaemonProcess(
            ["serve", "--name", "a worker", "-v"], environment: environment, notify: true)
        try await daemon.waitForNotify("READY=1")
        let served = Served(database: database, daemon: daemon)
        let config = try await served.addConfig("speaking", [("SHELL", "/bin/sh")])
        let parameters = #"'[["-c", "env -u PWD -u OLDPWD -u _ -u SHLVL; pwd"]]'"#
        #expect(try await served.run(config, parameters) == "CHAIN_DONE||")
        try await served.waitFor("1", "SELECT count(*) FROM timetable.execution_log")
        let lines = try await served.psql("SELECT output FROM timetable.execution_log")
            .split(separator: "\n").map(String.init)
        for line in [
            "HOME=/usr/share", "USER=me", "TIMETABLE_CHAIN=1", "TIMETABLE_CONFIG=1",
            "TIMETABLE_RUN=1", "TIMETABLE_TASK=speaking 0", "TIMETABLE_CLIENT_NAME=a worker",
        ] { #expect(lines.contains(line), "\(lines)") }
        #expect(lines.last == "/usr/share")
        let allowed = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"]
        for line in lines.dropLast() {
            let name = String(line.prefix { $0 != "=" })
            #expect(
                allowed.contains(name) || name.hasPrefix("LC_") || name.hasPrefix("TIMETABLE_"),
                "\(line)")
        }
    }

    @Test func aHomeThatIsNotThereIsTheRoot() async throws {
        let database = try await PrivateCluster.database("program")
        var environment = database.environment
        environment["HOME"] = "/nonexistent"
        let daemon = try DaemonProcess(
            ["serve", "--name", "w"], environment: environment, notify: true)
        try await daemon.waitForNotify("READY=1")
        let served = Served(database: database, daemon: daemon)
        let config = try await served.addConfig("where", [("SHELL", "/bin/pwd")])
        #expect(try await served.run(config) == "CHAIN_DONE||")
        try await served.waitFor("/\n", "SELECT output FROM timetable.execution_log")
    }

    @Test func noProgramsMeansNone() async throws {
        let served = try await Served.fresh("program", ["--no-programs"])
        let config = try await served.addConfig("date", [("SHELL", "/bin/date")])
        #expect(try await served.run(config).contains("--no-programs"))
    }

    @Test(arguments: [
        ("NoOp", "NULL", "CHAIN_DONE||"), ("Sleep", "'[0.01]'", "CHAIN_DONE||"),
        ("Log", #"'[{"said": "this"}]'"#, "CHAIN_DONE||"),
    ])
    func theBuiltInsWork(name: String, parameters: String, end: String) async throws {
        let served = try await Served.fresh("builtin")
        let config = try await served.addConfig("built-in", [("BUILTIN", name)])
        #expect(try await served.run(config, parameters) == end)
        if name == "Log" {
            try await served.waitFor(
                #"{"said": "this"}"#,
                "SELECT message FROM timetable.log WHERE log_level = 'USER'")
        }
    }

    @Test(arguments: [
        ("Sleep", "NULL", "must be a number of seconds"),
        ("Sleep", "'[-1]'", "must be a number of seconds"),
        ("Nothing", "NULL", "there is no built-in 'Nothing'"),
    ])
    func aBuiltInSaysWhatIsWrong(name: String, parameters: String, reason: String) async throws {
        let served = try await Served.fresh("builtin")
        let config = try await served.addConfig("built-in", [("BUILTIN", name)])
        #expect(try await served.run(config, parameters).contains(reason))
    }
}

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

    @Test func outputErrorAndEnvironmentAreKept() async throws {
        let served = try await Served.fresh("program")
        let config = try await served.addConfig("speaking", [("SHELL", "/bin/sh")])
        let script =
            "echo $TIMETABLE_CONFIG $TIMETABLE_RUN $TIMETABLE_CLIENT_NAME; env | grep -c ^PG; "
            + "echo oops >&2"
        #expect(try await served.run(config, "'[[\"-c\", \"\(script)\"]]'") == "CHAIN_DONE||")
        try await served.waitFor(
            "1 1 worker001\n0\n|oops\n",
            "SELECT output || '|' || error FROM timetable.execution_log")
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

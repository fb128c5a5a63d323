import Foundation
import Glibc
import Programs
import Reactor
import TestSupport
import Testing

@Suite(.serialized) struct SpawnTests {
    @Test func outputAndErrorAreApart() async throws {
        let done = try await completeShell("echo out; echo err >&2; printf end")
        #expect(done.ending == .exited(code: 0))
        #expect(done.output.text == "out\nend")
        #expect(done.error.text == "err\n")
    }

    @Test(arguments: [0, 1, 3, 126, 127, 255] as [Int32]) func theExitCodeIsKept(
        code: Int32
    ) async throws {
        #expect(try await completeShell("exit \(code)").ending == .exited(code: code))
    }

    @Test(arguments: [SIGTERM, SIGKILL, SIGABRT, SIGHUP]) func theSignalIsKept(
        signal: Int32
    ) async throws {
        #expect(try await completeShell("kill -\(signal) $$").ending == .signalled(signal))
    }

    @Test func argumentsArriveAsTheyAre() async throws {
        let nasty = [
            "", " ", "a b", "$HOME", "$(id)", "`id`", "; id", "'\"\\", "a\nb\r\n", "ü\n*", "-x", "",
        ]
        let done = try await complete("/usr/bin/printf", ["<%s>"] + nasty)
        #expect(done.output.text == nasty.map { "<\($0)>" }.joined())
    }

    /// The kernel takes 128 KiB each, execve(2).
    @Test func longArgumentsArriveWhole() async throws {
        let long = String(repeating: "ü", count: 50_000)
        let done = try await complete(
            "/usr/bin/printf", ["<%s>", long, long], limit: 1_000_000)
        #expect(done.output.text == "<\(long)><\(long)>")
    }

    @Test func theEnvironmentIsExactlyWhatIsGiven() async throws {
        #expect(try await complete("/usr/bin/env").output.text == "")
        let done = try await complete("/usr/bin/env", environment: ["B=2", "A=x=y z", "C="])
        #expect(done.output.text == "B=2\nA=x=y z\nC=\n")
    }

    @Test func aNameIsLookedUpInThePath() async throws {
        #expect(try await complete("printf", ["found"]).output.text == "found")
    }

    @Test func standardInputIsEmptyAndNothingElseIsInherited() async throws {
        // Not close-on-exec, as a careless library leaves it.
        let stray = unsafe open("/etc/passwd", O_RDONLY)
        defer { close(stray) }
        let input = try await completeShell("cat; readlink /proc/self/fd/0")
        #expect(input.output.text == "/dev/null\n")
        // 3 is the folder that ls(1) itself reads.
        #expect(try await complete("/bin/ls", ["/proc/self/fd"]).output.text == "0\n1\n2\n3\n")
    }

    @Test func itLeadsAProcessGroupOfItsOwn() async throws {
        let done = try await completeShell("echo $$; cut -d' ' -f5 /proc/$$/stat")
        let numbers = done.output.text.split(separator: "\n")
        #expect(numbers.count == 2 && numbers[0] == numbers[1])
    }

    @Test func neitherBlockedNorIgnoredSignalsAreInherited() async throws {
        let done = try await onTestLoop {
            Signals.block([SIGUSR1, SIGTERM, SIGCHLD])
            signal(SIGPIPE, SIG_IGN)
            return try await Program.start(
                Invocation(
                    program: "/bin/grep", arguments: ["-E", "^Sig(Blk|Ign)", "/proc/self/status"])
            ).completion()
        }
        for line in done.output.text.split(separator: "\n") {
            let mask = try #require(line.split(separator: "\t").last.flatMap { Int($0, radix: 16) })
            // 32 and 33 belong to the C library, whose posix_spawn(3) ignores them.
            #expect(mask & 0x7FFF_FFFF == 0, "\(line)")
        }
    }

    struct Refused: Sendable, CustomTestStringConvertible {
        var program: String
        var mode: UInt16?
        var content = ""
        var arguments: [String] = []
        var says: String

        var testDescription: String { says }
    }

    @Test(arguments: [
        Refused(program: "missing", says: "does not exist"),
        Refused(program: "", says: "does not exist"),
        Refused(program: "/", says: "may not be run"),
        Refused(program: "plain", mode: 0o644, content: "#!/bin/sh\n", says: "may not be run"),
        Refused(program: "bare", mode: 0o755, content: "echo hello\n", says: "#!/bin/sh"),
        Refused(program: "empty", mode: 0o755, says: "#!/bin/sh"),
        Refused(
            program: "orphan", mode: 0o755, content: "#!/nonexistent/shell\n",
            says: "(or its interpreter)"),
        Refused(
            program: "/bin/echo", arguments: [String(repeating: "x", count: 4_000_000)],
            says: "too long"),
        Refused(program: "/bin/echo", arguments: ["a\0b"], says: "NUL"),
        Refused(program: "/bin/true\0", says: "NUL"),
    ]) func whatCannotBeStartedSaysWhy(_ row: Refused) async throws {
        let folder = try makeTemporaryFolder("carillon-spawn")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var path = row.program
        if let first = path.first, first != "/" { path = "\(folder)/\(path)" }
        if let mode = row.mode {
            // By a process of its own: a child that another test starts while we write would hold
            // the file open, and its execution would fail with ETXTBSY.
            _ = try await runProgram(
                "/bin/sh",
                ["-c", "cat >\"$1\" && chmod \"$2\" \"$1\"", "sh", path, String(mode, radix: 8)],
                stdin: row.content)
        }
        let invocation = Invocation(program: path, arguments: row.arguments)
        let error = await #expect(throws: SpawnError.self) {
            try await onTestLoop { _ = try Program.start(invocation) }
        }
        #expect(error?.description.contains(row.says) == true, "\(String(describing: error))")
    }

    @Test func refusalsLeaveNoDescriptorOpen() async throws {
        let before = try openDescriptors()
        try await onTestLoop {
            for _ in 0..<500 {
                #expect(throws: SpawnError.self) {
                    _ = try Program.start(Invocation(program: "/nonexistent/program"))
                }
            }
        }
        // Other tests of the process open some at the same time.
        #expect(try openDescriptors() < before + 200)
    }
}

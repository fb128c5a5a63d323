import TestSupport
import Testing

@Suite struct RunProgramTests {
    @Test func outputErrorsAndExitCodeComeBackApart() throws {
        let result = try runProgram("sh", ["-c", "cat; echo bad >&2; exit 3"], stdin: "good")
        #expect(result.end == .exited(3))
        #expect(result.stdout == "good")
        #expect(result.stderr == "bad\n")
    }

    @Test func aSignalIsNotAnExitCode() throws {
        #expect(try runProgram("sh", ["-c", "kill -9 $$"]).end == .signalled(9))
    }

    @Test func moreThanAPipeHoldsGoesInAndOut() throws {
        let text = String(repeating: "0123456789abcde\n", count: 40_000)
        #expect(try runProgram("cat", stdin: text).stdout == text)
    }

    @Test func aProgramThatDoesNotReadItsInputIsNoError() throws {
        let text = String(repeating: "x", count: 1_000_000)
        #expect(try runProgram("true", stdin: text).end == .exited(0))
    }

    @Test func anUnknownProgramCannotBeStarted() {
        #expect(throws: CallFailed.self) { try runProgram("/nonexistent/program") }
    }

    @Test func aProgramStillRunningAtTheLimitIsKilledAndSaysWhatItWrote() throws {
        let error = #expect(throws: ProgramTimedOut.self) {
            try runProgram("sh", ["-c", "echo here; sleep 60"], limit: .milliseconds(300))
        }
        #expect(error?.stdout == "here\n")
    }

    @Test func aChildThatLivesOnDoesNotHoldTheResult() throws {
        let began = ContinuousClock.now
        let result = try runProgram("sh", ["-c", "sleep 5 & echo done"])
        #expect(result.stdout == "done\n")
        #expect(ContinuousClock.now - began < .seconds(4))
    }

    @Test func manyRunAtOnceWithoutMixingTheirPipes() async throws {
        try await withThrowingTaskGroup(of: (Int, String).self) { group in
            for number in 0..<40 {
                group.addTask {
                    (number, try await runProgram("cat", stdin: "number \(number)").stdout)
                }
            }
            for try await (number, output) in group { #expect(output == "number \(number)") }
        }
    }

    @Test func theVariablesOfTheServiceManagerAndOfPostgresAreOurs() throws {
        let result = try runProgram("env", environment: ["PGHOST": "only"])
        let lines = result.stdout.split(separator: "\n")
        #expect(lines.filter { $0.hasPrefix("PG") } == ["PGHOST=only"])
        #expect(lines.contains { $0.hasPrefix("PATH=") })
    }
}

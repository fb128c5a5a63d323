import TestSupport
import Testing

@Suite struct RunProgramTests {
    @Test func outputErrorsAndExitCodeComeBackApart() throws {
        let result = try runProgram("sh", ["-c", "cat; echo bad >&2; exit 3"], stdin: "good")
        #expect(result.end == .exited(3))
        #expect(result.stdout == "good")
        #expect(result.stderr == "bad\n")
    }
}

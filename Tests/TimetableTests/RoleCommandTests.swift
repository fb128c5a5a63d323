import TestSupport
import Testing

struct RoleCommandTests {
    /// Each command asks for no more than its role has.
    @Test func theCommandLineWorksForEachRole() async throws {
        let stage = try await RoleStage.made()
        let asOperator = [
            ["run", "nightly", "--wait"], ["list"], ["runs"], ["show", "1"], ["log"],
            ["pause", "nightly"], ["resume", "nightly"], ["next", "nightly"],
        ]
        let asAuthor = [
            ["run", "mine", "--wait"], ["list"], ["runs"], ["pause", "mine"], ["resume", "mine"],
            ["next", "mine"], ["remove", "copy"],
        ]
        for (who, commands) in [("operator", asOperator), ("author", asAuthor)] {
            for command in commands {
                let result = try await runProgram(
                    DaemonProcess.builtCarillon(), command + ["--user", stage.login(who)],
                    environment: stage.database.environment)
                #expect(
                    result.end == .exited(0),
                    "\(who): \(command): \(result.stdout)\(result.stderr)")
            }
        }
    }
}

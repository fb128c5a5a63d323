import TestSupport
import Testing

/// NOTIFY knows no rights.
struct RoleNotifyTests {
    /// Any role of the cluster may NOTIFY: it is turned off where roles are to mean something.
    @Test func aRawNotificationRunsNothingWhereItIsTurnedOff() async throws {
        let stage = try await RoleStage.made()
        try await stage.psql("stranger", "NOTIFY timetable_run, 'nightly'")
        try await stage.psql("stranger", "NOTIFY timetable_cancel, '1'")
        try await stage.psql("stranger", "NOTIFY timetable_config, 'chain_execution_config X all'")
        // Whatever was to come of it comes before this.
        #expect(try await stage.served.run(1) == "CHAIN_DONE||")
        #expect(try await stage.served.psql("SELECT count(*) FROM timetable.run_status") == "1")
    }
}

import TestSupport
import Testing

/// The server goes away, comes back, and changes its place.
struct ServerTests {
    /// The longest back-off with its jitter, and a start of everything anew.
    private static let patience: Duration = .seconds(12)

    @Test(arguments: [
        (PrivateCluster.StopMode.fast, 0), (.immediate, 0),
        (.immediate, FaultForm.either(5, 60)),
    ])
    func theServerIsStoppedAndComesBack(mode: PrivateCluster.StopMode, away: Int) async throws {
        let cluster = try await onOwnThread { try PrivateCluster() }
        let served = try await Served.on(cluster.createDatabase("away"))
        var scenario = try await Scenario(served.database)
        try await scenario.addMixture(by: served)
        try await scenario.recovery(10)
        try await onOwnThread { try cluster.stop(mode) }
        try await served.daemon.waitForLine(containing: "connection to the database lost")
        // How long it is away is the fault itself, not a wait for something.
        try await Task.sleep(for: .seconds(away))
        #expect(served.daemon.end == nil)
        try await onOwnThread { try cluster.start() }
        let recovery = try await scenario.recovery(1, "after a \(mode) stop of \(away) s")
        print("recovered \(recovery) after the server was back from \(away) s (\(mode))")
        #expect(recovery < Self.patience)
        try await scenario.audit([served.daemon])
    }

    /// The primary dies, and its standby is promoted: everything that was committed is there.
    @Test func aStandbyIsPromoted() async throws {
        let primary = try await onOwnThread { try PrivateCluster() }
        let database = try await primary.createDatabase("promoted")
        let standby = try await onOwnThread { try PrivateCluster(standbyOf: primary) }
        try await eventually("the standby streams") {
            try await database.psql("SELECT count(*) FROM pg_stat_replication") == "1"
        }
        // Else what the primary alone had committed would be lost with it, as it is everywhere.
        try await database.psql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        try await database.psql("SELECT pg_reload_conf()")
        let served = try await Served.on(
            database,
            environment: [
                "PGHOST": "\(primary.folder),\(standby.folder)", "PGPORT": "5432,5432",
                "PGTARGETSESSIONATTRS": "read-write",
            ])
        var scenario = try await Scenario(database)
        try await scenario.addMixture(by: served)
        try await scenario.recovery(10)
        try await onOwnThread { try primary.stop(.immediate) }
        try await served.daemon.waitForLine(containing: "connection to the database lost")

        let promoted = TestDatabase(cluster: standby, name: database.name)
        try await promoted.psql("ALTER SYSTEM SET synchronous_standby_names = ''")
        #expect(try await promoted.psql("SELECT pg_promote()") == "t")
        try await promoted.psql("SELECT pg_reload_conf()")
        let after = scenario.moved(to: promoted)
        let recovery = try await after.recovery(1, "on the promoted standby")
        print("recovered \(recovery) after the standby was promoted")
        #expect(recovery < Self.patience)
        try await after.audit([served.daemon])
    }
}

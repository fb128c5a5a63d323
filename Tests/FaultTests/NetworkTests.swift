import Foundation
import TestSupport
import Testing

struct NetworkTests {
    /// Packets vanish: nobody says that a connection has ended. Each call ends by its own deadline,
    /// the daemon comes back by itself, and what was under way is accounted for.
    @Test(
        .enabled(if: FaultForm.mayUnshare, FaultForm.needsNamespaces),
        arguments: FaultForm.either([25], [3, 25, 90]))
    func packetsAreLostWithoutAWord(seconds: Int) async throws {
        let network = try await Network()
        let folder = try makeTemporaryFolder("carillon-network")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder)
        try Data(
            """
            local all all trust
            host all all \(Network.clientAddress)/32 trust

            """.utf8
        ).write(to: URL(fileURLWithPath: "\(folder)/hba"))
        let wrapper = try FaultForm.wrapper(folder, "exec \(network.serverEntrance) \"$@\"")
        let cluster = try await onOwnThread {
            try PrivateCluster(
                settings: [
                    "listen_addresses=\(Network.serverAddress)", "hba_file=\(folder)/hba",
                ], wrapper: wrapper)
        }
        let database = try await cluster.createDatabase("network")
        let daemon = try DaemonProcess(
            network.clientEntrance + [DaemonProcess.builtCarillon(), "serve", "-v"]
                + ["--name", "worker001"],
            environment: database.environment.merging(["PGHOST": Network.serverAddress]) { $1 },
            notify: true, program: "nsenter")
        try await daemon.waitForNotify("READY=1")
        let served = Served(database: database, daemon: daemon)
        var scenario = try await Scenario(database)
        try await scenario.addMixture(by: served)
        let slow = try await served.addConfig(
            "slow", [Scenario.writeEffect, ("SQL", "SELECT pg_sleep(600)")])
        try await scenario.recovery(10)
        let request = try await served.psql("SELECT timetable.run(\(slow))")
        try await served.waitFor(
            "1", "SELECT count(*) FROM timetable.run_status WHERE run_request = \(request)")

        let lost = ContinuousClock.now
        try await network.setForwarding(false)
        if seconds > 20 {
            try await daemon.waitForLine(containing: "connection to the database lost")
            print("the loss was found \(ContinuousClock.now - lost) after it began")
        }
        try await Task.sleep(until: lost + .seconds(seconds), clock: .continuous)
        try await network.setForwarding(true)
        let recovery = try await scenario.recovery(1, "after \(seconds) s without packets")
        print("recovered \(recovery) after packets were lost for \(seconds) s")
        #expect(recovery < .seconds(15))
        if seconds > 20 {
            // Its session was lost too, on both sides.
            #expect(try await served.end(ofRequest: request).hasPrefix("CHAIN_FAILED|"))
        } else {
            try await served.psql(
                """
                SELECT timetable.cancel(run_status) FROM timetable.run_status
                WHERE run_request = \(request)
                """)
            #expect(try await served.end(ofRequest: request).hasPrefix("CANCELLED|"))
        }
        try await scenario.audit([daemon])
    }

    /// Connections that live as far as the kernel knows, and say nothing: the daemon's deadlines
    /// alone find out.
    @Test(.enabled(if: FaultForm.isLong, "takes a minute: make soak runs it"))
    func aServerThatSaysNothingIsLeft() async throws {
        let database = try await PrivateCluster.database("silent")
        let proxy = try WireProxy(for: database.cluster)
        defer { proxy.end() }
        let served = try await Served.on(database, environment: ["PGHOST": proxy.folder])
        var scenario = try await Scenario(database)
        try await scenario.addMixture(by: served)
        try await scenario.recovery(10)
        // What is answered in the silence is heard after it.
        scenario.slack = .seconds(60)
        let silent = ContinuousClock.now
        proxy.setSilent(true)
        try await served.daemon.waitForLine(
            containing: "connection to the database lost", within: .seconds(45))
        print("the silence was found \(ContinuousClock.now - silent) after it began")
        try await served.daemon.waitForLine(
            containing: "did not answer within", within: .seconds(30))
        proxy.setSilent(false)
        let recovery = try await scenario.recovery(1, "after a silent server")
        print("recovered \(recovery) after the silence")
        #expect(recovery < .seconds(15))
        try await scenario.audit([served.daemon])
    }
}

import Foundation
import TestSupport
import Testing

/// The file of settings, and what the service manager hears.
struct SettingsTests {
    /// A daemon with a file of settings, which goes with the folder.
    private func serve(
        _ lines: String, _ arguments: [String] = [], environment: [String: String] = [:]
    ) async throws -> (served: Served, path: String) {
        let path = try makeTemporaryFolder("carillon-settings") + "/carillon.conf"
        try lines.write(toFile: path, atomically: true, encoding: .utf8)
        let database = try await PrivateCluster.database("settings")
        let daemon = try DaemonProcess(
            ["serve", "--settings", path] + arguments,
            environment: database.environment.merging(environment) { $1 }, notify: true)
        try await daemon.waitForNotify("READY=1")
        return (Served(database: database, daemon: daemon), path)
    }

    private func remove(_ path: String) {
        try? FileManager.default.removeItem(atPath: (path as NSString).deletingLastPathComponent)
    }

    @Test func aFileOfSettingsIsReadAndReadAgain() async throws {
        let (served, path) = try await serve(
            "# who\nname = from file\n\nlog-format=json\nlog-level = notice\n", ["--name", "mine"])
        defer { remove(path) }
        #expect(try await served.psql("SELECT client_name FROM timetable.worker") == "mine")
        #expect(served.daemon.lines.isEmpty)
        try "log-level = debug\nlog-format = json\nsql-connections = 3".write(
            toFile: path, atomically: true, encoding: .utf8)
        served.daemon.send(SIGHUP)
        try await eventually("it is reloaded") {
            let states = served.daemon.datagrams.map { $0.prefix { $0 != "\n" } }
            return states.filter { $0 == "READY=1" }.count == 2 && states.contains("RELOADING=1")
        }
        try await served.daemon.waitForLine(containing: "sql-connections is another now")
        let config = try await served.addConfig("now", [("SQL", "SELECT 1")])
        #expect(try await served.run(config) == "CHAIN_DONE||")
        let line = try await served.daemon.waitForLine(containing: "executing task: now 0")
        let object = try JSONSerialization.jsonObject(with: Foundation.Data(line.text.utf8))
        let members = try #require(object as? [String: String])
        #expect(members["level"] == "debug" && members["worker"] == "mine")
        #expect(members["run"] == "1" && members["config"] == "\(config)")
        #expect(members["chain"] == "1" && members["task"] == "6" && members["sqlstate"] == nil)
        #expect(members["message"]?.hasPrefix("executing task: now 0 SQL") == true)
    }

    @Test func aFileThatIsWrongChangesNothing() async throws {
        let (served, path) = try await serve("log-level = info\n")
        defer { remove(path) }
        try "log-levle = debug".write(toFile: path, atomically: true, encoding: .utf8)
        served.daemon.send(SIGHUP)
        try await served.daemon.waitForLine(containing: "the settings stay as they were")
        try await eventually("the status says so") {
            served.daemon.datagrams.contains {
                $0.contains("; last problem at 2") && $0.contains("Z: the settings stay")
            }
        }
        let config = try await served.addConfig("now", [("SQL", "SELECT 1")])
        #expect(try await served.run(config) == "CHAIN_DONE||")
        let refused = try DaemonProcess(
            ["serve", "--settings", path], environment: served.database.environment)
        #expect(try await refused.waitForExit() == .exited(64))
        #expect(refused.lines.contains { $0.text.contains("log-levle") })
    }

    /// Debug lines go where they are asked for, and not elsewhere.
    @Test func eachReceiverHasALevelOfItsOwn() async throws {
        let (served, path) = try await serve("log-level = notice\ndatabase-log-level = debug\n")
        defer { remove(path) }
        let config = try await served.addConfig("now", [("SQL", "SELECT 1")])
        #expect(try await served.run(config) == "CHAIN_DONE||")
        try await served.waitFor(
            "t",
            "SELECT count(*) > 0 FROM timetable.log WHERE message LIKE 'executing task: now 0%'")
        #expect(served.daemon.lines.isEmpty)
    }

    @Test func theWatchdogIsKeptQuiet() async throws {
        let (served, path) = try await serve("", environment: ["WATCHDOG_USEC": "200000"])
        defer { remove(path) }
        try await eventually("it is told again and again") {
            served.daemon.datagrams.count { $0 == "WATCHDOG=1" } > 5
        }
        let config = try await served.addConfig("slow", [("SQL", "SELECT pg_sleep(60)")])
        try await served.psql("SELECT timetable.run(\(config))")
        try await served.waitFor(
            "1", "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'STARTED'")
        // It asks for time while it drains, and goes on to prove that it lives.
        served.daemon.terminate()
        try await served.daemon.waitForNotify("EXTEND_TIMEOUT_USEC=15000000")
        let stopped = served.daemon.datagrams.count
        try await eventually("the watchdog is told while it drains") {
            served.daemon.datagrams.dropFirst(stopped).contains("WATCHDOG=1")
        }
    }

    /// What the sample has as comments are settings, with values that are good.
    @Test func theSampleOfSettingsCanBeTakenAsItIs() async throws {
        let sample = try String(
            contentsOf: URL(filePath: #filePath).deletingLastPathComponent()
                .appending(path: "../../systemd/carillon.conf"), encoding: .utf8)
        let settings = sample.split(separator: "\n").compactMap { line in
            line.wholeMatch(of: /#?([a-z-]+(?: = \S+)?)/).map { String($0.output.1) }
        }
        #expect(settings.count > 10)
        let lines = settings.filter { !$0.hasPrefix("port") } + ["port = 1"]
        let folder = try makeTemporaryFolder("carillon-settings")
        try lines.joined(separator: "\n").write(
            toFile: "\(folder)/carillon.conf", atomically: true, encoding: .utf8)
        let daemon = try DaemonProcess(["serve", "--settings", "\(folder)/carillon.conf"])
        #expect(try await daemon.waitForExit() == .exited(2))
    }
}

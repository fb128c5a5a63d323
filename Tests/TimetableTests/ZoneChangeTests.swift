import Foundation
import Glibc
import TestSupport
import Testing

/// A zone file that changes while the daemon runs.
struct ZoneChangeTests {
    /// Some zones of this host in a folder of their own, as a package lays them out.
    private final class ZoneFolder: Sendable {
        let path: String

        init() throws {
            path = try makeTemporaryFolder("carillon-zones")
            for folder in ["Europe", "America", "Asia"] {
                try FileManager.default.createDirectory(
                    atPath: "\(path)/\(folder)", withIntermediateDirectories: false)
            }
            for zone in ["Europe/Berlin", "America/New_York"] { try put(zone, as: zone) }
        }

        deinit {
            try? FileManager.default.removeItem(atPath: path)
        }

        /// Puts the host's file of a zone into place by rename(2).
        func put(_ zone: String, as name: String) throws {
            let fresh = "\(path)/\(name).dpkg-new"
            try FileManager.default.copyItem(atPath: "/usr/share/zoneinfo/\(zone)", toPath: fresh)
            try put(file: fresh, as: name)
        }

        func put(file: String, as name: String) throws {
            guard unsafe rename(file, "\(path)/\(name)") == 0 else {
                throw NotReached("rename failed: \(errno)")
            }
        }
    }

    private func served(_ zones: ZoneFolder) async throws -> Served {
        let database = try await PrivateCluster.database("zones")
        let daemon = try DaemonProcess(
            ["serve", "--name", "worker001", "-v"],
            environment: database.environment.merging(["TZDIR": zones.path]) { $1 }, notify: true)
        try await daemon.waitForNotify("READY=1")
        return Served(database: database, daemon: daemon)
    }

    /// Noon of 1 January is at another instant, and the service manager is told.
    private func waitForNextFire(_ hour: String, _ served: Served) async throws {
        try await eventually("the next fire at \(hour)") {
            served.daemon.datagrams.last { $0.contains("STATUS=") }?
                .contains("-01-01T\(hour):00:00") == true
        }
    }

    @Test func newRulesMoveTheNextFire() async throws {
        let zones = try ZoneFolder()
        let served = try await served(zones)
        _ = try await served.addConfig(
            "noon", [("SQL", "SELECT 1")], columns: "schedule, time_zone",
            values: "'0 12 1 1 *', 'Europe/Berlin'")
        try await waitForNextFire("11", served)
        // The same once more is nothing new.
        try zones.put("Europe/Berlin", as: "Europe/Berlin")
        try await served.daemon.waitForLine(containing: "zone files changed, but none in use")
        #expect(!served.daemon.lines.contains { $0.text.contains("new rules of") })
        try zones.put("America/New_York", as: "Europe/Berlin")
        try await served.daemon.waitForLine(containing: "new rules of Europe/Berlin;")
        try await waitForNextFire("17", served)
        // What can't be read is told, and the way back is open.
        let from = served.daemon.lines.count
        try Data("no zone".utf8).write(to: URL(fileURLWithPath: "\(zones.path)/new"))
        try zones.put(file: "\(zones.path)/new", as: "Europe/Berlin")
        try await served.daemon.waitForLine(containing: "can't be read", from: from)
        try zones.put("Europe/Berlin", as: "Europe/Berlin")
        try await waitForNextFire("11", served)
    }

    @Test func aZoneThatIsInstalledLaterIsUsed() async throws {
        let zones = try ZoneFolder()
        let served = try await served(zones)
        _ = try await served.addConfig(
            "noon", [("SQL", "SELECT 1")], columns: "schedule, time_zone",
            values: "'0 12 1 1 *', 'Asia/Tokyo'")
        try await served.daemon.waitForLine(containing: "this host has no time zone 'Asia/Tokyo'")
        try zones.put("Asia/Tokyo", as: "Asia/Tokyo")
        try await waitForNextFire("03", served)
    }

    /// Some systems link the whole folder to one of its versions.
    @Test func aFolderThatIsALinkMayLeadElsewhere() async throws {
        let (old, new, way) = (try ZoneFolder(), try ZoneFolder(), try ZoneFolder())
        try new.put("America/New_York", as: "Europe/Berlin")
        let folder = "\(way.path)/zoneinfo"
        let files = FileManager.default
        try files.createSymbolicLink(atPath: folder, withDestinationPath: old.path)
        let database = try await PrivateCluster.database("zones")
        let daemon = try DaemonProcess(
            ["serve", "--name", "worker001", "-v"],
            environment: database.environment.merging(["TZDIR": folder]) { $1 }, notify: true)
        try await daemon.waitForNotify("READY=1")
        let served = Served(database: database, daemon: daemon)
        _ = try await served.addConfig(
            "noon", [("SQL", "SELECT 1")], columns: "schedule, time_zone",
            values: "'0 12 1 1 *', 'Europe/Berlin'")
        try await waitForNextFire("11", served)
        try files.createSymbolicLink(atPath: folder + ".new", withDestinationPath: new.path)
        try way.put(file: folder + ".new", as: "zoneinfo")
        try await waitForNextFire("17", served)
    }
}

import Foundation
import Glibc
import Reactor
import TestSupport
import Testing
import Timing

struct FileWatchTests {
    /// A folder of its own, with a watch on one path in it and what the watch told.
    @LoopActor
    private final class Stage {
        let top: String
        let changes = Inbox<MonotonicInstant>()
        private(set) var watch: FileWatch?

        init(_ quiet: Duration = .milliseconds(20)) throws {
            top = try makeTemporaryFolder("carillon-watch")
            watch = try FileWatch(quiet: quiet) { [changes] in changes.send(.now()) }
        }

        isolated deinit {
            try? FileManager.default.removeItem(atPath: top)
        }

        func add(_ path: String) throws { try watch?.add("\(top)/\(path)") }

        func folder(_ path: String) throws {
            try FileManager.default.createDirectory(
                atPath: "\(top)/\(path)", withIntermediateDirectories: true)
        }

        func write(_ path: String, _ text: String) throws {
            try Data(text.utf8).write(to: URL(fileURLWithPath: "\(top)/\(path)"))
        }

        func link(_ path: String, to target: String) throws {
            try? FileManager.default.removeItem(atPath: "\(top)/\(path)")
            try FileManager.default.createSymbolicLink(
                atPath: "\(top)/\(path)", withDestinationPath: target)
        }

        func rename(_ path: String, to target: String) throws(SystemError) {
            try systemCall("rename") { unsafe Glibc.rename("\(top)/\(path)", "\(top)/\(target)") }
        }

        func remove(_ path: String) throws {
            try FileManager.default.removeItem(atPath: "\(top)/\(path)")
        }

        func end() { watch = nil }
    }

    @Test func everyWayToReplaceAFileIsTold() async throws {
        try await onTestLoop {
            let stage = try Stage()
            try stage.folder("zones/Europe")
            try stage.write("zones/Europe/Berlin", "1")
            try stage.add("zones/Europe/Berlin")
            try stage.write("zones/Europe/new", "2")
            try stage.rename("zones/Europe/new", to: "zones/Europe/Berlin")
            _ = await stage.changes.next()
            // In its place, with the same inode.
            let file = try FileHandle(
                forWritingTo: URL(fileURLWithPath: "\(stage.top)/zones/Europe/Berlin"))
            try file.write(contentsOf: Data("3".utf8))
            try file.close()
            _ = await stage.changes.next()
            try stage.remove("zones/Europe/Berlin")
            _ = await stage.changes.next()
            try stage.write("zones/Europe/Berlin", "4")
            _ = await stage.changes.next()
            // The folder, or the one above it.
            try stage.folder("other/Europe")
            try stage.rename("zones", to: "old")
            _ = await stage.changes.next()
            try stage.rename("other", to: "zones")
            _ = await stage.changes.next()
            try stage.write("zones/Europe/Berlin", "5")
            _ = await stage.changes.next()
        }
    }

    @Test func linksAreFollowed() async throws {
        try await onTestLoop {
            let stage = try Stage()
            for folder in ["v1/US", "v1/America", "v2/US", "v2/America"] {
                try stage.folder(folder)
            }
            for version in ["v1", "v2"] {
                try stage.write("\(version)/America/New_York", version)
                try stage.link("\(version)/US/Eastern", to: "../America/New_York")
            }
            try stage.link("zones", to: "\(stage.top)/v1")
            try stage.add("zones/US/Eastern")
            try stage.write("v1/America/new", "2")
            try stage.rename("v1/America/new", to: "v1/America/New_York")
            _ = await stage.changes.next()
            try stage.link("zones", to: "v2")
            _ = await stage.changes.next()
            // The new target is watched, and the old one is not.
            try stage.write("v1/America/New_York", "3")
            try stage.write("v2/America/New_York", "3")
            _ = await stage.changes.next()
            try stage.write("v1/America/New_York", "4")
            try await EventLoop.shared.sleep(for: .milliseconds(60))
            #expect(stage.changes.poll() == nil)
            // A link that leads to itself is the end of the way.
            try stage.link("zones", to: "zones")
            _ = await stage.changes.next()
        }
    }

    @Test func whatIsNotThereYetIsTold() async throws {
        try await onTestLoop {
            let stage = try Stage()
            try stage.add("zones/Asia/Tokyo")
            try stage.folder("zones")
            _ = await stage.changes.next()
            try stage.folder("zones/Asia")
            _ = await stage.changes.next()
            try stage.write("zones/Asia/Tokyo", "1")
            _ = await stage.changes.next()
        }
    }

    /// A package unpacks hundreds of files, most of them nobody's here.
    @Test func manyEventsAreToldOnceAndOthersNever() async throws {
        try await onTestLoop {
            let quiet = Duration.seconds(1)
            let stage = try Stage(quiet)
            try stage.folder("zones")
            try stage.add("zones/Rome")
            for number in 0..<300 { try stage.write("zones/Zone\(number)", "1") }
            try await EventLoop.shared.sleep(for: quiet * 1.2)
            #expect(stage.changes.poll() == nil)
            for number in 0..<100 {
                try stage.write("zones/Rome", "\(number)")
                try await rounds(1)
            }
            let last = MonotonicInstant.now()
            #expect(await stage.changes.next().duration(since: last) > quiet / 2)
            try await EventLoop.shared.sleep(for: quiet * 1.2)
            #expect(stage.changes.poll() == nil)
        }
    }

    @Test func unceasingChangesAreToldAllTheSame() async throws {
        try await onTestLoop {
            let stage = try Stage(.milliseconds(50))
            try stage.add("Rome")
            let deadline = MonotonicInstant.now().advanced(by: .seconds(60))
            while stage.changes.count == 0, MonotonicInstant.now() < deadline {
                try stage.write("Rome", "1")
                try await rounds(1)
            }
            #expect(stage.changes.count == 1)
        }
    }

    @Test func afterItsEndNothingIsTold() async throws {
        try await onTestLoop {
            // Long enough for the end to come first on a machine that is busy.
            let stage = try Stage(.milliseconds(500))
            try stage.add("Rome")
            try stage.write("Rome", "1")
            try await rounds()
            stage.end()
            try await EventLoop.shared.sleep(for: .milliseconds(700))
            #expect(stage.changes.poll() == nil)
        }
    }
}

import Foundation
import Glibc
import TestSupport
import Testing

/// What programs leave behind: stopped with them, or else living on in the daemon's care.
@Suite(.serialized) struct ProgramStopTests {
    private static func number(in file: String) async throws -> Int32 {
        try await eventually("a process wrote its number to \(file)") {
            FileManager.default.contents(atPath: file)?.last == 10
        }
        return try #require(
            Int32(String(contentsOfFile: file, encoding: .utf8).filter { !$0.isNewline }))
    }

    private func start(
        _ served: Served, _ script: String, name: String = "leaving"
    ) async throws -> Int {
        let config = try await served.addConfig(name, [("SHELL", "/bin/sh")])
        let json = String(decoding: try JSONEncoder().encode([["-c", script]]), as: UTF8.self)
        try await served.psql("SELECT timetable.run(\(config), $json$\(json)$json$)")
        return config
    }

    /// The inner process has lost its parent and left the group before anybody looks, and ignores
    /// SIGTERM. It is known by its environment or by a pipe that it holds.
    @Test(
        .timeLimit(.minutes(3)),
        arguments: ["exec >/dev/null 2>&1; exec", "exec env -i", "exec 2>/dev/null; exec env -i"])
    func aDoubleForkedChildEndsWithItsProgram(_ disguise: String) async throws {
        let folder = try makeTemporaryFolder("carillon-stop")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let served = try await Served.fresh("stop", ["--drain-timeout", "0"])
        _ = try await start(
            served,
            """
            (setsid sh -c '\(disguise) sh -c "trap : TERM; echo \\$\\$ >\(folder)/number; \
            while :; do sleep 600; done"' &)
            while :; do sleep 600; done
            """)
        let child = try await Self.number(in: "\(folder)/number")
        try await eventually("its parent has ended") {
            ProcessStatus.read(child)?.parent == served.daemon.pid
        }
        served.daemon.terminate()
        try await served.daemon.waitForExit(within: .seconds(60))
        #expect(ProcessStatus.read(child) == nil)
        #expect(
            try await served.psql("SELECT execution_status FROM timetable.run_status")
                == "CANCELLED")
    }

    @Test func whatAProgramLeavesLivesOnAndIsReapedWhenItEnds() async throws {
        let folder = try makeTemporaryFolder("carillon-stop")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let served = try await Served.fresh("stop", ["--drain-timeout", "0"])
        let leaving = "echo $! >\(folder)/number"
        _ = try await start(served, "setsid sleep 600 >/dev/null 2>&1 & \(leaving)")
        try await served.waitFor("CHAIN_DONE", "SELECT execution_status FROM timetable.run_status")
        let child = try await Self.number(in: "\(folder)/number")
        #expect(ProcessStatus.read(child)?.parent == served.daemon.pid)

        // Another program that is stopped leaves it alone, and so does the end of the daemon.
        _ = try await start(served, "echo $$ >\(folder)/second; exec sleep 600", name: "second")
        let second = try await Self.number(in: "\(folder)/second")
        let third = try await start(
            served, "setsid sleep 600 >/dev/null 2>&1 & echo $! >\(folder)/third", name: "third")
        try await served.waitFor(
            "CHAIN_DONE",
            "SELECT execution_status FROM timetable.run_status WHERE chain_execution_config = \(third)"
        )
        let other = try await Self.number(in: "\(folder)/third")
        kill(other, SIGKILL)
        try await eventually("it is gone, and no zombie") { ProcessStatus.read(other) == nil }
        served.daemon.terminate()
        try await served.daemon.waitForExit(within: .seconds(60))
        #expect(ProcessStatus.read(second) == nil)
        #expect(ProcessStatus.read(child) != nil)
        kill(child, SIGKILL)
    }

    /// A thousand in waves of 200 at once: neither zombies nor descriptors grow in number.
    @Test(.timeLimit(.minutes(5))) func aThousandLeaveNothingBehind() async throws {
        let served = try await Served.fresh("stop", ["--max-runs", "200"])
        let config = try await served.addConfig(
            "true", [("SHELL", "/bin/true")], columns: "schedule, max_instances",
            values: "'@manual', 200")
        let leaving = try await served.addConfig(
            "sh", [("SHELL", "/bin/sh")], columns: "schedule, max_instances",
            values: "'@manual', 200")
        let descriptors = "/proc/\(served.daemon.pid)/fd"
        func wave(_ number: Int) async throws {
            try await served.psql(
                """
                SELECT count(timetable.run(\(config))) FROM generate_series(1, 180);
                SELECT count(timetable.run(\(leaving),
                    '[["-c", "setsid true & setsid true & exit 0"]]')) FROM generate_series(1, 20);
                """)
            try await served.waitFor(
                "\(number * 200)",
                "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'CHAIN_DONE'",
                within: .seconds(120))
        }
        try await wave(1)
        let before = try FileManager.default.contentsOfDirectory(atPath: descriptors).count
        for number in 2...5 { try await wave(number) }
        try await eventually("no child is left") {
            ProcessStatus.children(of: served.daemon.pid).isEmpty
        }
        try await eventually("no descriptor is left") {
            try FileManager.default.contentsOfDirectory(atPath: descriptors).count <= before + 2
        }
    }
}

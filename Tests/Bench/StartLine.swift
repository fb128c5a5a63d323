import Reactor
import TestSupport
import Timing

/// From the start of the process to READY=1 on an empty schema, and its memory then.
@LoopActor
enum StartLine {
    private static let count = 11

    static func measure(_ bench: Bench) async throws -> [TableRow] {
        let stage = try await Stage(bench, "start")
        var (times, floors) = (Sample(), Sample())
        var usage = try ProcessUsage(of: stage.daemon.pid)
        var bare = usage
        for _ in 0..<count {
            try await stage.stopDaemon()
            times.add(try await stage.startDaemon().wholeMicroseconds)
            usage = try ProcessUsage(of: stage.daemon.pid)

            let began = ContinuousClock.now
            let listener = try BareListener.start(stage.database)
            try await listener.waitForLine(containing: "ready")
            floors.add((ContinuousClock.now - began).wholeMicroseconds)
            bare = try ProcessUsage(of: listener.pid)
        }
        return [
            TableRow(
                meetsGoal: times.p50 <= 50_000, name: "start → READY=1, empty schema",
                measured: "p50 \(Sample.milliseconds(times.p50)),"
                    + " max \(Sample.milliseconds(times.maximum)) ms",
                goal: "≤ 50 ms",
                floor: "process with 2 sessions: \(Sample.milliseconds(floors.p50)) ms"),
            TableRow(
                meetsGoal: usage.residentKiB <= 20 * 1_024, name: "  memory then",
                measured: usage.residentText, goal: "≤ 20 MB",
                floor: "the same process: \(bare.residentText)"),
        ]
    }
}

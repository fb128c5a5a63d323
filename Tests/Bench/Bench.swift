import Glibc
import Reactor
import TestSupport

/// The whole run: one private durable cluster, one line after the other, one table.
@LoopActor
final class Bench {
    /// What can be measured, in the order in which it is.
    struct Line: Sendable {
        let name: String
        let measure: @Sendable @LoopActor (Bench) async throws -> [TableRow]
    }

    nonisolated static let lines = [
        Line(name: "nextfire") { _ in try NextFireLine.measure() },
        Line(name: "start") { try await StartLine.measure($0) },
        Line(name: "scheduled") { try await ScheduledLine.measure($0) },
        Line(name: "firstrun") { try await FirstRunLine.measure($0) },
        Line(name: "adhoc") { try await AdHocLine.measure($0) },
        Line(name: "burst") { try await BurstLine.measure($0) },
        Line(name: "lateness") { try await LatenessLine.measure($0) },
        Line(name: "loaded") { try await LoadedLine.measure($0) },
    ]

    let cluster: PrivateCluster

    private init(_ cluster: PrivateCluster) {
        self.cluster = cluster
    }

    /// Measures `wanted`, all if empty, and prints the table; returns the exit code.
    static func run(_ wanted: Set<String>) async -> Int32 {
        let interruption = Interruption()
        do {
            let signals = try Signals([SIGINT, SIGTERM]) { interruption.received($0) }
            defer { signals.cancel() }
            return await withTaskGroup(of: Int32?.self) { group in
                group.addTask { await measure(wanted, interruption) }
                group.addTask { await interruption.wait() }
                // Whichever ends first ends the other: cancelled waits throw.
                let first = await group.next() ?? nil
                group.cancelAll()
                let second = await group.next() ?? nil
                return interruption.code ?? first ?? second ?? 1
            }
        } catch {
            say("carillon-bench: \(error)")
            return 1
        }
    }

    private static func measure(_ wanted: Set<String>, _ interruption: Interruption) async -> Int32
    {
        do {
            // What is durable is what counts; the instants of commits tell when all was logged.
            let cluster = try await onOwnThread {
                try PrivateCluster(durable: true, settings: ["track_commit_timestamp=on"])
            }
            interruption.cluster = cluster
            let bench = Bench(cluster)
            var table = Table()
            for line in lines where wanted.isEmpty || wanted.contains(line.name) {
                try Task.checkCancellation()
                say("measuring \(line.name) …")
                table.rows += try await line.measure(bench)
            }
            print(table.rendered)
            return 0
        } catch {
            if interruption.code == nil { say("carillon-bench: \(error)") }
            return 1
        }
    }
}

/// SIGINT or SIGTERM: the server is ended, with it every session and pgbench; waits are cancelled.
@LoopActor
private final class Interruption {
    private let gate = Gate()
    private(set) var code: Int32?
    var cluster: PrivateCluster?

    func received(_ signal: Int32) {
        guard code == nil else { exit(128 + signal) }
        code = 128 + signal
        gate.open()
    }

    /// Returns after a signal, or when the task is cancelled.
    func wait() async -> Int32? {
        await gate.wait()
        if code != nil { try? cluster?.stop(.immediate) }
        return code
    }
}

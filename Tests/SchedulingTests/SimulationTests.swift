import Foundation
import Testing

/// Random months of daemons and their database, judged by an oracle that shares no code with them.
///
/// `CARILLON_SIMULATION_SEEDS` runs so many seeds, from `CARILLON_SIMULATION_FIRST` on.
@Suite struct SimulationTests {
    private static func environment(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap(UInt64.init)
    }

    private static let seeds: Range<UInt64> = {
        let first = environment("CARILLON_SIMULATION_FIRST") ?? 1
        return first..<first + (environment("CARILLON_SIMULATION_SEEDS") ?? 20)
    }()

    /// A few tests instead of one, so that both cores have work.
    private static let shares = 8

    @Test(arguments: 0..<shares)
    func everyFireIsAccountedFor(share: Int) throws {
        var (fires, failed) = (0, 0)
        for seed in Self.seeds where Int(seed % UInt64(Self.shares)) == share {
            let simulation = try Simulation(seed: seed)
            simulation.run()
            let verdict = SimulationOracle(simulation).verdict()
            fires += verdict.fires
            guard let first = verdict.complaints.first else { continue }
            failed += 1
            Issue.record(Comment(rawValue: try Self.report(seed, first, verdict.complaints.count)))
        }
        print("simulation: share \(share) of \(Self.seeds): \(fires) fires, \(failed) seeds failed")
        #expect(fires > 0 || Self.seeds.count < Self.shares)
    }

    /// Runs the seed again to tell what happened before.
    private static func report(
        _ seed: UInt64, _ first: Simulation.Complaint, _ count: Int
    ) throws -> String {
        let again = try Simulation(seed: seed)
        again.keepsNotes = true
        again.run()
        return """
            seed \(seed), config \(first.config.map(String.init) ?? "none"): \(first.text)
            (\(count) complaints in all; what happened near it:)
            \(again.history(of: first))
            CARILLON_SIMULATION_FIRST=\(seed) CARILLON_SIMULATION_SEEDS=1 \
            swift test --disable-xctest --filter SimulationTests
            """
    }
}

import Scheduling
import TestSupport
import Testing
import Timing

@testable import Timetable

struct SharesTests {
    private static let fires = (0..<3_000).map { number in
        Fire(
            config: Int64(number % 50),
            instant: WallInstant(seconds: 1_800_000_000 + Int64(number)),
            since: .distantPast)
    }

    @Test(arguments: 1...5)
    func eachFireHasOneWorkerThatIsFirst(count: Int) {
        let names = (1...count).map { "worker00\($0)" }
        let all = names.map { name in
            Shares(own: name, peers: names.filter { $0 != name })
        }
        for fire in Self.fires {
            #expect(all.count { $0.isOurs(fire) } == 1)
        }
        // Within a tenth of its equal share.
        for shares in all {
            let share = Self.fires.count(where: shares.isOurs) * count
            #expect((2_700...3_300).contains(share))
        }
    }

    @Test func whoGoesLeavesTheFiresOfOthersWhereTheyWere() {
        let before = Shares(own: "a", peers: ["b", "c"])
        let after = Shares(own: "a", peers: ["b"])
        for fire in Self.fires where before.isOurs(fire) {
            #expect(after.isOurs(fire))
        }
    }

    /// Also those of one and the same config, and what only one of them may run.
    @Test func twoDaemonsShareTheWork() async throws {
        let first = try await Served.fresh("shares")
        let second = try await Served.on(first.database, name: "worker002")
        _ = try await first.addConfig("often", [("SQL", "SELECT 1")], values: "'@every 100ms'")
        _ = try await first.addConfig(
            "bound", [("SQL", "SELECT 1")], columns: "schedule, client_name",
            values: "'@every 100ms', 'worker002'")
        try await second.waitFor(
            "t|t|t",
            """
            SELECT
                count(*) FILTER (WHERE chain_name = 'often' AND r.client_name = 'worker001') > 20,
                count(*) FILTER (WHERE chain_name = 'often' AND r.client_name = 'worker002') > 20,
                count(*) FILTER (WHERE chain_name = 'bound') > 40
            FROM timetable.run_status r
            JOIN timetable.chain_execution_config c USING (chain_execution_config)
            """)
        #expect(
            try await second.psql(
                """
                SELECT count(*) FROM timetable.run_status r
                JOIN timetable.chain_execution_config c USING (chain_execution_config)
                WHERE chain_name = 'bound' AND r.client_name <> 'worker002'
                """) == "0")
    }
}

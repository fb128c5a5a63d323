import Postgres
import Reactor
import TestSupport
import Testing

struct PreparedTests {
    private static let double = Statement("double", "SELECT $1::int * 2")

    @LoopActor private static func doubled(
        _ session: Connection, _ value: Int
    ) async throws -> Int64? {
        try await session.run(double, [String(value)]).integer(0, 0)
    }

    @Test func aStatementIsPreparedOnce() async throws {
        try await withSession { session, _ in
            for value in 1...10 {
                #expect(try await Self.doubled(session, value) == Int64(value * 2))
            }
            let batch = (1...10).map { Command(Self.double, [String($0)]) }
            let rows = try await session.run(batch)
            #expect(rows.map { $0.integer(0, 0) } == (1...10).map { Int64($0 * 2) })
            let count = "SELECT count(*) FROM pg_prepared_statements"
            #expect(try await session.ask(count) == ["1"])
        }
    }

    /// None of them costs the next use its success.
    @Test(arguments: ["DISCARD ALL", "DEALLOCATE ALL", "DEALLOCATE PREPARE ALL", "discard all"])
    func whatDropsAllIsNoticed(statement: String) async throws {
        try await withSession { session, _ in
            for _ in 0..<3 {
                #expect(try await Self.doubled(session, 4) == 8)
                try await session.ask(statement)
                #expect(try await Self.doubled(session, 5) == 10)
                _ = try await session.runScript(statement)
            }
        }
    }

    @Test func whatDropsAllUnseenCostsOneFailure() async throws {
        try await withSession { session, _ in
            _ = try await Self.doubled(session, 4)
            _ = try await session.runScript("DO $$BEGIN EXECUTE 'DEALLOCATE ALL'; END$$")
            let error = await session.failure([Command(Self.double, ["4"])])
            #expect(error?.sqlstate == "26000")
            #expect(try await Self.doubled(session, 5) == 10)
        }
    }

    /// A task's own EXECUTE of nothing, or PREPARE of our name, is no matter of ours.
    @Test func preparedStatementsOfTasksDoNotDisturbOurs() async throws {
        try await withSession { session, _ in
            _ = try await Self.doubled(session, 4)
            #expect(await session.failure("EXECUTE nothing")?.sqlstate == "26000")
            #expect(await session.scriptFailure("EXECUTE nothing")?.sqlstate == "26000")
            #expect(try await Self.doubled(session, 5) == 10)
            try await session.ask("PREPARE own AS SELECT 1")
            try await session.ask("DEALLOCATE own")
            #expect(try await Self.doubled(session, 6) == 12)
        }
        try await withSession { session, _ in
            try await session.ask("PREPARE double AS SELECT 7")
            #expect(try await Self.doubled(session, 5) == 10)
        }
    }

    @Test func aFailedPreparationIsRepeated() async throws {
        try await withSession { session, _ in
            let statement = Statement("later", "SELECT n FROM later")
            for _ in 0..<2 {
                let error = await session.failure([Command(statement)])
                #expect(error?.sqlstate == "42P01")
            }
            try await session.ask("CREATE TABLE later AS SELECT 9 AS n")
            #expect(try await session.run(statement).integer(0, 0) == 9)
        }
    }

    /// The batch that was to prepare it failed before: the next in flight must not suffer.
    @Test func aBatchInFlightDoesNotDependOnThePreparationOfAnother() async throws {
        try await withSession { session, _ in
            let outcomes = Log<Int64?>()
            session.send([Command(sql: "SELECT 1/0"), Command(Self.double, ["1"])]) { _ in }
            for value in 1...3 {
                session.send([Command(Self.double, [String(value)])]) { outcome in
                    outcomes.all.append((try? outcome.get())?.first?.integer(0, 0))
                }
            }
            try await session.ask("SELECT 1")
            #expect(outcomes.all == [2, 4, 6])
            #expect(try await Self.doubled(session, 5) == 10)
        }
    }
}

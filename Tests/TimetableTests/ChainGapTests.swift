import TestSupport
import Testing

struct ChainGapTests {
    /// Chain 1 → 2 → 3 → 4 → 5 of base tasks a b c d e with one config, and rows of parameters.
    @Test(arguments: [
        ("'c'", "1 2 4 5", "1"), ("'a'", "2 3 4 5", "2"), ("'a', 'b'", "3 4 5", "3"),
        ("'b', 'c'", "1 4 5", "1"), ("'e'", "1 2 3 4", "1"), ("'a', 'c', 'e'", "2 4", "2"),
        ("'a', 'b', 'c', 'd', 'e'", "", ""),
    ])
    func deletingBaseTasksClosesTheGap(
        names: String, chain: String, head: String
    ) async throws {
        let database = try await PrivateCluster.database("gap")
        _ = try await Served.on(database)
        let left = try await database.psql(
            """
            INSERT INTO timetable.base_task (name, script)
            SELECT chr(96 + n), 'SELECT 1' FROM generate_series(1, 5) AS n;
            INSERT INTO timetable.task_chain (task_id) VALUES (6);
            INSERT INTO timetable.task_chain (parent_id, task_id) VALUES
                (1, 7), (2, 8), (3, 9), (4, 10);
            INSERT INTO timetable.chain_execution_config (chain_id, chain_name, live)
            VALUES (1, 'gappy', true);
            INSERT INTO timetable.chain_execution_parameters
            SELECT 1, n, 1, '[]' FROM generate_series(1, 5) AS n;
            DELETE FROM timetable.base_task WHERE name IN (\(names));
            WITH RECURSIVE e AS (
                SELECT t.*, 1 AS n FROM timetable.task_chain t
                JOIN timetable.chain_execution_config c USING (chain_id)
                UNION ALL
                SELECT t.*, n + 1 FROM e JOIN timetable.task_chain t ON t.parent_id = e.chain_id)
            SELECT coalesce(string_agg(chain_id::text, ' ' ORDER BY n), ''),
                (SELECT string_agg(chain_id::text, ' ' ORDER BY chain_id)
                    FROM timetable.chain_execution_parameters),
                (SELECT chain_id FROM timetable.chain_execution_config),
                (SELECT count(*) FROM timetable.task_chain) = count(*)
            FROM e
            """)
        #expect(left == "\(chain)|\(chain)|\(head)|t")
    }

    @Test func aTaskThatIsInAChainTwiceGoesTwice() async throws {
        let database = try await PrivateCluster.database("gap")
        _ = try await Served.on(database)
        let left = try await database.psql(
            """
            INSERT INTO timetable.base_task (name, script) VALUES ('a', 'a'), ('b', 'b');
            INSERT INTO timetable.task_chain (task_id) VALUES (6);
            INSERT INTO timetable.task_chain (parent_id, task_id) VALUES
                (1, 6), (2, 7), (3, 6), (4, 7);
            DELETE FROM timetable.base_task WHERE name = 'a';
            SELECT chain_id, parent_id FROM timetable.task_chain ORDER BY chain_id
            """)
        #expect(left == "3|\n5|3")
    }
}

import Foundation
import TestSupport
import Testing

/// A run uses the chain and the parameters as they were when it was claimed.
struct EditingTests {
    @Test(arguments: [
        // A base task and so its element, with the gap closed; a script; an element behind and one
        // between; parameters; the config; all of it.
        "DELETE FROM timetable.base_task WHERE name = 'edited 2'",
        "DELETE FROM timetable.task_chain WHERE chain_id = 4",
        "UPDATE timetable.base_task SET script = 'SELECT 1 / 0', kind = 'SQL'",
        "UPDATE timetable.base_task SET name = 'other ' || task_id WHERE task_id > 5",
        """
        UPDATE timetable.task_chain SET run_uid = 'nobody at all', autonomous = true,
            timeout = '1 ms', ignore_error = true
        """,
        """
        INSERT INTO timetable.base_task (name, script) VALUES ('new', 'SELECT 1 / 0');
        SELECT timetable.insert_base_task('new', 4)
        """,
        """
        INSERT INTO timetable.base_task (name, script) VALUES ('new', 'SELECT 1 / 0');
        UPDATE timetable.task_chain SET parent_id = NULL WHERE chain_id = 3;
        SELECT timetable.insert_base_task('new', 2);
        UPDATE timetable.task_chain SET parent_id = 5 WHERE chain_id = 3
        """,
        "UPDATE timetable.chain_execution_parameters SET value = '[\"x\"]' WHERE chain_id = 3",
        "DELETE FROM timetable.chain_execution_parameters WHERE chain_id = 3",
        """
        INSERT INTO timetable.chain_execution_parameters
        SELECT 1, 3, n, '["7"]' FROM generate_series(3, 9) AS n
        """,
        "UPDATE timetable.chain_execution_config SET live = false, timeout = '1 ms', chain_id = NULL",
        "DELETE FROM timetable.chain_execution_config",
        "TRUNCATE timetable.base_task CASCADE",
    ])
    func editingAChainDoesNotDisturbItsRun(edit: String) async throws {
        let folder = try makeTemporaryFolder("carillon-editing")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let served = try await Served.fresh("editing")
        try await served.psql("CREATE TABLE t (id serial, x integer)")
        let config = try await served.addConfig(
            "edited",
            [
                ("SQL", "INSERT INTO t (x) VALUES (1)"), ("SHELL", "/bin/sh"),
                ("SQL", "INSERT INTO t (x) VALUES ($1)"), ("SQL", "INSERT INTO t (x) VALUES (4)"),
            ])
        let wait = "while [ ! -e \(folder)/go ]; do sleep 0.05; done"
        try await served.psql(
            """
            INSERT INTO timetable.chain_execution_parameters VALUES
                (\(config), 2, 1, '["-c", "touch \(folder)/there; \(wait)"]'),
                (\(config), 3, 1, '["2"]'), (\(config), 3, 2, '["3"]');
            """)
        let request = try await served.psql("SELECT timetable.run(\(config))")
        try await eventually("the program runs") {
            FileManager.default.fileExists(atPath: "\(folder)/there")
        }
        try await served.psql(edit)
        try Data().write(to: URL(filePath: "\(folder)/go"))
        #expect(try await served.end(ofRequest: request) == "CHAIN_DONE||")
        #expect(
            try await served.psql("SELECT string_agg(x::text, ',' ORDER BY id) FROM t") == "1,2,3,4"
        )
        try await served.waitFor(
            "edited 0|edited 1|edited 2|edited 2|edited 3",
            "SELECT string_agg(name, '|' ORDER BY chain_id, finished) FROM timetable.execution_log")
        // The next run is of what is there now, if anything is.
        #expect(
            try await served.psql(
                "SELECT count(*) FROM timetable.run_status WHERE finished IS NULL")
                == "0")
    }
}

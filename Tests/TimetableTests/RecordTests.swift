import TestSupport
import Testing

/// Every failure has a row that says what, where and when, also one before the first task began.
struct RecordTests {
    struct Failure: CustomTestStringConvertible, Sendable {
        let kind: String
        let script: String
        var parameters = "NULL"
        var element = "chain_id = chain_id"
        /// returncode and SQLSTATE.
        let code: String
        /// A part of the text.
        let text: String

        var testDescription: String { "\(kind) \(script) \(parameters) \(element)" }
    }

    static let failures = [
        Failure(kind: "SQL", script: "SELECT nothing", code: "1|42703", text: "does not exist"),
        Failure(kind: "SQL", script: "SELEC 1", code: "1|42601", text: #"at or near "SELEC""#),
        Failure(
            kind: "SQL", script: "SELECT $1", parameters: "'[{\"a\": 1}]'", code: "1|",
            text: "must be a JSON array"),
        Failure(
            kind: "SQL", script: "SELECT $1::integer, $2", parameters: "'[[1]]'", code: "1|08P01",
            text: "supplies 1 parameters, but prepared statement \"\" requires 2"),
        Failure(
            kind: "SQL", script: "SELECT $1::integer", parameters: "'[[\"x\"]]'", code: "1|22P02",
            text: "invalid input syntax for type integer"),
        Failure(
            kind: "SQL", script: "SELECT 1", element: "run_uid = 'no such role'", code: "1|22023",
            text: "does not exist"),
        Failure(
            kind: "SQL", script: "SELECT 1", element: "database_connection = 1", code: "1|",
            text: "no connection for an SQL task: "),
        Failure(
            kind: "SQL", script: "SELECT pg_sleep(60)", element: "timeout = '2 s'",
            code: "1|57014", text: "timed out after 2 s"),
        Failure(kind: "SHELL", script: "/bin/none", code: "127|", text: "no shell is used"),
        Failure(
            kind: "SHELL", script: "/bin/sh", parameters: #"'[["-c", "kill -11 $$"]]'"#,
            code: "139|", text: "was ended by signal 11"),
        Failure(
            kind: "SHELL", script: "/bin/sleep", parameters: "'[[\"60\"]]'",
            element: "timeout = '50 ms'", code: "143|", text: "timed out after 0.05 s"),
        Failure(
            kind: "SHELL", script: "/bin/true", element: "run_uid = 'no such user'", code: "127|",
            text: "no such user"),
        Failure(
            kind: "SHELL", script: "/bin/true",
            parameters: "jsonb_build_array(jsonb_build_array(repeat('x', 1000000)))",
            code: "127|", text: "too long"),
        Failure(kind: "BUILTIN", script: "Dance", code: "1|", text: "no built-in 'Dance'"),
        Failure(
            kind: "BUILTIN", script: "Sleep", parameters: "'[[1]]'", code: "1|",
            text: "must be a number of seconds"),
        Failure(
            kind: "BUILTIN", script: "SendMail", parameters: "'[{\"ServerHost\": \"h\"}]'",
            code: "1|", text: #"key "SenderAddr" is missing"#),
    ]

    @Test(arguments: failures) func aFailureIsRecorded(failure: Failure) async throws {
        let served = try await Served.fresh("record")
        let config = try await served.addConfig(
            "failing", [("BUILTIN", "NoOp"), (failure.kind, failure.script)])
        try await served.psql(
            """
            INSERT INTO timetable.database_connection (connect_string) VALUES ('host=/nowhere');
            UPDATE timetable.task_chain SET \(failure.element) WHERE chain_id = 2
            """)
        let parameters =
            failure.parameters == "NULL"
            ? "NULL" : "jsonb_build_object('2', (\(failure.parameters))::jsonb)"
        let end = try await served.run(config, parameters)
        #expect(end.contains(failure.text), "\(end)")
        try await served.waitFor("2", "SELECT count(*) FROM timetable.execution_log")
        let row = try await served.psql(
            """
            SELECT chain_execution_config, chain_id, name, returncode, sqlstate
            FROM timetable.execution_log WHERE returncode <> 0
            """)
        #expect(row == "\(config)|2|failing 1|\(failure.code)")
        #expect(
            try await served.psql(
                """
                SELECT e.error LIKE r.error || '%', e.attempt, e.client_name,
                    e.finished > e.last_run, e.last_run >= r.started, r.finished > r.started,
                    r.finished >= e.finished, r.attempt, e.run_status = r.run_status,
                    r.current_execution_element
                FROM timetable.execution_log e, timetable.run_status r WHERE e.returncode <> 0
                """) == "t|1|worker001|t|t|t|t|1|t|2")
    }

    /// Of many rows the one that failed is told, and for a COMMIT the last element before it.
    @Test func aFailureSaysWhere() async throws {
        let served = try await Served.fresh("record")
        try await served.psql("CREATE TABLE t (x integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        let rows = "'{\"2\": [[1], [0], [0]]}'"
        let sql = try await served.addConfig(
            "sql", [("BUILTIN", "NoOp"), ("SQL", "SELECT 1 / $1::integer")])
        #expect(
            try await served.run(sql, rows)
                == "CHAIN_FAILED|division by zero\nWith row 2 of 3|22012")
        let program = try await served.addConfig(
            "program", [("BUILTIN", "NoOp"), ("SHELL", "/bin/sh")])
        #expect(
            try await served.run(
                program, #"'{"4": [["-c", "exit 0"], ["-c", "exit 0"], ["-c", "exit 7"]]}'"#)
                == "CHAIN_FAILED|program '/bin/sh' exited with code 7\nWith row 3 of 3|")
        let late = try await served.addConfig(
            "late",
            [
                ("BUILTIN", "NoOp"), ("SQL", "INSERT INTO t VALUES (1), (1)"), ("BUILTIN", "NoOp"),
            ], columns: "schedule, retries, retry_delay", values: "'@manual', 1, '1 ms'")
        #expect(try await served.run(late).hasPrefix("CHAIN_FAILED|duplicate key"))
        #expect(
            try await served.psql(
                "SELECT current_execution_element, attempt FROM timetable.run_status ORDER BY 1")
                == "2|1\n4|1\n6|2")
    }

    /// What could not even be read as a chain.
    @Test func malformedParametersAreAFailedRun() async throws {
        let served = try await Served.fresh("record")
        let config = try await served.addConfig("failing", [("BUILTIN", "NoOp")])
        for parameters in ["5", "[1]", #"{"1": 7}"#, #""x""#] {
            let request = try await served.psql(
                """
                INSERT INTO timetable.run_request (chain_execution_config, parameters)
                VALUES (\(config), '\(parameters)') RETURNING run_request
                """)
            let end = try await served.end(ofRequest: request)
            #expect(end.hasPrefix("CHAIN_FAILED|the parameters are no array of rows: "))
        }
    }

    /// The seed's and pg_timetable's logs had one time for all that a transaction did.
    @Test func timesDifferWithinARun() async throws {
        let served = try await Served.fresh("record")
        let config = try await served.addConfig(
            "timed",
            [
                ("SQL", "SELECT pg_sleep(0.05)"), ("BUILTIN", "Sleep"), ("SHELL", "/bin/sleep"),
                ("SQL", "SELECT pg_sleep(0.05)"), ("SQL", "SELECT pg_sleep(0.05)"),
            ])
        try await served.psql(
            """
            INSERT INTO timetable.chain_execution_parameters VALUES
                (\(config), 2, 1, '0.05'), (\(config), 2, 2, '0.05'), (\(config), 3, 1, '["0.05"]')
            """)
        #expect(try await served.run(config) == "CHAIN_DONE||")
        try await served.waitFor(
            "6|6|6|t|t|t",
            """
            SELECT count(*), count(DISTINCT last_run), count(DISTINCT finished),
                bool_and(finished - last_run BETWEEN '50 ms' AND '10 s'),
                bool_and(coalesce(last_run >= before, true)),
                (SELECT bool_and(started <= (SELECT min(last_run) FROM timetable.execution_log)
                    AND finished >= (SELECT max(last_run) FROM timetable.execution_log))
                    FROM timetable.run_status)
            FROM (SELECT *, lag(finished) OVER (ORDER BY chain_id, last_run) AS before
                FROM timetable.execution_log) AS e
            """)
    }
}

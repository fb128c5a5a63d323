import JobFiles
import Jobs
import TestSupport
import Testing

/// `carillon export` and `carillon apply`.
struct ApplyTests {
    private static let file = """
        carillon: 1
        tasks:
          clear: {sql: DELETE FROM report}
          fill: {sql: INSERT INTO report VALUES ($1)}
          echo: {program: /bin/echo}
        chains:
        - elements: [clear, {task: fill, timeout: 10 minutes}]
          configs:
            nightly:
              schedule: 30 2 * * *
              time_zone: Europe/Berlin
              on_failure: tell
              excluded: [tell]
              starts_at: 2027-01-31T10:00:00+01:00
              parameters: {fill: [[1], [2]]}
        - elements: [echo]
          configs:
            tell: {schedule: "@manual", parameters: {echo: [[failed]]}}
            greet: {schedule: 0 9 * * *, live: false, parameters: {echo: [[hello], [there]]}}
        """

    private func applied(
        _ jobs: JobDatabase, _ file: String, _ options: String...
    ) async throws -> [String] {
        try await jobs.lines(["apply"] + options + ["-"], stdin: file)
    }

    @Test func aFileIsAppliedAndComesBack() async throws {
        let jobs = try await JobDatabase("apply")
        let empty = try await jobs.everything()
        let dry = try await applied(jobs, Self.file, "--dry-run")
        #expect(try await jobs.everything() == empty)
        let said = try await applied(jobs, Self.file)
        #expect(dry.dropLast() == said[...])
        #expect(
            said.contains(
                "+ config \"nightly\": schedule 30 2 * * *, time_zone Europe/Berlin, live true, "
                    + "starts_at 2027-01-31T09:00:00Z"))
        let made = try await jobs.everything()
        #expect(try await applied(jobs, Self.file) == ["Nothing to change."])
        let exported = try await jobs.carillon(["export"]).stdout
        #expect(try await applied(jobs, exported) == ["Nothing to change."])
        #expect(try await jobs.everything() == made)
        // Its order is its own: another database gives the same text.
        let other = try await JobDatabase("apply_other")
        _ = try await applied(other, exported)
        #expect(try await other.carillon(["export"]).stdout == exported)
        let part = try await jobs.carillon(["export", "--name", "n?ght*"]).stdout
        #expect(part.contains("nightly:") && !part.contains("greet:"))
    }

    @Test func changesAreMadeInPlace() async throws {
        let jobs = try await JobDatabase("apply_change")
        _ = try await applied(jobs, Self.file)
        let ids =
            "SELECT chain_name, chain_execution_config, chain_id FROM "
            + "timetable.chain_execution_config ORDER BY 1"
        let before = try await jobs.psql(ids)
        let said = try await applied(
            jobs,
            Self.file.replacing("30 2 * * *", with: "0 3 * * *")
                .replacing("DELETE FROM report", with: "TRUNCATE report")
                .replacing("[[1], [2]]", with: "[[1], [3], [4]]")
                .replacing("timeout: 10 minutes", with: "ignore_error: true")
                .replacing("[[hello], [there]]", with: "[[there]]")
                .replacing("on_failure: tell\n      excluded: [tell]", with: "on_failure: greet"))
        #expect(
            said == [
                "~ base task \"clear\"", "    - DELETE FROM report", "    + TRUNCATE report",
                "~ chain of \"nightly\"", "    - \"fill\" (timeout 10 minutes)",
                "    + \"fill\" (ignore_error)",
                "~ config \"nightly\": schedule 30 2 * * * → 0 3 * * *",
                "~ config \"nightly\": parameters of element 2", "    - [2]", "    + [3]",
                "    + [4]", "~ config \"greet\": parameters of element 1", "    - [\"hello\"]",
                "~ config \"nightly\": excluded none, on_failure \"greet\"",
            ], "\(said.joined(separator: "\n"))")
        #expect(try await jobs.psql(ids) == before)
        #expect(
            try await jobs.psql(
                """
                SELECT p.order_id, p.value FROM timetable.chain_execution_parameters p
                JOIN timetable.chain_execution_config c USING (chain_execution_config)
                WHERE chain_name IN ('nightly', 'greet') ORDER BY chain_name DESC, order_id
                """) == "1|[1]\n2|[3]\n3|[4]\n1|[\"there\"]")
    }

    @Test func onlyPruneDeletes() async throws {
        let jobs = try await JobDatabase("apply_prune")
        _ = try await applied(jobs, Self.file)
        try await jobs.psql(Served.statements(addingConfig: "by hand", [("SQL", "SELECT 1")]))
        let less = """
            carillon: 1
            tasks: {echo: {program: /bin/echo}}
            chains:
            - elements: [echo]
              configs:
                greet:
                  schedule: 0 9 * * *
                  live: false
                  parameters: {echo: [[hello], [there]]}
            """
        #expect(try await applied(jobs, less) == ["Nothing to change."])
        let names = "SELECT chain_name FROM timetable.chain_execution_config ORDER BY 1"
        #expect(try await jobs.psql(names) == "by hand\ngreet\nnightly\ntell")
        #expect(
            try await applied(jobs, less, "--prune", "--name", "t*") == ["- config \"tell\""])
        #expect(
            try await applied(jobs, less, "--prune", "--dry-run").prefix(2)
                == ["- config \"by hand\"", "- config \"nightly\""])
        #expect(try await jobs.psql(names) == "by hand\ngreet\nnightly")
        _ = try await applied(jobs, less, "--prune")
        #expect(try await jobs.psql(names) == "greet")
        // With their chains and base tasks, built-ins excepted.
        #expect(
            try await jobs.psql(
                "SELECT name FROM timetable.base_task WHERE kind <> 'BUILTIN'") == "echo")
        #expect(try await jobs.psql("SELECT count(*) FROM timetable.task_chain") == "1")
        let all = try await jobs.carillon(["apply", "--prune", "-"], stdin: "carillon: 1\n")
        #expect(all.end == .exited(65))
        #expect(all.stderr.contains("--prune would delete all there are"))
        #expect(try await jobs.psql(names) == "greet")
    }

    /// A chain that another config runs too is not changed under it.
    @Test func aSharedChainIsSplitWhenOneLeaves() async throws {
        let jobs = try await JobDatabase("apply_split")
        _ = try await applied(jobs, Self.file)
        _ = try await applied(
            jobs,
            """
            carillon: 1
            chains:
            - elements: [echo, clear]
              configs: {greet: {schedule: 0 9 * * *, parameters: {echo: [[hello], [there]]}}}
            """)
        #expect(
            try await jobs.psql(
                """
                SELECT chain_name, count(*) FROM timetable.chain_execution_config c
                JOIN timetable.task_chain t
                    ON t.chain_id = c.chain_id OR t.parent_id = c.chain_id
                WHERE chain_name IN ('tell', 'greet') GROUP BY 1 ORDER BY 1
                """) == "greet|2\ntell|1")
        #expect(
            try await jobs.psql(
                """
                SELECT count(*) FROM timetable.chain_execution_parameters p
                JOIN timetable.chain_execution_config c USING (chain_execution_config)
                WHERE c.chain_name = 'greet' AND p.chain_id = c.chain_id
                """) == "2")
    }

    @Test func secretsAreNeverWrittenAndNeverLost() async throws {
        let jobs = try await JobDatabase("apply_secret")
        _ = try await applied(
            jobs,
            """
            carillon: 1
            tasks: {far: {sql: SELECT 1}}
            chains:
            - elements:
              - {task: far, database_connection: "host=h password=hunter2 dbname=d"}
              - SendMail
              configs:
                mail:
                  parameters:
                    SendMail:
                    - {Password: hunter2, Subject: a}
                    - {Attachment: ["ftp://u:hunter2@h/x"]}
                    far: [["tell"], ["hunter2"]]
            """)
        try await jobs.psql(
            """
            UPDATE timetable.chain_execution_parameters SET secret = true
            WHERE value = '["hunter2"]'
            """)
        let result = try await jobs.carillon(["export"])
        let exported = result.stdout
        #expect(!exported.contains("hunter2"))
        #expect(result.stderr.contains("*** stands for passwords"))
        let before = try await jobs.everything()
        #expect(try await applied(jobs, exported) == ["Nothing to change."])
        #expect(try await jobs.everything() == before)
        let said = try await applied(
            jobs,
            exported.replacing("\"a\"", with: "\"b\"").replacing("dbname=d", with: "dbname=e")
                .replacing("password=*** ", with: ""))
        #expect(!said.joined().contains("hunter2"))
        #expect(
            try await jobs.psql(
                "SELECT value ->> 'Password' FROM timetable.chain_execution_parameters "
                    + "WHERE value ->> 'Subject' = 'b'") == "hunter2")
        let other = try await JobDatabase("apply_secret2")
        let refused = try await other.carillon(["apply", "-"], stdin: exported)
        #expect(refused.end == .exited(1))
        for text in ["connect string host=h password=*** dbname=d", "row 1 of the parameters"] {
            #expect(refused.stderr.contains(text), "\(refused.stderr)")
        }
    }

    @Test func mistakesSayWhere() async throws {
        let jobs = try await JobDatabase("apply_mistake")
        let before = try await jobs.everything()
        for (file, code, text) in [
            ("carillon: 1\nchains: 7\n", 65, "-, line 2, column 9: chains: a list is expected"),
            (
                "carillon: 1\nchains:\n- elements: [none]\n  configs: {a: {}}\n", 1,
                "there is no base task \"none\""
            ),
            (
                "carillon: 1\nchains:\n- elements: [NoOp]\n  configs: {a: {on_failure: b}}\n", 1,
                "config \"a\": there is no config \"b\""
            ),
            (
                "carillon: 1\nchains:\n- elements: [NoOp]\n  configs: {a: {retries: -1}}\n", 1,
                "retries_is_not_negative"
            ),
        ] {
            let result = try await jobs.carillon(["apply", "-"], stdin: file)
            #expect(result.end == .exited(Int32(code)), "\(result.stderr)")
            #expect(result.stderr.contains(text), "\(result.stderr)")
        }
        #expect(try await jobs.everything() == before)
    }

    /// Whatever the names, scripts and values: what is applied is exported, and is the same again.
    @Test(arguments: 1...6 as ClosedRange<UInt64>) func anySetOfJobs(seed: UInt64) async throws {
        let jobs = try await JobDatabase("apply_any")
        var random = RandomJobs(seed: seed)
        let file = JobFile.text(random.jobs(chains: 12))
        _ = try await applied(jobs, file)
        let exported = try await jobs.carillon(["export"]).stdout
        let again = try await applied(jobs, exported)
        // Roles that are missing are told of each time.
        #expect(again.last == "Nothing to change.", "\(again.joined(separator: "\n"))")
        let other = try await JobDatabase("apply_any_other")
        _ = try await applied(other, exported)
        #expect(try await other.carillon(["export"]).stdout == exported)
        // From any set to any other.
        let next = JobFile.text(random.jobs(chains: 12))
        _ = try await applied(other, next, "--prune")
        let pruned = try await applied(other, next, "--prune")
        #expect(pruned.last == "Nothing to change.", "\(pruned.joined(separator: "\n"))")
        let fresh = try await JobDatabase("apply_any_fresh")
        _ = try await applied(fresh, next)
        #expect(
            try await other.carillon(["export"]).stdout
                == fresh.carillon(["export"]).stdout)
    }
}

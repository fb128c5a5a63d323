import TestSupport
import Testing

/// `carillon import crontab` against a real database.
struct ImportTests {
    private static let crontab = """
        MAILTO=ops@example.com
        */5 * * * * /usr/local/bin/check-disk --warn 80 >/dev/null
        30 2 * * * /usr/local/bin/backup.sh
        0 0 13 * 5 echo "Friday or the 13th"
        61 * * * * never
        """

    @Test func importedAgainNothingChanges() async throws {
        let jobs = try await JobDatabase("import")
        let first = try await jobs.lines(["import", "crontab", "-"], stdin: Self.crontab)
        #expect(
            first.contains(
                "+ config \"backup.sh\": schedule 30 2 * * *, time_zone Europe/Berlin, live true"))
        #expect(first.contains { $0.contains("line 1: output is not mailed to ops@example.com") })
        #expect(first.contains { $0.contains("line 5: cron would not run it: minute: 61") })
        let made = try await jobs.everything()
        let second = try await jobs.lines(["import", "crontab", "-"], stdin: Self.crontab)
        #expect(second.last == "Nothing to change.")
        #expect(try await jobs.everything() == made)
        // Only the line that changed is changed, and one that is gone stays.
        let third = try await jobs.lines(
            ["import", "crontab", "-"], stdin: "30 3 * * * /usr/local/bin/backup.sh\n")
        #expect(
            third == ["~ config \"backup.sh\": schedule 30 2 * * * → 30 3 * * *"]
                + third.dropFirst())
        #expect(
            try await jobs.psql(
                "SELECT chain_name, schedule FROM timetable.chain_execution_config ORDER BY 1")
                    == """
                    backup.sh|30 3 * * *
                    check-disk --warn 80|*/5 * * * *
                    echo "Friday or the 13th"|0 0 13 * 5
                    """)
    }

    @Test func aDryRunLeavesNoTrace() async throws {
        let jobs = try await JobDatabase("import_dry")
        let before = try await jobs.everything()
        let said = try await jobs.lines(
            ["import", "crontab", "--dry-run", "-"], stdin: Self.crontab)
        #expect(said.contains { $0.hasPrefix("+ config \"backup.sh\"") })
        #expect(said.last == "A dry run: nothing was changed.")
        #expect(try await jobs.everything() == before)
        let json = try await jobs.lines(
            ["import", "crontab", "--json", "--dry-run", "-"], stdin: Self.crontab)
        #expect(json.count == 1 && json[0].hasPrefix(#"{"dry_run": true, "changes": ["#))
        #expect(try await jobs.everything() == before)
    }

    /// Its owner pauses it, gives it a timeout; another import leaves both.
    @Test func whatTheSourceDoesNotSayIsItsOwners() async throws {
        let jobs = try await JobDatabase("import_owner")
        _ = try await jobs.lines(["import", "crontab", "-"], stdin: Self.crontab)
        try await jobs.psql(
            """
            UPDATE timetable.chain_execution_config SET live = false, timeout = '1 hour'
            WHERE chain_name = 'backup.sh'
            """)
        let again = try await jobs.lines(["import", "crontab", "-"], stdin: Self.crontab)
        #expect(again.last == "Nothing to change.")
    }

    @Test func jobsOfOthersAreNotTouched() async throws {
        let jobs = try await JobDatabase("import_other")
        try await jobs.psql(Served.statements(addingConfig: "backup.sh", [("SQL", "SELECT 1")]))
        let before = try await jobs.everything()
        let refused = try await jobs.carillon(["import", "crontab", "-"], stdin: Self.crontab)
        #expect(refused.end == .exited(1))
        #expect(
            refused.stderr.contains(
                "there is a config \"backup.sh\" already, not made by an import"))
        #expect(refused.stderr.contains("nothing was done"))
        #expect(try await jobs.everything() == before)
        _ = try await jobs.lines(
            ["import", "crontab", "--prefix", "cron: ", "--disabled", "-"], stdin: Self.crontab)
        #expect(
            try await jobs.psql(
                """
                SELECT count(*), bool_or(live) FROM timetable.chain_execution_config
                WHERE origin = 'crontab -'
                """) == "3|f")
        // The same lines of another crontab are other jobs.
        let other = try await jobs.carillon(
            ["import", "crontab", "--prefix", "cron: ", "--run-uid", "alice", "-"],
            stdin: Self.crontab)
        #expect(other.stderr.contains("imported from crontab -"))
    }

    /// The third of three lines is refused by the database: nothing of the first two stays.
    @Test func oneBadRowLeavesNothingHalfDone() async throws {
        let jobs = try await JobDatabase("import_bad")
        let before = try await jobs.everything()
        let refused = try await jobs.carillon(
            ["import", "crontab", "-"],
            stdin: "* * * * * a\n* * * * * b\nCRON_TZ=Europe/Nowhere\n* * * * * c\n")
        #expect(refused.end == .exited(1))
        #expect(refused.stderr.contains("\"Europe/Nowhere\" is not a known time zone"))
        #expect(try await jobs.everything() == before)
    }

    @Test func hostileNamesAreOnlyNames() async throws {
        let jobs = try await JobDatabase("import_hostile")
        let hostile = [
            #"'; DROP SCHEMA timetable CASCADE; --"#,
            #"$$ \' \\ "x" {a,"b\"} %s"#.replacing("%", with: "\\%"),
            "\u{1B}[31mred\u{7}", "е\u{301}\u{202E}ض 🂡",
        ]
        let said = try await jobs.lines(
            ["import", "crontab", "-"],
            stdin: hostile.map { "* * * * * \($0)\n" }.joined())
        #expect(!said.joined().unicodeScalars.contains("\u{1B}"))
        let parameters = try await jobs.psql(
            """
            SELECT value ->> 1 FROM timetable.chain_execution_parameters
            ORDER BY chain_execution_config
            """)
        #expect(
            parameters == hostile.joined(separator: "\n").replacing("\\%", with: "%"))
        let file = try await jobs.carillon(["export"]).stdout
        #expect(try await jobs.lines(["apply", "-"], stdin: file) == ["Nothing to change."])
    }

    @Test func whatItRunsIsWhatCronRan() async throws {
        let served = try await Served.fresh("import_run")
        let jobs = served.database
        let result = try await runProgram(
            DaemonProcess.builtCarillon(), ["import", "crontab", "-"],
            environment: jobs.environment,
            stdin: """
                GREETING=it's $HOME
                HOME=/tmp
                * * * * * echo "$GREETING" in $PWD | tr a-z A-Z; cat%one%\\%two
                """)
        #expect(result.end == .exited(0), "\(result.stderr)")
        let config = try await served.psql(
            "SELECT chain_execution_config FROM timetable.chain_execution_config")
        #expect(try await served.run(#require(Int(config))).hasPrefix("CHAIN_DONE"))
        #expect(
            try await served.psql("SELECT output FROM timetable.execution_log LIMIT 1")
                == "IT'S $HOME IN /TMP\none\n%two\n")
    }

    @Test func mistakesHaveTheirExitCodes() async throws {
        let jobs = try await JobDatabase("import_codes")
        let missing = try await jobs.carillon(["import", "crontab", "/nonexistent/crontab"])
        #expect(missing.end == .exited(65))
        #expect(missing.stderr.contains("/nonexistent/crontab can't be read"))
        #expect(
            try await jobs.carillon(["import", "crontab", "--system", "--run-uid", "a", "-"]).end
                == .exited(64))
        let elsewhere = try await jobs.carillon(["import", "pg_cron"])
        #expect(elsewhere.end == .exited(1))
        #expect(elsewhere.stderr.contains("has no table cron.job of pg_cron"))
        let bare = try await PrivateCluster.database("import_bare")
        let noSchema = try await runProgram(
            DaemonProcess.builtCarillon(), ["import", "crontab", "-"],
            environment: bare.environment, stdin: "* * * * * a\n")
        #expect(noSchema.end == .exited(6))
        #expect(noSchema.stderr.contains("has no schema timetable of this version"))
        try await jobs.psql("ALTER TABLE timetable.chain_execution_config DROP COLUMN origin")
        let old = try await jobs.carillon(["import", "crontab", "-"], stdin: "* * * * * a\n")
        #expect(old.end == .exited(6))
        #expect(old.stderr.contains("carillon migrate installs or upgrades it"))
    }
}

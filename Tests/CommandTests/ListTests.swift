import TestSupport
import Testing

@Suite struct ListTests {
    /// A database with a daemon, and configs of every kind.
    private func filled() async throws -> Served {
        let served = try await Served.fresh("list")
        _ = try await served.addConfig(
            "nightly", [("SQL", "SELECT 1")], columns: "schedule, time_zone",
            values: "'30 2 * * *', 'Asia/Tokyo'")
        _ = try await served.addConfig(
            "yearly", [("SQL", "SELECT 1")], columns: "schedule, time_zone",
            values: "'0 0 1 1 *', 'UTC'")
        _ = try await served.addConfig(
            "off", [("SQL", "SELECT 1")], columns: "schedule, live", values: "'@daily', false")
        let broken = try await served.addConfig("broken", [("SQL", "SELECT 1/0")])
        #expect(try await served.run(broken).hasPrefix("CHAIN_FAILED|division by zero"))
        return served
    }

    @Test func withoutAServer() async throws {
        let database = try await PrivateCluster.database("list")
        let said = try await carillon(database, "list", "--host", "/nowhere")
        #expect(said.code == 2)
        #expect(
            said.err.hasSuffix(
                "? Hint: --host and --port, or PGHOST and PGPORT, say where it is\n"), "\(said)")
    }

    /// Names are what people look for: no terminal is too narrow for them.
    @Test(arguments: [40, 50, 60, 70, 80, 120])
    func namesStay(columns: Int) async throws {
        let served = try await Served.fresh("list")
        _ = try await carillon(
            served.database, "add", "nightly", "--schedule", "@daily", "--sql", "SELECT 1")
        let said = try await onTerminal(served.database, columns: columns, ["list"])
        let lines = said.out.uncoloured.split(separator: "\n")
        #expect(lines.first?.hasSuffix("NAME") == true, "\(said)")
        #expect(lines.last?.hasSuffix("nightly") == true, "\(said)")
        for line in lines { #expect(line.count <= columns) }
    }

    @Test func withoutADaemonNothingFires() async throws {
        let database = try await PrivateCluster.database("list")
        #expect(try await carillon(database, "migrate").code == 0)
        _ = try await carillon(database, "add", "a", "--schedule", "@daily", "--sql", "SELECT 1")
        let listed = try await carillon(database, "list")
        #expect(listed.code == 0 && listed.lines.count == 2, "\(listed)")
        #expect(
            listed.err == "nothing fires: no daemon serves this database; it never did\n",
            "\(listed)")
    }

    @Test func whatIsNextComesFirst() async throws {
        let served = try await filled()
        let said = try await carillon(served.database, "list")
        #expect(said.code == 0)
        #expect(said.lines.count == 3, "\(said)")
        #expect(said.lines[0].hasPrefix("NEXT "))
        #expect(said.lines[0].hasSuffix("LATENESS  OUTCOME  NAME"))
        #expect(said.lines[1].contains(" 02:30:00+09:00 "), "\(said)")
        #expect(said.lines[1].hasSuffix(" nightly"))
        #expect(said.lines[2].contains("-01-01 00:00:00+00:00"))
        #expect(said.lines[2].hasSuffix(" yearly"))
        #expect(
            said.err == "2 more: not live, paused, without chain or @manual; --all shows them\n")

        let all = try await carillon(served.database, "list", "--all", "--utc")
        #expect(all.lines.count == 5 && all.err == "", "\(all)")
        #expect(all.lines[1].contains(" 17:30:00Z "))
        let broken = try #require(all.lines.first { $0.hasSuffix(" broken") })
        #expect(broken.hasPrefix("by request") && broken.contains(" FAILED "), "\(broken)")
        #expect(try #require(all.lines.first { $0.hasSuffix(" off") }).hasPrefix("not live"))
    }

    @Test func filters() async throws {
        let served = try await filled()
        let failed = try await carillon(served.database, "list", "--failed")
        #expect(failed.lines.count == 2 && failed.lines[1].hasSuffix(" broken"), "\(failed)")
        let some = try await carillon(served.database, "list", "*ly")
        #expect(some.lines.count == 3, "\(some)")
        let one = try await carillon(served.database, "list", "off")
        #expect(one.lines.count == 2 && one.lines[1].hasSuffix(" off"), "\(one)")
        // Only * and ? mean something.
        let none = try await carillon(served.database, "list", "n_ghtly%")
        #expect(none.code == 1 && none.err == "carillon: there is no config \"n_ghtly%\"\n")
    }

    @Test func asJSON() async throws {
        let served = try await filled()
        let objects = try await carillon(served.database, "list", "-a", "--json").objects()
        #expect(
            objects.compactMap { $0["name"] as? String } == ["nightly", "yearly", "broken", "off"])
        let nightly = try #require(objects.first)
        #expect(nightly["in_words"] as? String == "at 02:30 every day")
        #expect(nightly["zone"] as? String == "Asia/Tokyo")
        let next = try await served.psql(
            """
            SELECT to_char(f AT TIME ZONE 'Asia/Tokyo', 'YYYY-MM-DD"T"HH24:MI:SS') || '+09:00'
            FROM timetable.next_fires('nightly', 1) AS f
            """)
        #expect(nightly["next"] as? String == next)
        #expect(objects[2]["last_outcome"] as? String == "CHAIN_FAILED")
        #expect(objects[2]["last_reason"] as? String == "division by zero")
    }

    @Test func onATerminal() async throws {
        let served = try await filled()
        let said = try await onTerminal(served.database, columns: 78, ["list", "--all"])
        #expect(said.code == 0)
        #expect(said.out.contains("\u{1B}[31mFAILED\u{1B}[0m"), "\(said)")
        for line in said.out.uncoloured.split(separator: "\n") {
            #expect(line.count <= 78, "\(line)")
        }
        // Without year and offset there is room for names.
        #expect(said.out.uncoloured.contains(" 02:30:00 "), "\(said)")
        let plain = try await onTerminal(
            served.database, columns: 78, ["list", "--all"], environment: ["NO_COLOR": "1"])
        #expect(!plain.out.contains("\u{1B}"), "\(plain)")
        let dumb = try await onTerminal(
            served.database, columns: 78, ["list"], environment: ["TERM": "dumb"])
        #expect(!dumb.out.contains("\u{1B}"))
    }

    /// One value of a hostile row must not drive the terminal, nor forge a row of the table.
    @Test func aHostileRow() async throws {
        let database = try await PrivateCluster.database("list")
        let served = try await Served.on(database)
        let config = try await served.addConfig("x", [("SQL", "SELECT 1/0")])
        try await served.psql(
            """
            UPDATE timetable.chain_execution_config
            SET chain_name = E'a\\nb\\x1b[2J\\x1b]0;t\\x07\\u202e' || repeat('long', 500);
            UPDATE timetable.base_task SET name = E'task\\x1b[2J\\n' WHERE name = 'x 0',
                script = $$DO 'BEGIN RAISE ''bad\u{1B}[31m''; END'$$;
            """.replacing(" WHERE name = 'x 0',\n    script", with: ",\n    script")
                .replacing("$$;", with: "$$ WHERE name = 'x 0';"))
        _ = try await served.run(config)
        let run = try await served.psql("SELECT max(run_status) FROM timetable.run_status")
        for command in [["list", "-a"], ["runs"], ["show", run], ["log"]] {
            let said = try await onTerminal(database, columns: 80, command)
            #expect(said.code == 0)
            let plain = said.out.uncoloured
            #expect(
                !plain.unicodeScalars.contains { $0 == "\u{1B}" || $0 == "\u{202E}" }, "\(plain)")
            if command != ["log"], command.first != "show" {
                #expect(plain.split(separator: "\n").count == 2, "\(plain)")
                #expect(plain.split(separator: "\n").allSatisfy { $0.count <= 80 })
            }
        }
        let objects = try await carillon(database, "show", run, "--json").objects()
        let name = try #require(objects.first?["name"] as? String)
        #expect(name.hasPrefix("a\nb\u{1B}[2J"))
    }

    @Test func aPauseAndAGoneSchema() async throws {
        let served = try await filled()
        try await served.psql(
            """
            UPDATE timetable.chain_execution_config SET paused_until = 'infinity',
                pause_note = 'moving' WHERE chain_name = 'nightly'
            """)
        let said = try await carillon(served.database, "list", "nightly")
        #expect(said.lines.last?.hasPrefix("paused") == true, "\(said)")
        let objects = try await carillon(served.database, "list", "nightly", "--json").objects()
        #expect(objects.first?["pause_note"] as? String == "moving")

        let empty = try await PrivateCluster.database("list")
        let none = try await carillon(empty, "list")
        #expect(none.code == 6)
        #expect(none.err.contains("has no schema timetable"), "\(none)")
        let away = try await carillon(empty, "list", "--host", "/nowhere")
        #expect(away.code == 2)
    }
}

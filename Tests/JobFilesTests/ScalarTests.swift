import JobFiles
import Jobs
import Testing

/// Which values are texts: JSON's words and numbers mean themselves, all else is a text.
struct ScalarTests {
    @Test(
        arguments: [
            ("true", .boolean(true)), ("false", .boolean(false)), ("null", .null), ("~", .null),
            ("", .null), ("\"true\"", .text("true")), ("'false'", .text("false")),
            ("\"null\"", .text("null")), ("'~'", .text("~")), ("''", .text("")),
            ("5", .number("5")), ("-5", .number("-5")), ("0", .number("0")), ("-0", .number("-0")),
            ("2.50", .number("2.50")), ("1e3", .number("1e3")), ("1.5E-07", .number("1.5E-07")),
            ("12345678901234567890123", .number("12345678901234567890123")),
            ("\"5\"", .text("5")), ("'5'", .text("5")), ("|\n          5", .text("5\n")),
            (">-\n          5", .text("5")), ("!!str 5", .text("5")), ("!!str true", .text("true")),
            ("!!str", .text("")), ("! 5", .text("5")), ("&x 5", .number("5")),
            ("+5", .text("+5")), (".5", .text(".5")), ("5.", .text("5.")), ("012", .text("012")),
            ("0x1F", .text("0x1F")), ("0o17", .text("0o17")), ("1_000", .text("1_000")),
            ("1:30", .text("1:30")), (".inf", .text(".inf")), (".NaN", .text(".NaN")),
            ("-", .text("-")), ("yes", .text("yes")), ("No", .text("No")), ("on", .text("on")),
            ("True", .text("True")), ("NULL", .text("NULL")), ("=", .text("=")),
            ("<<", .text("<<")), ("2026-01-31", .text("2026-01-31")),
            ("2026-01-31 09:00:00Z", .text("2026-01-31 09:00:00Z")), ("\"\\x41\\t\"", .text("A\t")),
            ("\"\\ud7ff\\N\"", .text("\u{D7FF}\u{85}")), ("a\n           b", .text("a b")),
            (
                "[1, [true, \"1\"], {a: ~}]",
                .array([
                    .number("1"), .array([.boolean(true), .text("1")]),
                    .object([JSON.Member(key: "a", value: .null)]),
                ])
            ),
            (
                "{b: 1, a: 2, <<: 3, 1: 4}",
                .object([
                    JSON.Member(key: "b", value: .number("1")),
                    JSON.Member(key: "a", value: .number("2")),
                    JSON.Member(key: "<<", value: .number("3")),
                    JSON.Member(key: "1", value: .number("4")),
                ])
            ),
            ("!!seq []", .array([])), ("!!map {}", .object([])),
        ] as [(String, JSON)])
    func aValueIsRead(yaml: String, value: JSON) throws {
        if yaml == "-" {
            // A dash alone is a list of one, as everywhere in YAML.
            #expect(try rows(yaml) == [.array([.null])])
        } else {
            #expect(try rows(yaml) == [value])
        }
    }

    @Test func anAliasIsWhatItsAnchorIs() throws {
        #expect(
            try rows("&x [1, &y {a: b}]\n        - *x\n        - [*y, *y]").map(\.rendered) == [
                #"[1, {"a": "b"}]"#, #"[1, {"a": "b"}]"#, #"[{"a": "b"}, {"a": "b"}]"#,
            ])
        // The last one above counts.
        #expect(
            try rows("&x 1\n        - &x 2\n        - *x") == ["1", "2", "2"].map { .number($0) })
    }

    /// What stands for a text as a script, a name and a value: in quotes where some reader of
    /// YAML takes it for something else.
    @Test(arguments: [
        ("SELECT 1", "SELECT 1"), ("it's", "it's"), ("a:b#c", "a:b#c"), ("a \"b\"", "a \"b\""),
        ("a: b", "'a: b'"), ("it's: b", "'it''s: b'"), ("a #b", "'a #b'"), ("a:", "'a:'"),
        ("a ", "'a '"), (" a", "\" a\""), ("", "\"\""), (" ", "\" \""), ("~", "\"~\""),
        ("=", "\"=\""), ("<<", "\"<<\""), ("-", "\"-\""), ("---", "\"---\""), ("...", "\"...\""),
        ("true", "\"true\""), ("False", "\"False\""), ("yes", "\"yes\""), ("Off", "\"Off\""),
        ("N", "\"N\""), ("null", "\"null\""), ("NULL", "\"NULL\""), ("5", "\"5\""),
        ("1e3", "\"1e3\""), ("0x1F", "\"0x1F\""), ("1_000", "\"1_000\""), (".inf", "\".inf\""),
        ("12:30", "\"12:30\""), ("2026-01-31", "\"2026-01-31\""),
        ("2026-01-31 09:00:00", "\"2026-01-31 09:00:00\""), ("30 2 * * *", "30 2 * * *"),
        ("*/5 * * * *", "\"*/5 * * * *\""), ("@daily", "\"@daily\""), ("[a]", "\"[a]\""),
        ("{a}", "\"{a}\""), ("!a", "\"!a\""), ("&a", "\"&a\""), ("# a", "\"# a\""),
        ("a\\b", "a\\b"), ("\\", "\"\\\\\""), ("/bin/echo", "/bin/echo"), ("é", "é"),
        ("日本 🔔", "日本 🔔"), ("a\tb", "\"a\\tb\""), ("a\rb", "\"a\\rb\""),
        ("a\r\nb\r\n", "\"a\\r\\nb\\r\\n\""), ("a\u{85}b", "\"a\\Nb\""),
        ("a\u{2028}b\u{2029}", "\"a\\Lb\\P\""), ("a\u{1}\u{7F}", "\"a\\x01\\x7F\""),
        ("a\u{1B}[31m", "\"a\\e[31m\""), ("\u{FEFF}a", "\"\\uFEFFa\""),
        ("a\u{202E}b", "\"a\\u202Eb\""), ("a\u{FFFF}", "\"a\\uFFFF\""), ("\n", "\"\\n\""),
        (" \n\t\n", "\" \\n\\t\\n\""), ("a: \u{301}b", "'a: \u{301}b'"),
    ])
    func aTextIsWritten(text: String, yaml: String) throws {
        let written = JobFile.text(jobs(of: text))
        #expect(written.contains("\n    sql: \(yaml)\n"), "\(written)")
        #expect(written.contains("\n  - task: \(yaml)\n"), "\(written)")
        try expectAgain(text, written)
    }

    @Test(arguments: [
        ("a\nb", "|-\n      a\n      b"), ("a\nb\n", "|\n      a\n      b"),
        ("a\nb\n\n\n", "|+\n      a\n      b\n\n"), ("a\n\nb", "|-\n      a\n\n      b"),
        ("  a\nb\n", "|2\n        a\n      b"), ("\na", "|2-\n\n      a"),
        ("\ta\n", "|2\n      \ta"), ("a\n\tb\n", "|\n      a\n      \tb"),
        ("a \n  \nb", "|-\n      a \n        \n      b"),
        ("# a\n- b: 'c\n", "|\n      # a\n      - b: 'c"),
        ("...\n---\n", "|\n      ...\n      ---"), ("🔔\n", "|\n      🔔"), ("5\n", "|\n      5"),
    ])
    func linesStandAsTheyAre(text: String, yaml: String) throws {
        let written = JobFile.text(jobs(of: text))
        #expect(written.contains("\n    sql: \(yaml)\n"), "\(written)")
        try expectAgain(text, written)
    }

    /// Never folded, and no key is too long for its reader.
    @Test(arguments: [1, 100, 999, 1000, 1023, 1024, 1025, 5000, 20_000])
    func aLineIsAsLongAsItIs(length: Int) throws {
        let text = String(repeating: "word ", count: length / 5 + 1).prefix(length - 1) + "x"
        let written = JobFile.text(jobs(of: String(text)))
        #expect(written.contains("sql: \(text)\n"))
        try expectAgain(String(text), written)
    }

    /// Everywhere where a text may be.
    private func jobs(of text: String) -> JobSet {
        var jobs = JobSet()
        jobs.tasks["T" + text] = JobSet.BaseTask(.sql, "T" + text)
        jobs.tasks[text] = JobSet.BaseTask(.sql, text)
        var element = JobSet.Element(text)
        element.runUID = text
        var config = JobSet.Config(text, ["live": "true", "time_zone": text, "client_name": text])
        config.excluded = [text, "other"].sorted()
        config.onFailure = text
        config.parameters[0] = [
            .text(text), .array([.text(text), .number("-1"), .array([]), .object([])]),
            .object([JSON.Member(key: text, value: .array([.text(text), .null]))]),
            .array([.array([.text("a\nb"), .object([JSON.Member(key: text, value: .null)])])]),
        ]
        jobs.chains = [JobSet.Chain([element], [config])]
        return jobs
    }

    private func expectAgain(_ text: String, _ written: String) throws {
        let again = try JobFile.read(written)
        #expect(again == jobs(of: text), "\(written)")
        #expect(JobFile.text(again) == written)
        // Byte for byte, where texts may be equal that are not the same.
        let config = try #require(again.chains.first?.configs.first)
        for copy in [config.name, config.columns["time_zone"], config.onFailure] {
            #expect(copy.map { Array($0.utf8) } == Array(text.utf8), "\(written)")
        }
    }
}

import Terminal
import Testing

@Suite struct TerminalTests {
    @Test(arguments: [
        ("plain", "plain"), ("two\nlines\ttab\r", "two\\nlines\\ttab\\r"),
        ("\u{1B}[31mred\u{1B}]0;title\u{07}", "\\u{1B}[31mred\\u{1B}]0;title\\u{7}"),
        ("\u{9B}2J", "\\u{9B}2J"), ("a\u{202E}b\u{2066}c", "a\\u{202E}b\\u{2066}c"),
        ("line\u{2028}sep", "line\\u{2028}sep"), ("Grüße 日本 👨‍👩‍👧", "Grüße 日本 👨‍👩‍👧"), ("C:\\n", "C:\\n"),
        ("nul\u{0}", "nul\\u{0}"), ("\u{E000}", "\\u{E000}"),
    ])
    func aLineDrivesNoTerminal(text: String, expected: String) {
        #expect(Plain.line(text) == expected)
    }

    @Test func aBlockKeepsItsLines() {
        #expect(Plain.block("a\n\tb\u{1B}[2J\r") == "a\n\tb\\u{1B}[2J\\r")
        #expect(Screen.plain.block("raw\u{1B}") == "raw\u{1B}")
        #expect(Screen(width: 80, usesColour: false).block("raw\u{1B}") == "raw\\u{1B}")
    }

    @Test(arguments: [
        ("abc", 3), ("日本", 4), ("e\u{301}", 1), ("👨‍👩‍👧", 2), ("한국", 4), ("☎️", 2), ("", 0),
    ])
    func widths(text: String, expected: Int) {
        #expect(Plain.width(text) == expected)
    }

    @Test(arguments: [("abcdef", 4, "abc…"), ("abcd", 4, "abcd"), ("日本語", 4, "日…"), ("ab", 0, "")])
    func cutting(text: String, limit: Int, expected: String) {
        #expect(Plain.fit(text, limit) == expected)
        #expect(Plain.width(expected) <= limit)
    }

    private func table() -> Table {
        var table = Table([.text("NAME", least: 6), .right("RUNS"), .text("NOTE", least: 4)])
        table.add(["nightly report of the north", "7", Table.Cell(nil)])
        table.add([Table.Cell("日本", .red), "12345", "bad\nrow\u{1B}[2J"])
        return table
    }

    @Test func offATerminalNothingIsCut() {
        #expect(
            table().lines(on: .plain) == [
                "NAME                          RUNS  NOTE",
                "nightly report of the north      7  -",
                "日本                         12345  bad\\nrow\\u{1B}[2J",
            ])
        #expect(Table([.text("NAME")]).lines(on: .plain) == [])
    }

    @Test(arguments: [1, 2, 5, 9, 10, 17, 20, 30, 40, 59, 60, 61, 500])
    func noLineIsWiderThanTheScreen(width: Int) {
        let lines = table().lines(on: Screen(width: width, usesColour: false))
        #expect(lines.count == 3)
        for line in lines { #expect(Plain.width(line) <= width, "\(line)") }
    }

    @Test func onlyFlexibleColumnsAreCut() {
        #expect(
            table().lines(on: Screen(width: 40, usesColour: false)) == [
                "NAME              RUNS  NOTE",
                "nightly report…      7  -",
                "日本             12345  bad\\nrow\\u{1B}[…",
            ])
    }

    @Test func coloursTakeNoRoom() {
        let lines = table().lines(on: Screen(width: nil, usesColour: true))
        #expect(lines[2].hasPrefix("\u{1B}[31m日本\u{1B}[0m                   "))
        #expect(lines[0].hasPrefix("\u{1B}[1mNAME\u{1B}[0m  "))
    }

    @Test(arguments: [
        (Int64(0), "0us"), (999, "999us"), (1500, "1ms"), (1_250_000, "1.2s"), (59_999_999, "59s"),
        (60_000_000, "1min"), (3_725_000_000, "1h 2min"), (90_000_000_000, "1d 1h"),
        (86_400_000_000, "1d"), (-5_000_000, "-5.0s"), (3_605_000_000, "1h"),
        (Int64.min, "-292271y 8d"),
    ])
    func spans(length: Int64, expected: String) {
        #expect(Span.words(microseconds: length) == expected)
    }

    @Test func jsonIsOneObjectALine() {
        let objects: [JSONText] = [
            .object([
                ("a\"b", .text("x\n\u{1B}\\")), ("n", .of(Int64(7))), ("no", .of(nil as String?)),
                ("raw", .of(json: "{\"k\": [1]}")), ("of", .array([.boolean(true), .null])),
            ]),
            .object([]),
        ]
        #expect(
            JSONText.lines(objects) == #"""
                [{"a\"b": "x\n\u001b\\", "n": 7, "no": null, "raw": {"k": [1]}, "of": [true, null]},
                 {}]
                """#)
        #expect(JSONText.lines([]) == "[]")
        let raw = JSONText.raw("[\"a\u{9B}2J\u{202E}b ü\"]")
        #expect(raw.description == #"["a\u009b2J\u202eb ü"]"#)
        #expect(JSONText.text("\u{2066}\u{85}").description == #""\u2066\u0085""#)
    }
}

import JobFiles
import Testing

/// What is no file of jobs at all: each mistake has its place.
struct MistakeTests {
    static let deep = String(repeating: "[", count: 101) + String(repeating: "]", count: 101)

    @Test(arguments: [
        ("a: [\t1, 2]\n\tb", 2, 1, "cannot start any token"),
        ("a:\n\t- b", 2, 1, "cannot start any token"),
        ("a: b: c", 1, 5, "mapping values are not allowed"),
        ("a: 'b", 1, 6, "end of stream while scanning a quoted scalar from line 1, column 4"),
        ("a: \"\\q\"", 1, 5, "unknown escape character"),
        ("a: \"\\ud800\"", 1, 7, "invalid Unicode character escape code"),
        ("a: [1\nb: 2", 2, 2, "did not find expected ',' or ']'"),
        ("a:\n  - b\n c: d", 3, 2, "did not find expected"),
        ("a: 1\r\nb: 2\r\n\u{7}", 3, 1, "control characters are not allowed: 0x7"),
        ("a: 1\u{85}b: \u{1}", 2, 4, "control characters are not allowed: 0x1"),
        ("a: 1\u{2028}ö\u{2029}\u{0}", 3, 1, "control characters are not allowed: 0x0"),
        ("\u{FEFF}\u{1}", 1, 1, "control characters are not allowed"),
        ("\u{FEFF}carillon: 2", 1, 11, "the form 1 only"),
        ("carillon: 1\r\ncarillon: 1", 2, 1, "first in line 1"),
        ("carillon: 1\n\"carillon\": 1", 2, 1, "carillon: a key that is there twice"),
        ("carillon: 1\nchains: [{elements: [a, {task: b, task: c}]}]", 2, 35, "task: a key"),
        ("carillon: 1\n---\ncarillon: 1", 2, 1, "a second document begins here"),
        ("carillon: 1\n...\n---\n", 3, 1, "a second document begins here"),
        ("carillon: \"1\\0\"", 1, 11, "has the character \\0"),
        ("carillon: *b", 1, 11, "the alias *b stands for nothing: no value above it has &b"),
        ("carillon: &b [*b]", 1, 15, "the alias *b stands for nothing"),
        ("carillon: !!int 1", 1, 11, "the tag tag:yaml.org,2002:int is not known"),
        ("carillon: !x 1", 1, 11, "the tag !x is not known; only !!str may stand here"),
        ("carillon: !!python/object:os.system [x]", 1, 11, "only !!seq may stand here"),
        ("carillon: !y!x 1", 1, 11, "undefined tag handle"),
        ("%YAML 3.0\n---\na: 1", 1, 1, "incompatible YAML document"),
        ("? [a]\n: b", 1, 3, "a key of the file has to be a single value"),
        ("- a", 1, 1, "the file has to be a mapping"),
        ("# nothing\n", 1, 1, "the file is empty"),
        ("a: " + String(repeating: "{b: ", count: 200), 1, 480, "nested deeper than 120"),
        (String(repeating: "- ", count: 500), 1, 241, "nested deeper than 120"),
        (file(parameters: "        - " + deep), 8, 111, "nested deeper than 100"),
    ])
    func hasItsPlace(yaml: String, line: Int, column: Int, text: String) {
        expect(Array(yaml.utf8), line, column, text)
    }

    @Test(
        arguments: [
            ([0xFF], 1, 1, "invalid leading UTF-8 octet: 0xFF"),
            ([0x61, 0x3A, 0x0A, 0xC3, 0xA9, 0xC3, 0x28], 2, 3, "invalid trailing UTF-8 octet"),
            ([0x61, 0xE2, 0x82], 1, 2, "incomplete UTF-8 octet sequence"),
            ([0x61, 0xC0, 0x80], 1, 2, "invalid length of a UTF-8 sequence"),
            ([0x61, 0xED, 0xA0, 0x80], 1, 2, "invalid Unicode character: 0xD800"),
            ([0x61, 0xF8, 0x88], 1, 2, "invalid leading UTF-8 octet"),
        ] as [([UInt8], Int, Int, String)])
    func bytesThatAreNoTextAreShown(bytes: [UInt8], line: Int, column: Int, text: String) {
        expect(bytes, line, column, text)
    }

    private func expect(_ bytes: [UInt8], _ line: Int, _ column: Int, _ text: String) {
        let mistake = #expect(throws: JobFile.Mistake.self) { try JobFile.read(bytes) }
        #expect(mistake?.line == line, "\(String(describing: mistake))")
        #expect(mistake?.column == column, "\(String(describing: mistake))")
        #expect(mistake?.text.contains(text) == true, "\(String(describing: mistake))")
    }

    /// «Billion laughs»: nine lines that mean 10⁹ values.
    @Test func aliasesStandForABoundedAmount() {
        var yaml = "        - &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...9 {
            let alias = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            yaml += "        - &a\(level) [\(alias)]\n"
        }
        let mistake = #expect(throws: JobFile.Mistake.self) {
            try JobFile.read(file(parameters: yaml))
        }
        #expect(mistake?.text == "the aliases stand for more than 16 MiB")
        #expect(mistake?.line == 13)
    }

    /// The bound on how deep values nest counts through aliases.
    @Test func aliasesDoNotHideDepth() {
        var yaml = "        - &a0 [x]\n"
        for level in 1...200 { yaml += "        - &a\(level) [*a\(level - 1)]\n" }
        let mistake = #expect(throws: JobFile.Mistake.self) {
            try JobFile.read(file(parameters: yaml))
        }
        #expect(mistake?.text == "nested deeper than 120")
        #expect(mistake?.column == 18)
    }

    /// libyaml compares each with all before it: a file full of them would take hours.
    @Test func directivesHaveABound() {
        let many = (0...1000).map { "%TAG !a\($0)! b\n" }.joined()
        for yaml in [many + "---\na: 1", "carillon: 1\n...\n" + many, "carillon: 1\r...\r" + many] {
            let mistake = #expect(throws: JobFile.Mistake.self) { try JobFile.read(yaml) }
            #expect(mistake?.text == "it has more than 1000 directives")
        }
    }

    @Test func aFileHasABound() {
        let text = [UInt8](repeating: UInt8(ascii: "#"), count: (64 << 20) + 1)
        let mistake = #expect(throws: JobFile.Mistake.self) { try JobFile.read(text) }
        #expect(mistake?.text == "it is longer than 64 MiB")
    }
}

import Foundation
import TestSupport
import Testing

/// README.md and the pages of the manual: what they show is what a reader would type.
@Suite struct ReadmeTests {
    private static let top =
        "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

    /// In the order in which they are read: the manual goes on with the jobs of the tour.
    private static let documents =
        ["README.md"]
        + ["Manual", "Schedules", "Chains", "CommandLine", "Operating", "Reliability"].map {
            "Sources/carillon/Manual.docc/\($0).md"
        }

    private static func text(of document: String) throws -> String {
        try String(contentsOfFile: "\(top)/\(document)", encoding: .utf8)
    }

    @Test(.timeLimit(.minutes(5))) func whatTheyShowWorks() async throws {
        let mail = try await TestServer("mail", ["plain"])
        var run = ReadmeRun { database in
            let daemon = try DaemonProcess(
                ["serve", "--name", "readme"], environment: database.environment, notify: true)
            try await daemon.waitForNotify("READY=1")
            return daemon
        }
        run.replacements = ["'ServerPort', 25,": "'ServerPort', \(mail.port),"]
        let blocks = try Self.documents.flatMap {
            try ReadmeBlock.all(in: Self.text(of: $0), of: $0)
        }
        try await run.run(blocks)
        #expect(mail.lines("MAIL").count == 3)
        let skipped = blocks.compactMap { block in
            block.skipReason.map { "\(block.document):\(block.line) \($0)" }
        }
        print("\(blocks.count - skipped.count) blocks ran, \(skipped.count) skipped")
        for reason in skipped { print("    skipped: \(reason)") }
    }

    @Test func allPagesAreRead() throws {
        let folder = "Sources/carillon/Manual.docc"
        let files = try FileManager.default.contentsOfDirectory(atPath: "\(Self.top)/\(folder)")
        #expect(Set(files.map { "\(folder)/\($0)" }) == Set(Self.documents.dropFirst()))
        #expect(try ReadmeBlock.all(in: Self.text(of: "README.md")).count > 10)
    }

    /// A page that nobody can find, or a link that leads nowhere, is a mistake.
    @Test func linksLeadSomewhere() throws {
        for path in Self.documents {
            let document = try Self.text(of: path)
            let folder = path.split(separator: "/").dropLast().joined(separator: "/")
            for match in document.matches(of: /\]\(([^)#:]+)(?:#[^)]*)?\)/) {
                let target = "\(Self.top)/\(folder)/\(match.output.1)"
                #expect(
                    FileManager.default.fileExists(atPath: target),
                    "\(path) links to \(match.output.1), which is not there")
            }
        }
    }
}

@Suite struct ReadmeBlockTests {
    private func fenced(_ language: String, _ text: String, _ wishes: String...) -> String {
        let comments = wishes.map { "<!-- test: \($0) -->\n" }.joined()
        return "\(comments)```\(language)\n\(text)\n```\n"
    }

    @Test func blocksComeInOrderWithTheirWishes() throws {
        let text =
            "# Title\n" + fenced("log", "SELECT 0;")
            + fenced("sql", "SELECT 1;", "database tour", "expect 1 row")
            + fenced("shell", "make test", "skip (it runs this test)")
        let blocks = try ReadmeBlock.all(in: text)
        #expect(
            blocks == [
                ReadmeBlock(
                    language: .sql, text: "SELECT 1;\n", line: 7, database: "tour",
                    expected: ["1 row"]),
                ReadmeBlock(
                    language: .shell, text: "make test\n", line: 11,
                    skipReason: "(it runs this test)"),
            ])
    }

    @Test(arguments: [
        ("<!-- test: skpi (why) -->\n```sql\n```\n", 1, "what is `skpi`?"),
        ("a\n<!-- test: skip -->\n```sql\n```\n", 2, "`skip` needs more than its name"),
        ("<!-- test: expect a -->\n\n```sql\n```\n", 1, "no sql or shell block follows"),
        ("<!-- test: expect a -->\n```log\n```\n", 1, "no sql or shell block follows"),
        ("```sql\nSELECT 1;", 2, "the last block has no end"),
    ]) func aMistakeIsFound(text: String, line: Int, message: String) {
        #expect(throws: ReadmeMistake(line: line, message: message)) {
            try ReadmeBlock.all(in: text)
        }
    }
}

@Suite struct ReadmeRunTests {
    private func run(_ text: String, patience: Duration = .seconds(60)) async throws {
        let run = ReadmeRun(serve: { _ in nil }, patience: patience)
        try await run.run(ReadmeBlock.all(in: text))
    }

    private func expectMistake(at line: Int, _ message: String, in text: String) async {
        let error = await #expect(throws: ReadmeMistake.self) {
            try await run(text, patience: .milliseconds(100))
        }
        #expect(error?.line == line)
        #expect(error?.message.contains(message) == true, "\(String(describing: error))")
    }

    @Test func blocksShareTheirDatabaseAndFolder() async throws {
        try await run(
            """
            <!-- test: database one -->
            ```sql
            CREATE TABLE a ();
            ```
            <!-- test: database one -->
            <!-- test: expect one_ -->
            ```shell
            psql -c 'SELECT FROM a'; echo 1 > b; echo "$PGDATABASE"; command -v carillon
            ```
            <!-- test: database one -->
            ```shell
            test -f b
            ```
            <!-- test: database other -->
            ```sql
            CREATE TABLE a ();
            ```
            <!-- test: skip (it would fail) -->
            ```shell
            false
            ```
            """)
    }

    @Test func aBlockThatFailsIsAMistake() async {
        await expectMistake(at: 2, "division by zero", in: "\n```sql\nSELECT 1/0;\n```\n")
        await expectMistake(at: 1, "exited(1)", in: "```shell\nfalse | true\n```\n")
        await expectMistake(at: 1, "unbound", in: "```shell\necho $NO_SUCH_NAME\n```\n")
    }

    @Test func anOutputThatDoesNotComeIsAMistake() async {
        let block = "```sql\nSELECT 'a' || 'b';\n```\n"
        await expectMistake(at: 2, "no `ac`", in: "<!-- test: expect ac -->\n" + block)
        await expectMistake(at: 2, "no `ac`", in: "<!-- test: eventually ac -->\n" + block)
    }

    @Test func anAwaitedOutputIsWaitedFor() async throws {
        try await run(
            """
            <!-- test: eventually aaa -->
            ```shell
            printf a >> counted; cat counted
            ```
            """)
    }
}

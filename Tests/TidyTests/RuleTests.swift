import Testing

/// Each rule on a small sample that breaks it, and on one that looks like it and keeps it.
@Suite struct RuleTests {
    struct Sample: Sendable, CustomStringConvertible {
        let path: String
        let text: String
        /// The lines that break the rule; none for a sample that keeps it.
        let broken: [Int]

        var description: String { "\(path) \(text.debugDescription.prefix(90)) -> \(broken)" }

        init(_ path: String, _ text: String, broken: Int...) {
            (self.path, self.text, self.broken) = (path, text, broken)
        }
    }

    private func expect(_ rule: Rule, on sample: Sample) {
        let findings = rule.look(SourceFile(path: sample.path, text: sample.text))
        #expect(findings.map(\.line) == sample.broken, "\(rule): \(findings)")
    }

    @Test(arguments: [
        Sample("Sources/Scheduling/A.swift", "import Timing\nimport Foundation\n", broken: 2),
        Sample("Sources/Timing/A.swift", "internal import Glibc\n", broken: 1),
        Sample("Sources/Timetable/A.swift", "import CLibpq\n", broken: 1),
        Sample("Sources/Programs/A.swift", "@testable import Postgres\n", broken: 1),
        Sample("Sources/Reactor/A.swift", "public import struct Postgres.Row\n", broken: 1),
        Sample("Sources/Elsewhere/A.swift", "let a = 1\n", broken: 1),
        Sample("Sources/Postgres/A.swift", "internal import CLibpq\npublic import Reactor\n"),
        Sample("Sources/Timing/A.swift", "// import Glibc\nlet a = \"import Glibc\"\n"),
        Sample("Tests/ATests/A.swift", "import Foundation\n"),
    ]) func anImportAgainstTheArrowsIsFound(sample: Sample) {
        expect(.imports, on: sample)
    }

    @Test(arguments: [
        ("try!", "Timing", "let a = try! b()"),
        ("as!", "Timing", "let a = b as! C"),
        ("fatalError", "Timing", "fatalError()"),
        ("Task.sleep", "Timetable", "try await Task.sleep(for: .seconds(1))"),
        ("Task.detached", "Timetable", "Task.detached { }"),
        ("Task { }", "Timetable", "let a = Task { 1 }"),
        ("Task { }", "Timetable", "let a = Task<Void, Never> { }"),
        ("Task( )", "Timetable", "Task(priority: .high) { }"),
        ("Task(executorPreference:)", "carillon", "Task(executorPreference: loop) { }"),
        ("usleep, nanosleep", "Postgres", "usleep(1)"),
        ("epoll", "Postgres", "clinux_epoll_wait(a)"),
        ("posix_spawn", "Timetable", "posix_spawnp(a)"),
        ("libpq", "Timetable", "PQexec(a, b)"),
        ("print", "Timetable", "print(1)"),
        ("print", "Timetable", "  { print(1) }"),
    ]) func aBannedCallIsFound(name: String, room: String, code: String) throws {
        let rule = try #require(Rule.bannedCalls.first { $0.description.contains("\(name): ") })
        expect(rule, on: Sample("Sources/\(room)/A.swift", "let a = 1\n\(code)\n", broken: 2))
        expect(rule, on: Sample("Sources/\(room)/A.swift", "// \(code)\n"))
        expect(rule, on: Sample("Sources/\(room)/A.swift", "let a = #\"\(code)\"#\n"))
        expect(rule, on: Sample("Tests/ATests/A.swift", "\(code)\n"))
    }

    @Test(arguments: [
        Sample("Sources/Reactor/A.swift", "Task(executorPreference: loop) { }\nepoll_wait()\n"),
        Sample("Sources/Programs/A.swift", "posix_spawn(a)\n"),
        Sample("Sources/Postgres/A.swift", "PQfinish(a)\nlet reprint = reprint(1)\n"),
        Sample("Sources/carillon/A.swift", "print(1)\n"),
        Sample("Sources/Timetable/A.swift", "struct SQLTask {}\nlet a: Task<Int, Never>\n"),
        Sample("Sources/Timetable/A.swift", "group.addTask { }\nlog.print(a)\ntry? b()\n"),
    ]) func anAllowedCallIsNoFinding(sample: Sample) {
        for rule in Rule.bannedCalls { expect(rule, on: sample) }
    }

    @Test func uncheckedArithmeticIsFoundInAnyFile() throws {
        let rule = try #require(Rule.bannedCalls.last)
        expect(rule, on: Sample("Makefile", "build:\n\tswiftc -O" + "unchecked\n", broken: 2))
        expect(rule, on: Sample("Makefile", "build:\n\tswiftc -O\n"))
    }

    @Test(arguments: [
        Sample("Sources/Reactor/A.swift", "final class A: @unchecked Sendable {}\n", broken: 1),
        Sample("Sources/Reactor/A.swift", "let a = 1\nnonisolated(unsafe) var b = 1\n", broken: 2),
        Sample("Sources/Reactor/A.swift", "// One thread.\nclass A: @unchecked Sendable {}\n"),
    ]) func anUncheckedSendableNeedsItsReason(sample: Sample) {
        expect(.uncheckedHasReason, on: sample)
    }

    @Test func aLongFileIsFound() {
        let line = "let a = 1\n"
        let long = String(repeating: line, count: 501)
        expect(.fileLength, on: Sample("Sources/A/A.swift", long, broken: 501))
        expect(.fileLength, on: Sample("Sources/A/A.swift", String(long.dropLast(line.count))))
        expect(.fileLength, on: Sample("Tests/ATests/vectors.tsv", long))
    }

    @Test(arguments: ["func a()", "init()", "deinit", "public static func b<C>(_ d: [C]) -> C"])
    func aLongFunctionIsFound(declaration: String) {
        let lines = String(repeating: "    a = \"}\" // }\n", count: 69)
        let whole = "struct A {\n\(declaration) {\n\(lines)}\n}\n"
        expect(.functionLength, on: Sample("Sources/A/A.swift", whole, broken: 2))
        let shorter = whole.replacing("    a = \"}\" // }\n", with: "", maxReplacements: 1)
        expect(.functionLength, on: Sample("Sources/A/A.swift", shorter))
    }

    @Test func aRequirementOfAProtocolHasNoLength() {
        let type = "struct B {\n" + String(repeating: "    var a: Int\n", count: 90) + "}\n"
        let text = "protocol A {\n    func a() -> Int\n}\n" + type
        expect(.functionLength, on: Sample("Sources/A/A.swift", text))
    }

    @Test func aLongLineIsFound() {
        let line = String(repeating: "x", count: 100)
        expect(.lineLength, on: Sample("Sources/A/A.swift", "\(line)\n\(line)x\n", broken: 2))
    }

    @Test(arguments: [
        Sample("sql/10_a.sql", "SELECT\t1\nSELECT 2\nSELECT 3 \n", broken: 1, 3),
        Sample("README.md", "a\r\nb\n", broken: 1),
        Sample("Makefile", "a:\n\tb\n"),
    ]) func aTabOrATrailingBlankIsFound(sample: Sample) {
        expect(.whitespace, on: sample)
    }

    @Test(arguments: [
        Sample("Tests/A/ATests.swift", "@Suite struct A {\n    func b() {}\n}\n", broken: 2),
        Sample("Tests/A/ATests.swift", "struct ATests {\n    func b() async {}\n}\n", broken: 2),
        Sample("Tests/A/ATests.swift", "extension ATests {\n    func b() {}\n}\n", broken: 2),
        Sample(
            "Tests/A/ATests.swift", "struct A {\n@Test func b() {}\nfunc c() {}\n}\n", broken: 3),
        Sample("Tests/A/ATests.swift", "func a() {}\n", broken: 1),
        Sample("Tests/A/ATests.swift", "@Suite struct A {\n    private func b() {}\n}\n"),
        Sample("Tests/A/ATests.swift", "@Suite struct A {\n    @Test func b() {}\n}\n"),
        Sample(
            "Tests/A/ATests.swift",
            "@Suite struct A {\n    @Test(\"b\", arguments: [{ 1 }(), (2)])\n    func b() {}\n}\n"),
        Sample("Tests/A/ATests.swift", "@Test func a() {\n    func inner() {}\n}\n"),
        Sample("Tests/A/ATests.swift", "private struct Model {\n    func step() {}\n}\n"),
        Sample("Tests/A/ATests.swift", "struct Model {\n    func step() {}\n}\n"),
        Sample("Tests/A/Model.swift", "struct ATests {\n    func b() {}\n}\n"),
    ]) func aTestThatLostItsAttributeIsFound(sample: Sample) {
        expect(.namelessTests, on: sample)
    }

    @Test(arguments: [
        Sample("Sources/Timetable/A.swift", "let a = \"SELECT 1\"\n", broken: 1),
        Sample(
            "Sources/Timetable/A.swift", "\nlet a = \"\"\"\n    UPDATE b\n    \"\"\"\n", broken: 2),
        Sample("Sources/Timetable/A.swift", "let a = #\"INSERT INTO b\"#\n", broken: 1),
        Sample("Sources/Timetable/A.swift", "let a = \"x FROM timetable.log\"\n", broken: 1),
        Sample("Sources/Timetable/Statements.swift", "let a = \"SELECT 1\"\n"),
        Sample("Sources/Postgres/A.swift", "let a = \"SELECT 1\"\n"),
        Sample("Sources/Timetable/A.swift", "// SELECT 1\nif tag == \"ROLLBACK\" {}\n"),
        Sample("Sources/Timetable/A.swift", "throw A(\"it may not select or UPDATE\")\n"),
    ]) func aStatementOutsideItsFileIsFound(sample: Sample) {
        expect(.statementsInOnePlace, on: sample)
    }

    @Test func aPlaceOfOneMachineIsFound() {
        for place in ["/ho" + "me/me", "/wo" + "rk/a", Repository.top] {
            expect(.places, on: Sample("README.md", "see\n`\(place)/b`\n", broken: 2))
            expect(.places, on: Sample("Makefile", "a = \(place)/b\n", broken: 1))
        }
        let kept = "/usr/bin/x and/or/else */5 /date https://a.b/c/d //comment </b> a/b/c 1/2/3\n"
        expect(.places, on: Sample("README.md", kept))
        expect(.places, on: Sample("README.md", "(/etc/passwd) '/tmp/carillon-x/y'\n"))
    }

    @Test func codeInALiteralOfALiteralIsStillALiteral() {
        let text = #"let a = "x\(b("try! \(c)"))y"; let d = 1 /* try! /* try! */ try! */ + 2"#
        let file = SourceFile(path: "Sources/A/A.swift", text: text)
        #expect(!String(code: file.code).contains("try!"))
        #expect(String(code: file.code).contains("let d = 1"))
        #expect(String(code: file.code).contains("+ 2"))
    }
}

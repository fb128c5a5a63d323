import TestSupport
import Testing

@Suite struct TidyTests {
    @Test(arguments: Rule.all) func theRepositoryKeeps(rule: Rule) throws {
        let files = try Repository.allFiles.get()
        #expect(files.contains { $0.path == "Package.swift" })
        let findings = files.flatMap(rule.look)
        #expect(findings.isEmpty, "\(findings.map(\.description).joined(separator: "\n"))")
    }
}

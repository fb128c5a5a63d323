/// A place that breaks a rule. The failure message of a test is a list of these.
struct Finding: Equatable, CustomStringConvertible {
    var path: String
    var line: Int
    var message: String

    var description: String { "\(path):\(line): \(message)" }
}

/// One thing that the sources keep to: a name and a pure look at a file.
struct Rule: Sendable, CustomStringConvertible {
    let description: String
    let look: @Sendable (SourceFile) -> [Finding]

    /// A rule on single lines: `check` returns what is wrong with one, or nil.
    static func lines(
        _ description: String, in applies: @escaping @Sendable (SourceFile) -> Bool,
        check: @escaping @Sendable (String) -> String?
    ) -> Rule {
        Rule(description: description) { file in
            guard applies(file) else { return [] }
            return file.lines.enumerated().compactMap { index, line in
                check(line).map { Finding(path: file.path, line: index + 1, message: $0) }
            }
        }
    }

    static let all: [Rule] =
        [imports, fileLength, functionLength, lineLength, whitespace, namelessTests]
        + [statementsInOnePlace, uncheckedHasReason, places] + bannedCalls
}

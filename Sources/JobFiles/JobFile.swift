internal import Jobs

/// A set of jobs as a file in YAML: for people to review, for tools to compare.
public enum JobFile {
    /// What is wrong with a file, and where.
    public struct Mistake: Error, Equatable, Sendable, CustomStringConvertible {
        /// From 1.
        public let line: Int
        public let column: Int
        public let text: String

        init(_ place: Place, _ text: String) {
            (line, column, self.text) = (place.line, place.column, text)
        }

        public var description: String { "line \(line), column \(column): \(text)" }
    }

    /// The number behind the key `carillon`: that of this form.
    static let form = "1"

    /// What stands for the kind of a base task.
    static let kinds: [(key: String, kind: JobSet.Kind)] = [
        ("sql", .sql), ("program", .program), ("built_in", .builtIn),
    ]

    /// How the parameters of an element are named: by its base task, or where that is not enough
    /// by its number.
    static func keys(_ elements: [JobSet.Element]) -> [String] {
        elements.enumerated().map { position, element in
            let isUnique = elements.count { $0.task == element.task } == 1
            let isNumber = Int(element.task) != nil
            return isUnique && !isNumber ? element.task : "\(position + 1)"
        }
    }
}

extension Rule {
    private static func hasExtension(_ file: SourceFile, _ extensions: [String]) -> Bool {
        extensions.contains { file.path.hasSuffix(".\($0)") }
    }

    static let fileLength = Rule(description: "files have 500 lines at most") { file in
        guard hasExtension(file, ["swift", "h", "c", "sh"]), file.lines.count > 501 else {
            return []
        }
        return [Finding(path: file.path, line: 501, message: "\(file.lines.count - 1) lines")]
    }

    static let lineLength = Rule.lines(
        "lines have 100 columns at most", in: { hasExtension($0, ["swift", "h", "c"]) },
        check: { line in
            // A literal that has the line for itself may be a message word for word.
            let text = line.drop { $0 == " " }
            let isLiteral = text.hasPrefix("\"") && (text.hasSuffix("\"") || text.hasSuffix("\","))
            return line.count > 100 && !isLiteral ? "\(line.count) columns" : nil
        })

    static let whitespace = Rule.lines(
        "no tabs, no trailing blanks",
        in: { hasExtension($0, ["swift", "h", "c", "sql", "sh", "md"]) },
        check: { line in
            if line.contains("\t") { return "a tab" }
            return line.last == " " ? "a trailing blank" : nil
        })

    static let functionLength = Rule(description: "functions have 70 lines at most") { file in
        file.functions.compactMap { function in
            guard function.lines > 70 else { return nil }
            return Finding(
                path: file.path, line: function.line,
                message: "\(function.name) has \(function.lines) lines")
        }
    }

    /// In a file `…Tests.swift`, a function of a suite or at the top is a test, or private: a test
    /// that lost its attribute would pass for ever.
    static let namelessTests = Rule(description: "what looks like a test is one") { file in
        guard file.fileName.hasSuffix("Tests.swift") else { return [] }
        return file.functions.compactMap { function in
            let words = function.modifiers
            guard function.isMemberOfSuite, !words.contains("@Test"),
                !words.contains(where: { ["private", "fileprivate", "static"].contains($0) })
            else { return nil }
            return Finding(
                path: file.path, line: function.line,
                message: "\(function.name) has no @Test; a helper is private")
        }
    }

    static let statementsInOnePlace = Rule(
        description:
            "every SQL statement of Timetable is in Statements.swift or Statements+NOUN.swift"
    ) { file in
        guard file.room == "Timetable", !file.fileName.hasPrefix("Statements") else { return [] }
        let starts =
            #"^\s*(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|LISTEN|SAVEPOINT|"#
            + #"ROLLBACK TO|SET LOCAL|SET ROLE|LOCK TABLE|COPY|CALL)\s+\S|\bFROM timetable\."#
        guard let statement = try? Regex(starts) else { return [] }
        return file.literals.compactMap { literal in
            guard literal.text.contains(statement) else { return nil }
            return Finding(
                path: file.path, line: literal.line, message: "a statement outside of its file")
        }
    }
}

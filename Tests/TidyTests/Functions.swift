/// A function as the rules see it.
struct FunctionShape {
    var name: String
    /// The line of `func`, and the number of lines from there to the closing brace.
    var line: Int
    var lines: Int
    /// Attributes (without their arguments) and modifiers.
    var modifiers: [String]
    /// Declared at the top of the file, or in a type that holds tests.
    var isMemberOfSuite: Bool
}

extension SourceFile {
    /// Works on blanked code only.
    func findFunctions() -> [FunctionShape] {
        var shapes: [FunctionShape] = []
        var openers: [Int] = []
        var index = 0
        while index < code.count {
            if code[index] == "{" { openers.append(index) }
            if code[index] == "}" { _ = openers.popLast() }
            if let keyword = declarationKeyword(at: index) {
                if let body = bodyOfDeclaration(from: index + keyword.count) {
                    let first = line(of: index)
                    shapes.append(
                        FunctionShape(
                            name: declaredName(keyword, at: index), line: first,
                            lines: line(of: body.upperBound) - first + 1,
                            modifiers: modifiers(before: index),
                            isMemberOfSuite: keyword == "func" && isSuite(openers.last)))
                }
                index += keyword.count
            } else {
                index += 1
            }
        }
        return shapes
    }

    private func isWord(_ index: Int) -> Bool {
        code.indices.contains(index)
            && (code[index].properties.isAlphabetic || ("0"..."9").contains(code[index])
                || "_`@.".unicodeScalars.contains(code[index]))
    }

    private func declarationKeyword(at index: Int) -> String? {
        guard "fid".unicodeScalars.contains(code[index]), !isWord(index - 1) else { return nil }
        return ["func", "init", "deinit"].first { keyword in
            let end = index + keyword.count
            return end < code.count && code[index] == keyword.unicodeScalars.first
                && code[index..<end].elementsEqual(keyword.unicodeScalars) && !isWord(end)
        }
    }

    private func declaredName(_ keyword: String, at index: Int) -> String {
        guard keyword == "func" else { return keyword }
        let rest = code[(index + keyword.count)...].drop { $0.properties.isWhitespace }
        return String(code: rest.prefix { $0 != "(" && $0 != "<" && !$0.properties.isWhitespace })
    }

    /// The braces of the body; nil for a requirement of a protocol, which is followed by the next
    /// declaration or by the end of the protocol.
    private func bodyOfDeclaration(from start: Int) -> ClosedRange<Int>? {
        var depth = 0
        var index = start
        while index < code.count {
            switch code[index] {
            case "(", "[": depth += 1
            case ")", "]": depth -= 1
            case "{" where depth == 0:
                return closingBrace(of: index).map { index...$0 }
            case "}" where depth == 0: return nil
            default: if depth == 0, declarationKeyword(at: index) != nil { return nil }
            }
            index += 1
        }
        return nil
    }

    private func closingBrace(of opener: Int) -> Int? {
        var depth = 0
        for index in opener..<code.count {
            if code[index] == "{" { depth += 1 }
            if code[index] == "}" { depth -= 1 }
            if depth == 0 { return index }
        }
        return nil
    }

    /// Reads back over words and balanced parentheses to what is no part of the declaration.
    private func modifiers(before index: Int) -> [String] {
        let known: Set<String> = [
            "public", "package", "internal", "private", "fileprivate", "static", "class", "final",
            "override", "mutating", "nonisolated", "isolated", "borrowing", "consuming",
        ]
        var words: [String] = []
        var position = index - 1
        while position >= 0 {
            if code[position].properties.isWhitespace {
                position -= 1
            } else if code[position] == ")" {
                var depth = 0
                repeat {
                    if code[position] == ")" { depth += 1 }
                    if code[position] == "(" { depth -= 1 }
                    position -= 1
                } while depth > 0 && position >= 0
            } else {
                let end = position
                while isWord(position) { position -= 1 }
                guard position < end else { break }
                let word = String(code: code[(position + 1)...end])
                guard word.hasPrefix("@") || known.contains(word) else { break }
                words.append(word)
            }
        }
        return words
    }

    /// Whether the brace opens a type that holds tests; nil is the top of the file.
    private func isSuite(_ opener: Int?) -> Bool {
        guard let opener else { return true }
        let headerStart = code[..<opener].lastIndex { "{};".unicodeScalars.contains($0) } ?? -1
        let header = String(code: code[(headerStart + 1)..<opener])
        let words = header.split { !$0.isLetter && !$0.isNumber && !"@_".contains($0) }
        let kinds: Set<Substring> = ["struct", "class", "actor", "enum", "extension"]
        guard let kind = words.lastIndex(where: { kinds.contains($0) }), kind + 1 < words.count,
            !words.contains("func"), !words.contains("private"), !words.contains("fileprivate")
        else { return false }
        let body = closingBrace(of: opener).map { String(code: code[opener...$0]) } ?? ""
        return words.contains("@Suite") || words[kind + 1].hasSuffix("Tests")
            || body.contains("@Test")
    }
}

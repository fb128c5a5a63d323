internal import FoundationEssentials
internal import Timetable

/// A file of settings: the options of the command line by their long names, one a line.
///
/// `name = value`, for a flag `name` alone; `#` begins a comment line. What the command line says
/// comes after it and wins.
enum SettingsFile {
    /// The file's lines as arguments. Throws a sentence that names the file and the line.
    static func arguments(_ path: String) throws(StartFailure) -> [String] {
        let text: String
        do {
            text = try String(contentsOf: URL(filePath: path), encoding: .utf8)
        } catch {
            throw StartFailure(.badOptions, "the settings in \(path) can't be read: \(error)")
        }
        var arguments: [String] = []
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            let setting = trimmed(line)
            guard !setting.isEmpty, !setting.hasPrefix("#") else { continue }
            let parts = setting.split(separator: "=", maxSplits: 1).map(trimmed)
            guard let name = parts.first, isName(name) else {
                throw StartFailure(
                    .badOptions,
                    "\(path), line \(index + 1): expected \"name = value\" or the name of a flag")
            }
            arguments.append(parts.count == 1 ? "--\(name)" : "--\(name)=\(parts[1])")
        }
        return arguments
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop(while: \.isWhitespace)
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }

    private static func isName(_ text: Substring) -> Bool {
        text != "settings" && !text.isEmpty && !text.hasPrefix("-")
            && text.allSatisfy { $0.isLetter || $0 == "-" }
    }
}

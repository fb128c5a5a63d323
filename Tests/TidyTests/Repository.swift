import Foundation
import TestSupport

/// The checkout that these tests were built from.
enum Repository {
    static let top = String(
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
            .joined(separator: "/"))

    /// All text files that git knows or would add, read once.
    static let allFiles = Result { try files() }

    private static func files() throws -> [SourceFile] {
        let options = ["-C", top, "-c", "safe.directory=*", "ls-files", "-z"]
        let listed = try runProgram(
            "git", options + ["--cached", "--others", "--exclude-standard"])
        guard listed.end == .exited(0) else {
            throw NotReached("git ls-files: \(listed.stderr)")
        }
        return Set(listed.stdout.split(separator: "\0")).sorted().compactMap { path in
            // Deleted but not committed, or no text: nothing to look at.
            guard let bytes = FileManager.default.contents(atPath: "\(top)/\(path)"),
                let text = String(bytes: bytes, encoding: .utf8)
            else { return nil }
            return SourceFile(path: String(path), text: text)
        }
    }
}

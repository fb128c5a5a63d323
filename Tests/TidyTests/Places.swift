extension Rule {
    /// Tests of downloads are full of paths of a web server.
    private static func namesURLs(_ path: String) -> Bool {
        path.hasPrefix("Tests/TransfersTests/") || path.hasPrefix("Tests/TestSupport/Servers/")
            || path.hasSuffix("/TransferTests.swift")
    }

    /// A path outside the places that every Linux has names somebody's machine.
    static let places = Rule.lines(
        "no file names a place of one machine",
        in: { !$0.path.hasSuffix(".tsv") && !namesURLs($0.path) },
        check: { line in
            // Most lines have none: a regular expression on each would take most of the time.
            guard line.utf8.contains(UInt8(ascii: "/")) else { return nil }
            for match in line.matches(of: /(?:^|[\s"'`(=:])\/([A-Za-z][\w.-]*)\//)
            where !standardFolders.contains(String(match.output.1)) {
                return "/\(match.output.1)/ is no standard folder"
            }
            let top = Repository.top
            let names = line.contains(top + "/") || line.hasSuffix(top)
            return names ? "the place of this checkout" : nil
        })

    /// Of the Filesystem Hierarchy Standard, those where nobody works.
    private static let standardFolders: Set<String> = [
        "bin", "boot", "dev", "etc", "lib", "lib64", "nonexistent", "opt", "proc", "run", "sbin",
        "srv", "sys", "tmp", "usr", "var",
    ]
}

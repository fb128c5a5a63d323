internal import Glibc
internal import Programs
internal import Reactor

/// A PostgreSQL server that is installed on this host.
struct InstalledPostgres: Sendable, Equatable {
    /// The oldest major version that the schema works with.
    static let oldestMajor = 12

    /// The folder of `initdb` and `postgres`.
    let programs: String
    let major: Int
    /// As the server says it, such as `15.4`.
    let version: String

    /// Where distributions and a build from source put it; `*` as in glob(7).
    private static let places = [
        "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin",
    ]

    /// All in the usual places and on PATH, each version once, the newest first.
    ///
    /// A server is asked for its version: neither the name of its folder nor pg_config(1) need be
    /// right about it.
    static func all(until stopping: Gate) async throws(StartFailure) -> [InstalledPostgres] {
        var folders = places.flatMap(expand)
        let path = (ProcessID.variable("PATH") ?? "").split(separator: ":").map(String.init)
        folders += path
        if let config = path.map({ "\($0)/pg_config" }).first(where: isExecutable) {
            let answer = try await ClusterStep(config, ["--bindir"]).run(until: stopping)
            folders += answer.output.text.split(separator: "\n").map(String.init)
        }
        return try await inFolders(folders, until: stopping)
    }

    /// Those in `folders`, each version once, the newest first.
    static func inFolders(
        _ folders: [String], until stopping: Gate
    ) async throws(StartFailure) -> [InstalledPostgres] {
        var found: [InstalledPostgres] = []
        var seen: Set<String> = []
        for folder in folders where isExecutable("\(folder)/initdb") {
            // A link on PATH is the same server again.
            guard let server = canonicalPath("\(folder)/postgres"), seen.insert(server).inserted
            else { continue }
            let answer = try await ClusterStep(server, ["--version"]).run(until: stopping)
            guard answer.ending == .exited(code: 0), let version = version(answer.output.text)
            else { continue }
            found.append(
                InstalledPostgres(
                    programs: String(server.dropLast("/postgres".count)), major: version.major,
                    version: version.text))
        }
        return found.sorted { $0.major > $1.major }
    }

    /// The one for a new cluster (`wanted` is nil) or for one of the major version `wanted`.
    static func choose(
        from installed: [InstalledPostgres], wanted: Int?, for folder: String
    ) throws(StartFailure) -> InstalledPostgres {
        if let wanted, wanted < oldestMajor {
            throw StartFailure(
                .noPostgres,
                "\(folder) holds a cluster of PostgreSQL \(wanted), and Carillon needs "
                    + "\(oldestMajor) or newer: bring it to a newer version with pg_upgrade, or "
                    + "give another directory")
        }
        if let wanted, let match = installed.first(where: { $0.major == wanted }) { return match }
        if let wanted {
            let others = installed.map(\.version).joined(separator: ", ")
            throw StartFailure(
                .noPostgres,
                "\(folder) holds a cluster of PostgreSQL \(wanted), which is not installed here "
                    + "(\(others.isEmpty ? "no version is" : "found: \(others)")): install "
                    + "postgresql-\(wanted), or give another directory")
        }
        if let newest = installed.first, newest.major >= oldestMajor { return newest }
        let old = installed.first.map { " (found: \($0.version), which is too old)" } ?? ""
        throw StartFailure(
            .noPostgres,
            "no PostgreSQL server of version \(oldestMajor) or newer is installed\(old): install "
                + "one, on Debian with \"apt install postgresql\", or use a server with --host")
    }

    /// `15.4` of `postgres (PostgreSQL) 15.4 (Debian 15.4-1)`, `18` of `18beta1`.
    static func version(_ line: String) -> (major: Int, text: String)? {
        let words = line.split(whereSeparator: \.isWhitespace)
        guard words.count >= 3, words[1] == "(PostgreSQL)",
            let major = Int(words[2].prefix { ("0"..."9").contains($0) })
        else { return nil }
        return (major, String(words[2]))
    }

    private static func isExecutable(_ path: String) -> Bool {
        guard path.hasPrefix("/") else { return false }
        return unsafe access(path, X_OK) == 0
    }

    private static func expand(_ pattern: String) -> [String] {
        var result = unsafe glob_t()
        defer { unsafe globfree(&result) }
        guard unsafe glob(pattern, 0, nil, &result) == 0 else { return [] }
        return unsafe (0..<Int(result.gl_pathc)).compactMap { index in
            unsafe result.gl_pathv[index].map { unsafe String(cString: $0) }
        }
    }
}

/// realpath(3): absolute, without links; nil when there is nothing of that name.
func canonicalPath(_ path: String) -> String? {
    guard let resolved = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
}

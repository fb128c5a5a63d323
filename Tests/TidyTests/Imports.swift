extension Rule {
    /// The drawing of the rooms, as arrows: a room and what it may import. The names of the line
    /// `system` are modules of the platform and of packages; a room has only those it lists.
    private static let drawing = """
        carillon: Timetable Scheduling Timing Reactor Postgres Programs Systemd TimetableSchema
        carillon: ArgumentParser Logging Glibc CLinux FoundationEssentials Terminal
        carillon: Jobs JobFiles
        Terminal:
        carillon-bench: Timetable Scheduling Timing Reactor Postgres Programs TimetableSchema
        carillon-bench: Glibc CLinux FoundationEssentials
        Timetable: Jobs
        Timetable: Scheduling Timing Reactor Postgres Programs Transfers Systemd TimetableSchema
        Timetable: Logging DequeModule Glibc FoundationEssentials Synchronization
        Scheduling: Timing
        Jobs: Scheduling Timing
        JobFiles: Jobs Scheduling CYaml
        Timing:
        Reactor: Timing CLinux Glibc DequeModule Synchronization
        Postgres: Reactor Timing CLibpq Glibc DequeModule FoundationEssentials
        Programs: Reactor Timing CLinux Glibc DequeModule
        Transfers: Reactor Timing CCurl Glibc Synchronization
        Systemd: CSystemd CLinux Glibc
        """

    private static let arrows: [String: Set<String>] = {
        var result: [String: Set<String>] = [:]
        for line in drawing.split(separator: "\n") {
            let halves = line.split(separator: ":", omittingEmptySubsequences: false)
            let names = halves[1].split(separator: " ").map(String.init)
            result[String(halves[0]), default: []].formUnion(names)
        }
        return result
    }()

    static let imports = Rule(description: "imports go only along the arrows") { file in
        guard file.isSwift, let room = file.room else { return [] }
        guard let allowed = arrows[room] else {
            return [Finding(path: file.path, line: 1, message: "\(room) is no room of the drawing")]
        }
        return file.codeLines.enumerated().compactMap { index, line in
            guard let module = importedModule(line), !allowed.contains(module) else { return nil }
            return Finding(
                path: file.path, line: index + 1, message: "\(room) may not import \(module)")
        }
    }

    /// `Reactor` for `@testable public import struct Reactor.Descriptor`.
    private static func importedModule(_ line: String) -> String? {
        let words = line.split(separator: " ").map(String.init)
        guard let keyword = words.firstIndex(of: "import"),
            words[..<keyword].allSatisfy({
                $0.hasPrefix("@") || ["public", "package", "internal", "private"].contains($0)
            })
        else { return nil }
        let kinds = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias"]
        let name = words[(keyword + 1)...].first { !kinds.contains($0) }
        return name?.split(separator: ".").first.map(String.init)
    }
}

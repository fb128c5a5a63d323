internal import ArgumentParser
internal import Glibc
internal import JobFiles
internal import Jobs
internal import Reactor
internal import Terminal
internal import Timetable

/// What the commands have in common that bring jobs in.
enum JobSetCommand {
    /// A file, or what is in it, that can't be taken: the exit code of sysexits(3), EX_DATAERR.
    struct BadFile: Error {
        let message: String
    }

    static func run(_ body: @escaping @LoopActor () async throws -> Void) throws {
        // The zone of a session is the database's, as for the daemon.
        unsafe unsetenv("PGTZ")
        ConnectionOptions.hidePassword()
        let code = EventLoop.shared.run {
            do {
                try await body()
                return 0
            } catch let error as BadFile {
                complain(error.message)
                return EX_DATAERR
            } catch let error as JobBringing.Refused {
                for reason in error.reasons { complain(Plain.line(reason)) }
                complain("nothing was done")
                return 1
            } catch {
                complain((error as? StartFailure)?.message ?? "\(error)")
                return (error as? StartFailure)?.reason.rawValue ?? 1
            }
        }
        throw ExitCode(code)
    }

    static func importing(
        _ source: JobSources.Source, _ place: SourceOptions, _ options: ImportOptions,
        farewell: String
    ) throws {
        let from = place.parameters
        try run {
            let found = try await JobSources.read(
                source, from: from, connection: options.connection.parameters,
                prefix: options.prefix)
            try await options.bring(found.imported, origin: found.origin, farewell: farewell)
        }
    }

    /// A file's text; `-` is standard input. At most 64 MiB, in UTF-8.
    static func text(of path: String) throws(BadFile) -> String {
        guard let text = String(validating: try bytes(of: path), as: UTF8.self) else {
            throw BadFile(message: "\(path) is no text in UTF-8")
        }
        return text
    }

    /// What is in a file; `-` is standard input. At most 64 MiB.
    static func bytes(of path: String) throws(BadFile) -> [UInt8] {
        func unreadable(_ reason: String) -> BadFile {
            BadFile(message: "\(path) can't be read: \(reason)")
        }
        let descriptor = path == "-" ? STDIN_FILENO : unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(unsafe String(cString: strerror(errno))) }
        defer { if path != "-" { close(descriptor) } }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while bytes.count <= 64 << 20 {
            let count = unsafe read(descriptor, &buffer, buffer.count)
            if count > 0 {
                bytes += buffer[..<count]
            } else if count == 0 {
                return bytes
            } else if errno != EINTR {
                throw unreadable(unsafe String(cString: strerror(errno)))
            }
        }
        throw unreadable("it has more than 64 MiB")
    }
}

/// Says what was done with jobs.
enum JobSetReport {
    static func say(_ report: JobBringing.Report, _ remarks: [Remark], isDryRun: Bool) {
        let screen = Screen.output
        for line in report.changes {
            let mark = line.drop { $0 == " " }.prefix(2)
            let colour: Screen.Colour? =
                switch mark {
                case "+ ": .green
                case "- ": .red
                case "~ ": .yellow
                default: nil
                }
            print(screen.paint(Plain.line(line), colour))
        }
        let left = remarks.filter { $0.weight == .left }
        let differences = remarks.filter { $0.weight == .difference }
        for (title, lines) in [
            ("Not the same here:", differences.map(\.line)),
            ("Not brought over:", left.map(\.line)), ("To be done:", report.warnings),
        ] where !lines.isEmpty {
            print("\n" + screen.paint(title, .bold))
            for line in lines { print("  " + Plain.line(line)) }
        }
        if report.changes.isEmpty {
            print("Nothing to change.")
        } else if isDryRun {
            print("\nA dry run: nothing was changed.")
        }
    }

    static func json(
        _ report: JobBringing.Report, _ remarks: [Remark], isDryRun: Bool
    ) -> String {
        func texts(_ lines: [String]) -> JSON { .array(lines.map(JSON.text)) }
        let remarks = remarks.map { remark in
            JSON.object([
                JSON.Member(key: "place", value: remark.place.map(JSON.text) ?? .null),
                JSON.Member(key: "brought_over", value: .boolean(remark.weight != .left)),
                JSON.Member(key: "text", value: .text(remark.text)),
            ])
        }
        return JSON.object([
            JSON.Member(key: "dry_run", value: .boolean(isDryRun)),
            JSON.Member(key: "changes", value: texts(report.changes)),
            JSON.Member(key: "remarks", value: .array(remarks)),
            JSON.Member(key: "warnings", value: texts(report.warnings)),
        ]).rendered
    }
}

internal import ArgumentParser
internal import FoundationEssentials
internal import Glibc
internal import Logging
internal import Postgres
internal import Reactor
internal import Terminal
internal import Timetable
internal import Timing

struct Demo: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve a private database with a few jobs, and show what becomes of them.",
        discussion: """
            At a terminal it goes on until Ctrl-C, else for ten seconds. Without --folder all of \
            it is gone then. Needs PostgreSQL 12 or newer installed.

            Exit codes: 0; 8 no PostgreSQL; others as for serve.
            """)

    @Option(help: ArgumentHelp("Keep the database here.", valueName: "dir"))
    var folder: String?

    @Option(name: .customLong("for"), help: ArgumentHelp("End then.", valueName: "seconds"))
    var seconds: Double?

    mutating func validate() throws {
        if let seconds, !(1...86_400).contains(seconds) {
            throw ValidationError("--for must be from 1 to 86400 seconds")
        }
        if folder == "" { throw ValidationError("--folder needs a directory") }
    }

    mutating func run() throws {
        Serve.prepareProcess()
        ConnectionOptions.forgetVariables()
        let place = try folder ?? Self.temporaryFolder()
        defer { if folder == nil { Self.remove(place) } }
        let patience = seconds ?? (isatty(STDOUT_FILENO) == 1 ? nil : 10)
        let code = EventLoop.shared.run {
            do throws(StartFailure) {
                try await show(in: place, for: patience)
                return 0
            } catch {
                complain(error.message)
                return error.reason.rawValue
            }
        }
        if code != 0 { throw ExitCode(code) }
    }

    private static func temporaryFolder() throws -> String {
        let above = FileManager.default.temporaryDirectory.path
        var path = Array("\(above)/carillon-demo.XXXXXX".utf8CString)
        guard unsafe mkdtemp(&path) != nil else {
            complain("no folder can be made in \(above): say --folder")
            throw ExitCode(1)
        }
        return String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func remove(_ folder: String) {
        do {
            try FileManager.default.removeItem(atPath: folder)
        } catch {
            complain("\(folder) can't be removed: \(error)")
        }
    }
}

/// Runs a daemon, and tells its story beside the lines that it writes itself.
@LoopActor
private func show(in folder: String, for patience: Double?) async throws(StartFailure) {
    var settings = Settings(connection: ConnectionParameters([]), name: "demo")
    settings.embeddedDirectory = folder
    settings.logLevel = .debug
    settings.logFormat = .console
    headline("Starting: carillon serve --embedded \(folder) --name demo --verbose")
    let daemon = Daemon(settings)
    var failure: StartFailure?
    daemon.whenServing {
        guard let database = daemon.privateDatabase else { return }
        do {
            try await tell(daemon, database, for: patience)
        } catch {
            failure = error as? StartFailure ?? StartFailure(.other, "\(error)")
        }
        daemon.stop()
    }
    try await serve(daemon)
    if let failure { throw failure }
}

@LoopActor
private func tell(
    _ daemon: Daemon, _ database: ConnectionParameters, for patience: Double?
) async throws {
    if try await DemoJobs.insert(into: database) {
        headline("Three jobs were inserted. The daemon schedules each when it is committed:")
        emit(["", DemoJobs.script])
    } else {
        headline("The jobs are there from an earlier time; the daemon has read them.")
    }
    let reports = try await Reports.open(database, as: "demo")
    defer { reports.close() }
    guard await daemon.wait(for: .seconds(min(3, (patience ?? 9) / 3))) else { return }
    headline("Running one of them by hand: carillon run 'output date every minute'")
    _ = try await reports.requestRun(
        of: reports.config(named: "output date every minute").id, parameters: nil)
    if let patience {
        guard await daemon.wait(for: .seconds(patience * 2 / 3)) else { return }
    } else {
        headline("It goes on until Ctrl-C.")
        await daemon.waitForStop()
        return
    }
    let screen = Screen.output
    headline("What fires next, and how each ended last: carillon list")
    let now = WallInstant.now()
    let jobs = try await reports.configs(nil, now: now)
    emit([""] + List.table(jobs, now, inUTC: false, screen).lines(on: screen))
    headline("What ran: carillon runs --limit 10")
    let runs = try await reports.runs(config: nil, failedOnly: false, since: nil, limit: 10)
    emit([""] + Runs.table(runs, inUTC: false, screen).lines(on: screen) + [""])
}

@LoopActor
private func headline(_ text: String) {
    emit(["", "--- \(text)"])
}

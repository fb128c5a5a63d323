internal import ArgumentParser
internal import Glibc
internal import Logging
internal import Postgres
internal import Programs
internal import Reactor
internal import Timetable

struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the daemon (also without a subcommand).",
        discussion: """
            Installs the schema timetable where it is missing, then runs what is due until SIGTERM.

            Exit codes: 0 stopped by a signal; 1 another failure; 2 the server can't be reached; \
            3 login refused; 4 no such database; 5 a right is missing; 6 a schema that this \
            version can't use; 7 the name is in use; 8 no PostgreSQL for --embedded; 64 bad options.
            """)

    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    @Option(
        help: ArgumentHelp(
            """
            Serve a private PostgreSQL in this directory: made at the first start, reached by a \
            unix socket only, stopped with the daemon. Needs PostgreSQL 12 or newer installed.
            """, valueName: "dir"))
    var embedded: String?

    @Option(
        name: [.customShort("c"), .long],
        help: "Name of this worker, unique in its database (the host's name).")
    var name: String?

    @Flag(name: .shortAndLong, help: "As --log-level debug: every task, every scheduled config.")
    var verbose = false

    @Option(help: "Least level written to standard output or the journal.")
    var logLevel = LogLevel.info

    @Option(
        help: """
            auto: the journal under systemd, else console; console: lines for people; json: \
            one object a line; journal.
            """)
    var logFormat = LineFormat.auto

    @Option(
        help: ArgumentHelp(
            """
            Read options from this file first: "name = value" lines, their long names without \
            dashes. SIGHUP reads it again.
            """, valueName: "file"))
    var settings: String?

    @Flag(help: "Keep trying when the database can't be reached at start.")
    var wait = false

    @Flag(help: "Wait while a worker of this name serves the database, and take over from it.")
    var standby = false

    @Option(help: ArgumentHelp("How long runs may go on after SIGTERM.", valueName: "seconds"))
    var drainTimeout = 30.0

    @Option(help: "How many runs may be under way at once.")
    var maxRuns = 64

    @Option(help: "How many connections run SQL tasks at most.")
    var sqlConnections = 16

    @Option(
        help: ArgumentHelp(
            "How long such a connection stays open when nothing needs it.", valueName: "seconds"))
    var sqlIdleTimeout = 60.0

    @Option(help: ArgumentHelp("How much output of a program is kept.", valueName: "bytes"))
    var outputLimit = 65_536

    @Flag(help: "Run no programs: SHELL tasks fail.")
    var noPrograms = false

    @Option(
        name: .customLong("program-folder"),
        help: ArgumentHelp(
            """
            Run only programs that are in this folder or below, links resolved; may be repeated.
            """, valueName: "dir"))
    var programFolders: [String] = []

    @Flag(help: "Do not start runs by NOTIFY timetable_run; timetable.run() still does.")
    var noNotify = false

    @Option(help: "Least level written to timetable.log.")
    var databaseLogLevel = LogLevel.info

    mutating func validate() throws {
        guard (0...86_400).contains(drainTimeout) else {
            throw ValidationError("--drain-timeout must be from 0 to 86400 seconds")
        }
        guard (1...100_000).contains(maxRuns) else {
            throw ValidationError("--max-runs must be from 1 to 100000")
        }
        guard (1...1_000).contains(sqlConnections) else {
            throw ValidationError("--sql-connections must be from 1 to 1000")
        }
        guard (0...86_400).contains(sqlIdleTimeout) else {
            throw ValidationError("--sql-idle-timeout must be from 0 to 86400 seconds")
        }
        guard (1_024...67_108_864).contains(outputLimit) else {
            throw ValidationError("--output-limit must be from 1024 to 67108864 bytes")
        }
        programFolders = try programFolders.map { path in
            guard let folder = Footing.resolveFolder(path) else {
                throw ValidationError(
                    "--program-folder needs the absolute path of a folder, not \"\(path)\"")
            }
            return folder
        }
        if let embedded {
            guard !connection.isGiven else {
                throw ValidationError(
                    "--embedded brings its own server: leave out --connection, --host, --port, "
                        + "--dbname, --user, --password")
            }
            guard !embedded.isEmpty else { throw ValidationError("--embedded needs a directory") }
        }
        if let settings, !settings.hasPrefix("/") {
            throw ValidationError("--settings needs an absolute path, not \"\(settings)\"")
        }
        if let name, name.isEmpty || name.utf8.count > 200 {
            throw ValidationError("--name must have 1 to 200 bytes")
        }
    }

    mutating func run() throws {
        Self.prepareProcess()
        let arguments = Array(CommandLine.arguments.dropFirst())
        let file = settings
        let command: Serve
        do throws(StartFailure) {
            command = try Self.reading(file, then: arguments) ?? self
        } catch {
            complain(error.message)
            throw ExitCode(error.reason.rawValue)
        }
        if command.embedded != nil { ConnectionOptions.forgetVariables() }
        ConnectionOptions.hidePassword()
        let code = EventLoop.shared.run {
            do throws(StartFailure) {
                try await serve(
                    Daemon(command.daemonSettings) { () throws(StartFailure) in
                        try Self.reading(file, then: arguments)?.daemonSettings
                    })
                return 0
            } catch {
                complain(error.message)
                return error.reason.rawValue
            }
        }
        throw ExitCode(code)
    }

    /// The command as the file of settings and, after it, the command line say; nil without a file.
    private static func reading(
        _ file: String?, then arguments: [String]
    ) throws(StartFailure) -> Serve? {
        guard let file else { return nil }
        let own = arguments.first == "serve" ? arguments.dropFirst() : arguments[...]
        let all = try SettingsFile.arguments(file) + own
        do {
            return try parse(all)
        } catch {
            throw StartFailure(.badOptions, "the settings in \(file): \(message(for: error))")
        }
    }

    private var daemonSettings: Settings {
        var settings = Settings(
            connection: connection.daemonParameters, name: name ?? Self.hostName)
        settings.embeddedDirectory = embedded
        settings.waitsForDatabase = wait
        settings.standsBy = standby
        settings.drainTimeout = .seconds(drainTimeout)
        settings.maxRuns = maxRuns
        settings.sqlConnections = sqlConnections
        settings.sqlIdleTimeout = .seconds(sqlIdleTimeout)
        settings.outputLimit = outputLimit
        settings.runsPrograms = !noPrograms
        settings.programFolders = programFolders.isEmpty ? nil : programFolders
        settings.acceptsNotifiedRuns = !noNotify
        settings.logLevel = verbose ? .debug : logLevel.level
        settings.databaseLogLevel = databaseLogLevel.level
        settings.logFormat = logFormat.format
        return settings
    }

    /// What a process that is to be a daemon does first.
    static func prepareProcess() {
        // Before any thread is started, so that all of them inherit it.
        Signals.block([SIGTERM, SIGINT, SIGHUP, SIGCHLD])
        signal(SIGPIPE, SIG_IGN)
        openStandardDescriptors()
        // The time zone of configs is the database's, not the one of whoever started the daemon.
        unsafe unsetenv("PGTZ")
    }

    /// Whoever started us with one of them closed would have us use its number for another file,
    /// which a program would get for its input or output.
    private static func openStandardDescriptors() {
        for number in 0...2 as ClosedRange<Int32> where fcntl(number, F_GETFD) < 0 {
            _ = unsafe open("/dev/null", O_RDWR)
        }
    }

    private static var hostName: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard unsafe gethostname(&buffer, buffer.count - 1) == 0 else { return "worker" }
        let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The levels that `timetable.log` knows and a daemon writes.
enum LogLevel: String, CaseIterable, ExpressibleByArgument {
    case debug, info, notice, error

    var level: Logger.Level {
        switch self {
        case .debug: .debug
        case .info: .info
        case .notice: .notice
        case .error: .error
        }
    }
}

/// What lines look like, by the names of the command line.
enum LineFormat: String, CaseIterable, ExpressibleByArgument {
    case auto, console, json, journal

    var format: LogFormat {
        switch self {
        case .auto: .automatic
        case .console: .console
        case .json: .json
        case .journal: .journal
        }
    }
}

/// Serves as the reaper of what programs leave behind: it can be stopped with them then.
@LoopActor
func serve(_ daemon: Daemon) async throws(StartFailure) {
    let orphans: Orphans
    do throws(SystemError) {
        orphans = try Orphans()
    } catch {
        throw StartFailure(.other, "the daemon can't watch the children of programs: \(error)")
    }
    defer { orphans.cancel() }
    try await daemon.serve()
}

internal import ArgumentParser
internal import Jobs
internal import Postgres
internal import Timetable

struct Import: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Bring over the jobs of cron, pg_cron, pg_timetable or pgAgent.",
        discussion: """
            Says what it makes, and job by job what means something else here and what can't be \
            brought over. All or nothing, in one transaction. Import again, and the jobs are \
            brought to what the source says then, whatever was edited here: they are known by \
            their names, and --prefix keeps the names of several sources apart. A job that no \
            import from this source made is never touched; whether a job is live is decided when \
            it is made, and yours from then on.

            Nothing of the source is changed: switch it off yourself, before both run.
            """,
        subcommands: [
            ImportCrontab.self, ImportPgCron.self, ImportPgTimetable.self, ImportPgAgent.self,
        ])
}

struct ImportOptions: ParsableArguments {
    @Flag(name: .customLong("dry-run"), help: "Only say what would be made.")
    var isDryRun = false

    @Flag(name: .customLong("disabled"), help: "Make the configs, but not live.")
    var isDisabled = false

    @Option(help: ArgumentHelp("What all names begin with.", valueName: "text"))
    var prefix = ""

    @Flag(name: .customLong("json"), help: "Say it in JSON.")
    var isJSON = false

    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    /// Brings the jobs in and says so; what to do with the source is in `farewell`.
    func bring(_ imported: Imported, origin: String, farewell: String?) async throws {
        var jobs = imported.jobs
        if isDisabled {
            for chain in jobs.chains.indices {
                for config in jobs.chains[chain].configs.indices {
                    jobs.chains[chain].configs[config].columns["live"] = "false"
                }
            }
        }
        let report = try await JobBringing.bring(
            jobs, .import(origin: origin), connection: connection.parameters, dryRun: isDryRun)
        let remarks = imported.remarks
        if isJSON { return print(JobSetReport.json(report, remarks, isDryRun: isDryRun)) }
        JobSetReport.say(report, remarks, isDryRun: isDryRun)
        if let farewell, !report.changes.isEmpty, !isDryRun { print("\n\(farewell)") }
    }
}

struct ImportCrontab: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crontab",
        abstract: "Bring over the lines of a crontab.",
        discussion: """
            FILE is a crontab, - standard input: crontab -l | carillon import crontab -. Each line \
            becomes a chain of one program, the shell with -c and the line, so what a shell makes \
            of it stays. Lines SHELL=, HOME=, PATH= and other variables hold for those below them.

            Below /etc/cron.d, and in /etc/crontab, a user stands before each command; --system \
            says so of other files.
            """)

    @Argument(help: ArgumentHelp("The crontab; - is standard input.", valueName: "file"))
    var file: String

    @Option(help: ArgumentHelp("The time zone of that cron (this host's).", valueName: "zone"))
    var zone: String?

    @Flag(name: .customLong("system"), help: "A user stands before each command.")
    var isSystem = false

    @Option(
        name: .customLong("run-uid"),
        help: ArgumentHelp("The user whose crontab it is (the daemon's).", valueName: "user"))
    var runUID: String?

    @OptionGroup var options: ImportOptions

    mutating func validate() throws {
        if isSystem, runUID != nil {
            throw ValidationError("--system: the lines name their users; leave out --run-uid")
        }
    }

    mutating func run() throws {
        let (file, options, runUID) = (file, options, runUID)
        let isSystem =
            isSystem
            || runUID == nil && (file == "/etc/crontab" || file.hasPrefix("/etc/cron.d/"))
        let zone = zone
        try JobSetCommand.run {
            let text = try JobSetCommand.text(of: file)
            let crontab = Crontab(
                zone: zone ?? NextFires.systemZone, isSystem: isSystem, user: runUID,
                prefix: options.prefix)
            let origin = "crontab \(file)" + (runUID.map { " of \($0)" } ?? "")
            var imported = crontab.read(text)
            if !isSystem, runUID == nil {
                imported.remark(
                    .difference, nil,
                    "the commands run as the daemon's user, in its home; --run-uid USER says whose "
                        + "they are: then the daemon has to be root")
            }
            try await options.bring(
                imported, origin: origin,
                farewell: "Now take these lines out of the crontab: cron still runs them.")
        }
    }
}

/// Where the tables of a source are.
struct SourceOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where its tables are: a libpq URI or keyword string (Carillon's own database).",
            valueName: "uri"))
    var from: String?

    var parameters: ConnectionParameters? { from.map { ConnectionParameters(string: $0) } }
}

struct ImportPgCron: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pg_cron",
        abstract: "Bring over the jobs of pg_cron.",
        usage: "carillon import pg_cron [<options>]",
        discussion: """
            Each job becomes a chain of one SQL task that runs by SET ROLE as the job's user, or \
            logs in to the job's database where that is another one. Reads cron.job as a role that \
            sees all of it: pg_cron shows other roles only their own jobs.
            """)

    @OptionGroup var source: SourceOptions
    @OptionGroup var options: ImportOptions

    mutating func run() throws {
        try JobSetCommand.importing(
            .pgCron, source, options,
            farewell: "Now switch pg_cron off, or both run: UPDATE cron.job SET active = false;")
    }
}

struct ImportPgTimetable: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pg_timetable",
        abstract: "Bring over the chains of pg_timetable 4 to 7.",
        usage: "carillon import pg_timetable [<options>]",
        discussion: """
            Its schema is called timetable as Carillon's is: so it is in another database, which \
            --from names, or was renamed, which --schema says.
            """)

    @OptionGroup var source: SourceOptions

    @Option(help: ArgumentHelp("The schema of its tables (timetable).", valueName: "name"))
    var schema = "timetable"

    @OptionGroup var options: ImportOptions

    mutating func run() throws {
        try JobSetCommand.importing(
            .pgTimetable(schema: schema), source, options,
            farewell: "Now stop pg_timetable, or both run.")
    }
}

struct ImportPgAgent: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pgagent",
        abstract: "Bring over the jobs of pgAgent 4.",
        usage: "carillon import pgagent [<options>]",
        discussion: """
            The steps of a job become a chain, each of its schedules a config of that chain.
            """)

    @OptionGroup var source: SourceOptions
    @OptionGroup var options: ImportOptions

    mutating func run() throws {
        try JobSetCommand.importing(
            .pgAgent, source, options,
            farewell: "Now stop pgagent, or both run.")
    }
}

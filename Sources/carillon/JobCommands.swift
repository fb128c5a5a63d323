internal import ArgumentParser
internal import Reactor
internal import Terminal
internal import Timetable
internal import Timing

enum Overlap: String, CaseIterable, ExpressibleByArgument {
    case skip, wait

    init?(argument: String) { self.init(rawValue: argument.lowercased()) }
}

enum Misfire: String, CaseIterable, ExpressibleByArgument {
    case skip, once, all

    init?(argument: String) { self.init(rawValue: argument.lowercased()) }
}

/// What a job does and when: the options that `add` and `edit` share.
struct JobOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("When: '30 2 * * *', '@every 90s', '@manual' …", valueName: "schedule"))
    var schedule: String?

    @Option(help: ArgumentHelp("Run these SQL statements.", valueName: "text"))
    var sql: String?

    @Option(help: ArgumentHelp("Run the SQL of this file; - is standard input.", valueName: "file"))
    var sqlFile: String?

    @Option(
        help: ArgumentHelp(
            "Run this program, no shell; its arguments follow --.", valueName: "path"))
    var program: String?

    @Option(help: ArgumentHelp("Run this chain, which exists.", valueName: "id"))
    var chain: Int64?

    @Argument(
        parsing: .postTerminator,
        help: ArgumentHelp(
            "Arguments of the program, or $1, $2 … of the SQL.", valueName: "arguments"))
    var arguments: [String] = []

    @Option(
        help: ArgumentHelp(
            #"Several runs of it, as rows: '[["a", 1], ["b", 2]]'."#, valueName: "json"))
    var parameters: String?

    @Flag(inversion: .prefixedNo, help: "Show arguments and parameters as *** in every record.")
    var secret: Bool?

    @Flag(inversion: .prefixedNo, help: "Whether it fires (live).")
    var live: Bool?

    @Option(help: ArgumentHelp("Its time zone (the database's).", valueName: "zone"))
    var zone: String?

    @Option(help: ArgumentHelp("No fire before it.", valueName: "time"))
    var startsAt: String?

    @Option(help: ArgumentHelp("No fire after it.", valueName: "time"))
    var endsAt: String?

    @Option(help: ArgumentHelp("Spread fires by so much, e.g. 10m.", valueName: "duration"))
    var jitter: String?

    @Option(help: ArgumentHelp("How many runs at once (16).", valueName: "number"))
    var maxInstances: Int32?

    @Option(help: ArgumentHelp("A fire that has no room (skip).", valueName: "what"))
    var overlap: Overlap?

    @Option(help: ArgumentHelp("Missed fires (skip).", valueName: "what"))
    var misfire: Misfire?

    @Option(help: ArgumentHelp("Tries after a failure (0).", valueName: "number"))
    var retries: Int32?

    @Option(
        help: ArgumentHelp("Before the first of them, then doubled (1s).", valueName: "duration"))
    var retryDelay: String?

    @Option(help: ArgumentHelp("How long a run may take.", valueName: "duration"))
    var timeout: String?

    @Option(help: ArgumentHelp("Ask for this config when a run has failed.", valueName: "name"))
    var onFailure: String?

    @Option(help: ArgumentHelp("Only this worker may run it.", valueName: "name"))
    var worker: String?

    @Flag(inversion: .prefixedNo, help: "Remove it when its chain was done.")
    var selfDestruct: Bool?

    @Flag(inversion: .prefixedNo, help: "Let its runs be alone among all runs.")
    var exclusive: Bool?

    @Option(
        name: .customLong("exclude"),
        help: ArgumentHelp("Never together with this config; may be repeated.", valueName: "name"))
    var excluded: [String] = []

    @Option(help: ArgumentHelp("A role for SQL, a system user for a program.", valueName: "user"))
    var runAs: String?

    @Flag(inversion: .prefixedNo, help: "SQL outside of a transaction, for VACUUM and the like.")
    var autonomous: Bool?

    mutating func validate() throws {
        let tasks = [sql != nil, sqlFile != nil, program != nil, chain != nil].count { $0 }
        guard tasks <= 1 else {
            throw ValidationError("give one of --sql, --sql-file, --program and --chain")
        }
        if !arguments.isEmpty, parameters != nil {
            throw ValidationError(
                "arguments are the only row of parameters: leave out --parameters")
        }
    }

    var hasTask: Bool { sql != nil || sqlFile != nil || program != nil || chain != nil }

    func change() throws -> JobChange {
        var change = JobChange()
        change.schedule = schedule
        change.command = try sqlFile.map(Self.read) ?? sql
        change.program = program
        change.chain = chain
        change.arguments = arguments.isEmpty ? nil : arguments
        change.parameters = parameters
        change.isSecret = secret
        change.isLive = live
        change.zone = zone
        (change.startsAt, change.endsAt) = (startsAt, endsAt)
        change.jitter = jitter
        change.maxInstances = maxInstances
        (change.overlap, change.misfire) = (overlap?.rawValue, misfire?.rawValue)
        (change.retries, change.retryDelay) = (retries, retryDelay)
        change.timeout = timeout
        change.onFailure = onFailure
        change.worker = worker
        change.selfDestructs = selfDestruct
        change.isExclusive = exclusive
        change.excluded = excluded.isEmpty ? nil : excluded
        change.runsAs = runAs
        change.isAutonomous = autonomous
        return change
    }

    /// A refusal by the server that names no column, with the option whose value it quotes.
    func placed(_ error: NextFires.Misasked) -> NextFires.Misasked {
        let values = [
            ("--starts-at", startsAt), ("--ends-at", endsAt), ("--jitter", jitter),
            ("--retry-delay", retryDelay), ("--timeout", timeout), ("--on-failure", onFailure),
        ]
        if error.message.contains("type json") {
            return NextFires.Misasked(message: "--parameters: \(error.message)")
        }
        let place = values.first { $0.1.map { error.message.contains("\"\($0)\"") } ?? false }
        guard let place, !error.message.hasPrefix("column ") else { return error }
        return NextFires.Misasked(message: "\(place.0): \(error.message)")
    }

    private static func read(_ path: String) throws -> String {
        do {
            return try JobSetCommand.text(of: path)
        } catch {
            complain("--sql-file: \(error.message)")
            throw ExitCode.validationFailure
        }
    }
}

struct Add: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Add a job: a schedule and the SQL or the program that it runs.",
        usage: """
            carillon add <name> --schedule <schedule> --sql <text> [<options>]
            carillon add <name> --schedule <schedule> --program <path> [-- <args>]
            """,
        discussion: """
            In one transaction, by timetable.add_job, and live unless --no-live says otherwise. It \
            is scheduled at once. carillon edit changes one that exists.

            For example: carillon add report --schedule '30 2 * * mon-fri' --zone Europe/Berlin \
            --program /usr/local/bin/report -- --full

            Exit codes: 0; 2 to 6 as for serve; 64 what can't be: bad options, a bad schedule, an \
            unknown zone, a name in use.
            """)

    @Argument(help: ArgumentHelp("Its name, unique.", valueName: "name"))
    var name: String

    @OptionGroup(title: "Job") var job: JobOptions
    @OptionGroup(title: "Output") var output: OutputOptions
    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    mutating func validate() throws {
        guard job.hasTask else {
            throw ValidationError("say what it runs: --sql, --sql-file, --program or --chain")
        }
        guard job.schedule != nil else {
            throw ValidationError(
                "say when it runs: --schedule '30 2 * * *', or --schedule @manual: only when it is "
                    + "asked for")
        }
    }

    mutating func run() throws {
        let (name, output, job) = (name, output, job)
        let change = try job.change()
        try connection.asking("add") { reports in
            guard let id = try await write(reports, name, isThere: false, job, change) else {
                throw NextFires.Misasked(
                    message: "there is a config \"\(name)\" already; carillon edit changes it")
            }
            return try await tell(reports, id, "added", output)
        }
    }
}

struct Edit: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Change what is given of a job; all else stays.",
        usage: "carillon edit <name> [<options>] [-- <arguments>]",
        discussion: """
            The SQL or program of a job whose chain has one element; others are changed by SQL.

            For example: carillon edit report --schedule '0 3 * * *' --retries 2

            Exit codes: 0; 2 to 6 as for serve; 64 what can't be, no such config.
            """)

    @Argument(help: ArgumentHelp("A config by its chain_name or id.", valueName: "name"))
    var name: String

    @OptionGroup(title: "Job") var job: JobOptions
    @OptionGroup(title: "Output") var output: OutputOptions
    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    mutating func run() throws {
        let (name, output, job) = (name, output, job)
        let change = try job.change()
        guard change != JobChange() else {
            complain("say what to change, for example --schedule '0 3 * * *'")
            throw ExitCode.validationFailure
        }
        try connection.asking("edit") { reports in
            let name = try await reports.config(named: name).name
            guard let id = try await write(reports, name, isThere: true, job, change) else {
                throw NextFires.Misasked(message: "the config \"\(name)\" has just gone")
            }
            return try await tell(reports, id, "changed", output)
        }
    }
}

struct Remove: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Remove a job, with its chain and base tasks where nothing else uses them.",
        usage: "carillon remove <name> [<options>]",
        discussion: """
            Runs under way go on, and what happened stays in the history.

            Exit codes: 0; 2 to 6 as for serve; 64 bad options, no such config.
            """)

    @Argument(help: ArgumentHelp("A config by its chain_name or id.", valueName: "name"))
    var name: String

    @OptionGroup(title: "Output") var output: OutputOptions
    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    mutating func run() throws {
        let (name, output) = (name, output)
        try connection.asking("remove") { reports in
            let config = try await reports.config(name, now: .now())
            try await reports.delete(name)
            if output.json {
                emit([JSONText.lines([config.object(inUTC: output.utc)])])
            } else {
                emit(["\(Plain.line(config.name)) removed (config \(config.id))"])
            }
            return 0
        }
    }
}

struct Pause: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Let a job not fire for a while; what falls into it counts as not missed.",
        usage: "carillon pause <name> [<options>]",
        discussion: """
            Runs under way go on, and it can still be run by request.

            For example: carillon pause report --until 'tomorrow 08:00' --note 'the disk is \
            full'

            Exit codes: 0; 2 to 6 as for serve; 64 bad options, no such config, a time in the past.
            """)

    @Argument(help: ArgumentHelp("A config by its chain_name or id.", valueName: "name"))
    var name: String

    @Option(help: ArgumentHelp("Why, for all who look.", valueName: "text"))
    var note: String?

    @Option(
        help: ArgumentHelp(
            "Until then: 2h, tomorrow 08:00, 2026-03-28 12:00 (until carillon resume).",
            valueName: "when"))
    var until: String?

    @OptionGroup(title: "Output") var output: OutputOptions
    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    mutating func run() throws {
        let (name, note, until, output) = (name, note, until, output)
        try connection.asking("pause") { reports in
            let config = try await reports.config(name, now: .now())
            let end = try until.map { try reports.future($0, "--until", in: config.zone) }
            try await reports.pause(name, note: note, until: end)
            let words = end.map { "paused until \($0.shown(in: output.utc ? nil : config.zone))" }
            return try await tell(reports, config.id, words ?? "paused", output)
        }
    }
}

struct Resume: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "End the pause of a job.",
        usage: "carillon resume <name> [<options>]",
        discussion: "Exit codes: 0; 1 it was not paused; 2 to 6 as for serve; 64 no such config.")

    @Argument(help: ArgumentHelp("A config by its chain_name or id.", valueName: "name"))
    var name: String

    @OptionGroup(title: "Output") var output: OutputOptions
    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    mutating func run() throws {
        let (name, output) = (name, output)
        try connection.asking("resume") { reports in
            let config = try await reports.config(named: name)
            guard try await reports.resume(name) else {
                complain("\(config.name) is not paused")
                return 1
            }
            return try await tell(reports, config.id, "resumed", output)
        }
    }
}

@LoopActor
private func write(
    _ reports: Reports, _ name: String, isThere: Bool, _ job: JobOptions, _ change: JobChange
) async throws -> Int64? {
    do {
        return try await reports.change(name, isThere: isThere, change)
    } catch let error as NextFires.Misasked {
        throw job.placed(error)
    }
}

/// What has become of a job: when it fires, in words, and when next.
@LoopActor
private func tell(
    _ reports: Reports, _ id: Int64, _ done: String, _ output: OutputOptions
) async throws -> Int32 {
    let now = WallInstant.now()
    let config = try await reports.config(id: id, now: now)
    if output.json {
        emit([JSONText.lines([config.object(inUTC: output.utc)])])
        return 0
    }
    let words = config.sentence.map { ": \($0)" } ?? ""
    emit(["\(Plain.line(config.name)) \(done) (config \(config.id))\(words)"])
    let next = config.next.map { $0.shown(in: output.utc ? nil : config.zone) }
    emit(["next: \(next ?? config.whyNot)"])
    return 0
}

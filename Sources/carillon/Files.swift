internal import ArgumentParser
internal import JobFiles
internal import Jobs
internal import Terminal
internal import Timetable

struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write jobs as a file in YAML.",
        usage: "carillon export [<options>]",
        discussion: """
            All configs, or those whose chain_name matches --name, with their chains and base \
            tasks; what has its default is left out, and the same jobs are always the same text. \
            Passwords are never written: *** stands for them, and carillon apply leaves what is in \
            the database there.
            """)

    @Option(
        help: ArgumentHelp(
            "Only configs of such names: * is any text, ? any character.", valueName: "pattern"))
    var name = "*"

    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    mutating func run() throws {
        let (parameters, pattern) = (connection.parameters, Pattern(name))
        try JobSetCommand.run {
            let (jobs, left) = try await JobBringing.export(pattern, connection: parameters)
            let text = JobFile.text(jobs)
            print(Screen.output.block(text), terminator: "")
            if text.contains(ConnectString.placeholder) {
                complain("*** stands for passwords: apply keeps those that the database has")
            }
            for name in left {
                complain("config \"\(Plain.line(name))\" has no chain, and is not in it")
            }
        }
    }
}

struct Apply: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Bring the database to what a file of jobs says.",
        usage: "carillon apply [<options>] <file>",
        discussion: """
            FILE is as carillon export writes it, - is standard input. Configs, chains and base \
            tasks that it names are made, or changed to what it says; all others stay as they are. \
            In one transaction: all of it, or nothing.

            With --prune the configs that the file does not name are deleted, whoever made them, \
            and with them the chains and base tasks that nothing else uses: the database then has \
            what the file says and no other job. --name bounds that to the configs that match, as \
            it bounds export. Without --prune nothing is ever deleted. --dry-run shows it all first.

            Exit codes: 0 also when there is nothing to change; 1 it can't be done as it is, or \
            another failure; 2 to 6 as for serve; 64 bad options; 65 a mistake in the file.
            """)

    @Argument(help: ArgumentHelp("The file; - is standard input.", valueName: "file"))
    var file: String

    @Flag(name: .customLong("dry-run"), help: "Only say what would be done.")
    var isDryRun = false

    @Flag(name: .customLong("prune"), help: "Delete the configs that the file does not name.")
    var prunes = false

    @Option(
        help: ArgumentHelp(
            "With --prune: only configs of such names; * is any text, ? any character.",
            valueName: "pattern"))
    var name: String?

    @Flag(name: .customLong("json"), help: "Say it in JSON.")
    var isJSON = false

    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    mutating func validate() throws {
        if name != nil, !prunes { throw ValidationError("--name bounds --prune: give both") }
    }

    mutating func run() throws {
        let (file, isDryRun, isJSON) = (file, isDryRun, isJSON)
        let parameters = connection.parameters
        let prune = prunes ? Pattern(name ?? "*") : nil
        try JobSetCommand.run {
            let yaml = try JobSetCommand.bytes(of: file)
            let jobs: JobSet
            do throws(JobFile.Mistake) {
                jobs = try JobFile.read(yaml)
            } catch {
                throw JobSetCommand.BadFile(message: Plain.line("\(file), \(error)"))
            }
            if jobs.chains.isEmpty, prune != nil {
                throw JobSetCommand.BadFile(
                    message: "\(file) names no config: --prune would delete all there are")
            }
            let report = try await JobBringing.bring(
                jobs, .file(prune: prune), connection: parameters, dryRun: isDryRun)
            if isJSON { return print(JobSetReport.json(report, [], isDryRun: isDryRun)) }
            JobSetReport.say(report, [], isDryRun: isDryRun)
        }
    }
}

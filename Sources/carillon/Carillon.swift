internal import ArgumentParser
internal import Glibc
internal import Terminal
internal import Timetable

@main
struct Carillon: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "carillon",
        abstract: "A job scheduler for PostgreSQL: insert a row, and the job runs at its time.",
        version: carillonVersion,
        subcommands: [
            Serve.self, List.self, Next.self, Run.self, Cancel.self, Runs.self, Show.self, Log.self,
            Top.self, Check.self, Add.self, Edit.self, Remove.self, Pause.self, Resume.self,
            Import.self, Export.self, Apply.self, Migrate.self, Schema.self, Demo.self,
        ],
        defaultSubcommand: Serve.self,
        // -h is the host, as for psql.
        helpNames: .long)
}

/// Says on stderr what went wrong.
func complain(_ message: String) {
    say("carillon: \(message)")
}

/// Says on stderr what a script need not read.
func say(_ message: String) {
    let line = Array("\(Plain.block(message))\n".utf8)
    _ = unsafe line.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
}

internal import ArgumentParser
internal import Timetable

@main
struct Carillon: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "carillon",
        abstract: "A job scheduler for PostgreSQL: insert a row, and the job runs at its time.",
        version: carillonVersion,
        subcommands: [Serve.self],
        defaultSubcommand: Serve.self,
        // -h is the host, as for psql.
        helpNames: .long)
}

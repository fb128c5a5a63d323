internal import ArgumentParser
internal import Postgres
internal import Reactor
internal import Timetable

struct Migrate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Install or upgrade the schema timetable.",
        usage: "carillon migrate [<options>]",
        discussion: """
            In one transaction, as the role that owns the schema; another one at the same time \
            waits and finds it done. Stop the daemons first.

            Exit codes: 0 done, or nothing to do; 5 a right is missing; 6 a schema that can't be \
            upgraded; 7 daemons are connected; others as for serve.
            """)

    @Flag(help: "Say what would be done, and do nothing.")
    var dryRun = false

    @Flag(help: "Although daemons are connected: they notice, end what they run, and stop.")
    var force = false

    @Flag(
        help: """
            Also make the roles timetable_admin, timetable_author, timetable_operator and \
            timetable_reader, and grant them their rights anew; needs CREATEROLE.
            """)
    var roles = false

    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    mutating func run() throws {
        var migration = Migration(connection.parameters)
        ConnectionOptions.hidePassword()
        migration.isDryRun = dryRun
        migration.isForced = force
        migration.makesRoles = roles
        let chosen = migration
        let code = EventLoop.shared.run {
            do throws(StartFailure) {
                try await chosen.run { print($0) }
                return 0
            } catch {
                complain(error.message)
                return error.reason.rawValue
            }
        }
        throw ExitCode(code)
    }
}

struct Schema: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say which schema this program has, or print its script.",
        discussion: """
            For whoever wants to read it, or to run it by psql, before a daemon does: carillon \
            schema --print | psql -X -v ON_ERROR_STOP=1. No database is asked.
            """)

    @Flag(help: "Print the script that installs the schema, one transaction.")
    var print = false

    @Flag(help: "With --print: the roles too, as by migrate --roles.")
    var roles = false

    @Option(
        help: ArgumentHelp(
            "With --print: the script that upgrades from this version.", valueName: "version"))
    var from: Int64?

    mutating func validate() throws {
        if from != nil || roles, !print {
            throw ValidationError("--from and --roles need --print")
        }
        if let from, SchemaScript.text(from: from) == nil {
            throw ValidationError(
                "--from: version \(from) can't be upgraded to \(SchemaScript.version); versions "
                    + "from \(SchemaScript.firstVersion) on can, that are older")
        }
    }

    mutating func run() throws {
        if print, let script = SchemaScript.text(from: from, withRoles: roles) {
            return Swift.print(script, terminator: "")
        }
        Swift.print(
            "schema version \(SchemaScript.version); upgrades begin at version "
                + "\(SchemaScript.firstVersion)")
    }
}

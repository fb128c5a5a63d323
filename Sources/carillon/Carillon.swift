internal import ArgumentParser
internal import Glibc
internal import Terminal
internal import Timetable

@main
struct Carillon: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "carillon",
        abstract: "A job scheduler for PostgreSQL: insert a row, and the job runs at its time.",
        discussion: """
            carillon list                    what fires next, how runs ended
            carillon add tidy --schedule '30 2 * * *' --sql 'DELETE FROM old'
            carillon run tidy --wait         now, with its output
            carillon runs --failed           then carillon show RUN says why
            carillon check tidy              what keeps it from running
            carillon pause tidy --until tomorrow --note 'the disk is full'
            crontab -l | carillon import crontab - --dry-run

            All commands connect as psql does, to the database timetable: --host, --user and \
            --dbname, or PGHOST, PGUSER and PGDATABASE, say otherwise. A name of a job that holds \
            blanks needs quotes; its id does as well.

            Exit codes: 0 done; 2 to 5 no connection, login, database or right; 6 no schema \
            timetable that fits; 64 what was typed makes no sense; more in the help of each.
            """,
        version: carillonVersion,
        subcommands: [
            Serve.self, List.self, Next.self, Run.self, Cancel.self, Runs.self, Show.self, Log.self,
            Top.self, Check.self, Add.self, Edit.self, Remove.self, Pause.self, Resume.self,
            Import.self, Export.self, Apply.self, Migrate.self, Schema.self, Demo.self,
        ],
        defaultSubcommand: Serve.self,
        // -h is the host, as for psql.
        helpNames: .long)

    /// Without a command it serves; but a word that is none is a slip, not an option of serve.
    static func main() {
        let words = CommandLine.arguments.dropFirst()
        guard let word = words.first, !word.hasPrefix("-"), word != "help",
            !configuration.subcommands.contains(where: { $0._commandName == word })
        else { return main(nil) }
        let meant = Self.meant(word).map { "; did you mean carillon \($0)?" } ?? ";"
        complain("there is no command \"\(word)\"\(meant) carillon --help lists them")
        exit(withError: ExitCode.validationFailure)
    }

    /// The command that somebody means who knows other programs, or has mistyped it.
    private static func meant(_ word: String) -> String? {
        let elsewhere = [
            "ls": "list", "status": "top", "ps": "top", "start": "run", "stop": "cancel",
            "kill": "cancel", "delete": "remove", "rm": "remove", "create": "add",
            "history": "runs", "logs": "log", "describe": "show", "disable": "pause",
            "enable": "resume", "install": "migrate", "upgrade": "migrate",
        ]
        if let known = elsewhere[word] { return known }
        let near = configuration.subcommands.map { name in
            (name: name._commandName, steps: distance(Array(word), Array(name._commandName)))
        }
        return near.filter { $0.steps <= 2 && $0.steps < word.count - 1 }
            .min { $0.steps < $1.steps }?.name
    }

    /// How many letters differ, at least (Levenshtein).
    private static func distance(_ left: [Character], _ right: [Character]) -> Int {
        var row = Array(0...right.count)
        for (i, letter) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, other) in right.enumerated() {
                let kept = diagonal + (letter == other ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(kept, row[j] + 1, diagonal + 1)
            }
        }
        return row[right.count]
    }
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

internal import ArgumentParser
internal import Glibc
internal import Postgres
internal import Reactor
internal import Scheduling
internal import Terminal
internal import Timetable

struct Next: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say when a schedule or a config fires next.",
        discussion: """
            An argument that is a schedule is asked of no database: carillon next '30 2 * * *' \
            --zone Europe/Berlin. Any other is the chain_name or the id of a config; --name says \
            so where a name looks like a schedule. Prints one RFC 3339 time a line. On stderr it \
            says the same in words, with the reason for each time that a clock change moves.

            Exit codes: 0 also when nothing is left to fire, or not by the clock (@manual, \
            @reboot, @after, not live, no chain): that is said on stderr; 1 a config that no \
            daemon can schedule, or another failure; 2 to 6 as for serve; 64 bad options, a bad \
            schedule, an unknown zone, no such config.
            """)

    @Argument(help: ArgumentHelp("A schedule, or a config's chain_name or id.", valueName: "what"))
    var what: String?

    @Option(help: ArgumentHelp("A config by its chain_name or id.", valueName: "name"))
    var name: String?

    @Option(help: ArgumentHelp("How many, 1 to 1000.", valueName: "number"))
    var count = 5

    @Option(
        help: ArgumentHelp(
            "Fires later than this, e.g. 2026-03-28T00:00:00Z; without Z or offset by the zone's "
                + "clock (now).", valueName: "time"))
    var after: String?

    @Flag(help: "In UTC with Z, not in the zone with its offset.")
    var utc = false

    @Flag(help: "An array of objects: name, in_words, zone, fire, missing_time.")
    var json = false

    @OptionGroup(title: "With a schedule") var terms: Terms
    @OptionGroup(title: "Connection, for a config") var connection: ConnectionOptions

    struct Terms: ParsableArguments {
        @Option(
            help: ArgumentHelp("Time zone (TZ, else that of this host).", valueName: "zone"))
        var zone: String?

        @Option(help: ArgumentHelp("The config's id, for H and jitter (0).", valueName: "id"))
        var id: Int64?

        @Option(help: ArgumentHelp("No fire before it.", valueName: "time"))
        var startsAt: String?

        @Option(help: ArgumentHelp("No fire after it.", valueName: "time"))
        var endsAt: String?

        @Option(help: ArgumentHelp("How far fires are spread, e.g. 10m.", valueName: "duration"))
        var jitter: String?

        @Option(help: "A time that a clock change leaves out runs after it (run).")
        var onGap: OnGap?

        @Option(help: "A time that a clock change repeats fires the first time, or both (first).")
        var onRepeat: OnRepeat?

        var areGiven: Bool {
            let texts = [zone, startsAt, endsAt, jitter]
            return id != nil || onGap != nil || onRepeat != nil || texts.contains { $0 != nil }
        }

        func expression(_ text: String) -> NextFires.Expression {
            var result = NextFires.Expression(text)
            result.zone = zone
            result.config = id ?? 0
            result.startsAt = startsAt
            result.endsAt = endsAt
            result.jitter = jitter
            result.onGap = onGap == .skip ? .skip : .run
            result.onRepeat = onRepeat == .both ? .both : .first
            return result
        }
    }

    enum OnGap: String, CaseIterable, ExpressibleByArgument {
        case run, skip
    }

    enum OnRepeat: String, CaseIterable, ExpressibleByArgument {
        case first, both
    }

    /// The config that is asked for; nil: a schedule is.
    private var config: String? {
        if let name { return name }
        return what.flatMap { NextFires.Expression.isMeant(by: $0) ? nil : $0 }
    }

    mutating func validate() throws {
        guard (1...1000).contains(count) else {
            throw ValidationError("--count must be from 1 to 1000")
        }
        guard (what == nil) != (name == nil) else {
            throw ValidationError("give a schedule, a config, or --name")
        }
        if let config, terms.areGiven {
            throw ValidationError(
                "\(config) is no schedule, so its config says all but --after, --count and --utc")
        }
    }

    mutating func run() throws {
        // The zone of a config is the database's, as for the daemon.
        unsafe unsetenv("PGTZ")
        let (config, after, count, utc, json) = (config, after, count, utc, json)
        let expression = terms.expression(what ?? "")
        let parameters = connection.parameters
        ConnectionOptions.hidePassword()
        let code = EventLoop.shared.run {
            do {
                let fires: NextFires
                if let config {
                    fires = try await NextFires.ofConfig(
                        config, connection: parameters, after: after, count: count)
                } else {
                    fires = try await NextFires.of(expression, after: after, count: count)
                }
                if json {
                    print(JSONText.lines(Self.objects(fires, inUTC: utc)))
                } else {
                    if let words = fires.words { say(words) }
                    for line in fires.lines(inUTC: utc) { print(line) }
                    for remark in fires.remarksOnClockChanges { say(remark) }
                }
                if let remark = fires.remark { complain(remark) }
                return 0
            } catch let error as NextFires.Misasked {
                complain(error.message)
                return ExitCode.validationFailure.rawValue
            } catch {
                complain((error as? StartFailure)?.message ?? "\(error)")
                return (error as? StartFailure)?.reason.rawValue ?? 1
            }
        }
        throw ExitCode(code)
    }

    private static func objects(_ fires: NextFires, inUTC: Bool) -> [JSONText] {
        fires.fires(inUTC: inUTC).map { fire in
            .object([
                ("name", .of(fires.name)), ("in_words", .of(fires.words)),
                ("zone", .text(fires.zoneName)), ("fire", .text(fire.time)),
                ("missing_time", .of(fire.missing)),
            ])
        }
    }
}

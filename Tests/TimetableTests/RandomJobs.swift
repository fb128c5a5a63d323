import Jobs

/// Sets of jobs with all that a set can have, from a seed.
struct RandomJobs {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0xD134_2543_DE82_EF95 }

    /// SplitMix64.
    private mutating func next(_ bound: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return Int((mixed ^ (mixed >> 31)) % UInt64(bound))
    }

    private mutating func pick<Element>(_ values: [Element]) -> Element {
        values[next(values.count)]
    }

    private static let pieces = [
        "a", "job", " ", ":", "'", "\"", "\\", "\n", "\n\n", "  ", "\t", "#", "- ", "{", "}", "[",
        "*", "&", "!", "%", "@", "`", "é", "日本", "🂡", "\u{7F}", "\u{85}", "\u{FEFF}", "\u{1}",
        "null", "true", "1", "~", "?", "|", ">", "$1", "$$", "\r", "\r\n", "\u{2028}", ",", "=",
    ]

    private mutating func text() -> String {
        (0...next(6)).map { _ in pick(Self.pieces) }.joined()
    }

    private mutating func value(_ depth: Int) -> JSON {
        switch next(depth > 2 ? 4 : 6) {
        case 0: .null
        case 1: .boolean(next(2) == 0)
        case 2: .number(pick(["0", "-1", "2.50", "12345678901234567890", "1e3"]))
        case 3: .text(text())
        case 4: .array((0..<next(3)).map { _ in value(depth + 1) })
        default:
            .object(
                (0..<next(3)).map { number in
                    JSON.Member(key: "\(text()) \(number)", value: value(depth + 1))
                })
        }
    }

    private mutating func element(_ tasks: [String]) -> JobSet.Element {
        var element = JobSet.Element(next(5) == 0 ? pick(["NoOp", "Log"]) : pick(tasks))
        if next(4) == 0 { element.runUID = text() }
        if next(4) == 0 { element.connection = ConnectString("host=h\(next(3)) dbname=d") }
        element.ignoreError = next(3) == 0
        element.autonomous = next(4) == 0
        if next(4) == 0 { element.timeout = Span(microseconds: Int64(1 + next(90_000_000_000))) }
        return element
    }

    private mutating func config(_ name: String, _ elements: Int) -> JobSet.Config {
        var config = JobSet.Config(name, ["live": next(4) == 0 ? "false" : "true"])
        if next(3) == 0 {
            config.columns["run_at_minute"] = "\(next(60))"
        } else {
            config.columns["schedule"] = pick(["*/5 * * * *", "@manual", "0 0 L * *", "@every 90s"])
        }
        let choices = [
            ("time_zone", "Europe/Berlin"), ("client_name", text()), ("misfire", "ALL"),
            ("misfire_window", "2 days"), ("max_instances", "3"), ("retries", "2"),
            ("retry_delay", "1 month 2 days 3 hours"), ("overlap", "WAIT"), ("on_gap", "SKIP"),
            ("on_repeat", "BOTH"), ("jitter", "250 milliseconds"), ("timeout", "1 hour"),
            ("starts_at", "2027-01-31T09:00:00.5Z"), ("ends_at", "infinity"),
            ("exclusive_execution", "true"), ("self_destruct", "true"), ("keep_runs", "7"),
        ]
        for (column, value) in choices where next(4) == 0 { config.columns[column] = value }
        for position in 0..<elements where next(2) == 0 {
            config.parameters[position] = (0...next(3)).map { _ in value(0) }
        }
        return config
    }

    mutating func jobs(chains: Int) -> JobSet {
        var jobs = JobSet()
        let names = (0..<chains).map { "\(text()) \($0)" }
        for name in names {
            jobs.tasks[name] = JobSet.BaseTask(
                pick([.sql, .program]), next(3) == 0 ? text() + "\n" + text() : text())
        }
        var configs: [String] = []
        for chain in 0..<chains {
            let elements = (0...next(4)).map { _ in element(names) }
            let made = (0...next(3)).map { number in
                config("\(text()) \(chain) \(number)", elements.count)
            }
            configs += made.map(\.name)
            jobs.chains.append(JobSet.Chain(elements, made))
        }
        for chain in jobs.chains.indices {
            for index in jobs.chains[chain].configs.indices {
                let own = jobs.chains[chain].configs[index].name
                if next(5) == 0 { jobs.chains[chain].configs[index].excluded = [pick(configs)] }
                let other = pick(configs)
                if next(5) == 0, other != own {
                    jobs.chains[chain].configs[index].onFailure = other
                }
            }
        }
        let used = Set(jobs.chains.flatMap(\.elements).map(\.task))
        jobs.tasks = jobs.tasks.filter { used.contains($0.key) }
        return jobs
    }
}

internal import Logging
internal import Postgres
internal import Reactor
internal import Scheduling
internal import Timing

extension Daemon {
    private static let pageSize = 20_000
    private static let readDeadline: Duration = .seconds(60)
    /// While all is read no heartbeat tells the peers that we live.
    private static let touchInterval: Duration = .seconds(2)

    /// Reads all that may have to run: configs and open requests.
    func readEverything(_ link: Link) async throws(PostgresError) {
        try await readAllConfigs(link)
        try await readOpenRequests(link)
    }

    func readOpenRequests(_ link: Link) async throws(PostgresError) {
        let open = try await link.control.run(
            Statements.openRequests, deadline: Self.readDeadline)
        handle(.requested(Self.requests(open)))
    }

    /// Reads all configs, page by page, so that a million rows are never in memory at once.
    private func readAllConfigs(_ link: Link) async throws(PostgresError) {
        let reader = ConfigReader(zones: zones, defaultZone: link.defaultZone)
        var last: Int64 = 0
        var touched = MonotonicInstant.now()
        while true {
            health.stepped(at: .now())
            if MonotonicInstant.now().duration(since: touched) > Self.touchInterval {
                touched = .now()
                try await link.control.run(
                    Statements.touchWorker, [settings.name], deadline: .seconds(10))
            }
            let rows = try await link.control.run(
                Statements.configPage, [settings.name, String(last), String(Self.pageSize)],
                deadline: Self.readDeadline)
            guard rows.count > 0, let highest = rows.integer(rows.count - 1, 0) else { return }
            last = highest
            learn(reader.read(rows))
        }
    }

    /// Gives configs to the planner, and says of each that can't be scheduled why.
    func learn(_ read: (configs: [PlannedConfig], problems: [ConfigReader.Problem])) {
        handle(.known(read.configs))
        handle(.gone(read.problems.map(\.config)))
        if !problems.isEmpty {
            for config in read.configs { problems[config.id] = nil }
        }
        for problem in read.problems where problems[problem.config] != problem.reason {
            problems[problem.config] = problem.reason
            logger.error(
                "config \(problem.config) (\(problem.name)): \(problem.reason)",
                metadata: ["config": "\(problem.config)"])
        }
    }

    /// Of those that are gone or changed, a problem is told again when it comes back.
    func forgetProblems(of ids: [Int64], but found: [ConfigReader.Problem]) {
        guard !problems.isEmpty else { return }
        let remaining = Set(found.map(\.config))
        for id in ids where !remaining.contains(id) { problems[id] = nil }
    }

    /// Rows of an id and an instant in microseconds.
    static func requests(_ rows: Rows) -> [(request: Int64, from: WallInstant?)] {
        (0..<rows.count).compactMap { row in
            rows.integer(row, 0).map { id in
                (id, rows.integer(row, 1).map(WallInstant.init(microseconds:)))
            }
        }
    }

    /// Rows of a run and its config.
    static func runs(_ rows: Rows) -> [(run: Int64, config: Int64)] {
        (0..<rows.count).compactMap { row in
            guard let run = rows.integer(row, 0), let config = rows.integer(row, 1) else {
                return nil
            }
            return (run, config)
        }
    }
}

import TestSupport
import Timing

/// What came of a soak, as figures.
struct SoakReport {
    let soak: Soak
    let database: TestDatabase

    /// A line for each kind of fault: how often, and how long until it was over.
    func table() async throws -> String {
        var lines = ["fault | injected | measured | p50 s | p99 s | max s | until"]
        for fault in Soak.Fault.allCases {
            let all = soak.injections.filter { $0.fault == fault }
            var times: [Double] = []
            for injection in all {
                if let time = try await recovery(injection) { times.append(time) }
            }
            lines.append(
                row(fault.rawValue, all.count, times) + " | " + Self.meaning(fault))
        }
        let dead = try await burials()
        lines.append(row("(kill)", dead.count, dead) + " | its runs are DEAD, or tried again")
        return lines.joined(separator: "\n")
    }

    private static func meaning(_ fault: Soak.Fault) -> String {
        switch fault {
        case .kill, .restart: "the next one is ready, from its start"
        case .freeze: "it runs something again, from SIGCONT"
        case .listener, .claims: "it is connected again"
        case .session: "it needs no recovery: one run has failed"
        }
    }

    private func row(_ name: String, _ count: Int, _ times: [Double]) -> String {
        let sorted = times.sorted()
        func at(_ share: Double) -> String {
            guard !sorted.isEmpty else { return "-" }
            return decimal(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))])
        }
        return [name, String(count), String(times.count), at(0.5), at(0.99), at(1)]
            .joined(separator: " | ")
    }

    /// Seconds with three decimals.
    private func decimal(_ seconds: Double) -> String {
        let milliseconds = Int((seconds * 1_000).rounded())
        let rest = String(milliseconds % 1_000)
        return "\(milliseconds / 1_000)." + String(repeating: "0", count: 3 - rest.count) + rest
    }

    private func recovery(_ injection: Soak.Injection) async throws -> Double? {
        func since(_ start: WallInstant, _ end: WallInstant?) -> Double? {
            end.map { Double($0.microseconds(since: start)) / 1_000_000 }
        }
        switch injection.fault {
        case .kill, .restart:
            let next = soak.lives.dropFirst(injection.life + 1).first {
                $0.slot == injection.slot
            }
            return next.flatMap { life in
                since(
                    life.startedAt,
                    life.daemon.lines.first { $0.text.contains("ready:") }?.receivedAt)
            }
        case .listener, .claims:
            let again = soak.lives[injection.life].daemon.lines.first {
                $0.receivedAt >= injection.at && $0.text.contains("database again")
            }
            return since(injection.at, again?.receivedAt)
        case .freeze:
            guard let resumed = injection.healedAt else { return nil }
            let text = try await database.psql(
                """
                SELECT extract(epoch FROM min(started)) - \(resumed.microseconds) / 1000000.0
                FROM timetable.run_status
                WHERE client_name = '\(Soak.name(injection.slot))' AND started >=
                    timestamptz 'epoch' + \(resumed.microseconds) * interval '1 us'
                """)
            return Double(text)
        case .session:
            return nil
        }
    }

    /// From each kill until the last run that was under way is known to be dead.
    private func burials() async throws -> [Double] {
        let kills = soak.injections.filter { $0.fault == .kill }.map {
            "('\(Soak.name($0.slot))', \($0.at.microseconds))"
        }
        guard !kills.isEmpty else { return [] }
        return try await database.psql(
            """
            SELECT extract(epoch FROM max(r.finished) - k.at)
            FROM (SELECT name, timestamptz 'epoch' + us * interval '1 us' AS at
                FROM (VALUES \(kills.joined(separator: ", "))) AS v (name, us)) AS k
            JOIN timetable.run_status r ON r.client_name = k.name AND r.started < k.at
                AND r.finished > k.at AND r.execution_status = 'DEAD'
            GROUP BY k.name, k.at
            """
        ).split(separator: "\n").compactMap { Double($0) }
    }

    /// How late fires began.
    func lateness() async throws -> String {
        try await database.psql(
            """
            SELECT format('%s runs, begun late by p50 %s, p99 %s, max %s', count(*),
                percentile_disc(0.5) WITHIN GROUP (ORDER BY late),
                percentile_disc(0.99) WITHIN GROUP (ORDER BY late), max(late))
            FROM (SELECT r.started - r.scheduled_for AS late FROM timetable.run_status r
                JOIN timetable.chain_execution_config c USING (chain_execution_config)
                -- What waits its turn begins when it may.
                WHERE r.scheduled_for IS NOT NULL AND r.attempt = 1 AND r.started IS NOT NULL
                    AND c.overlap = 'SKIP') AS l
            """)
    }
}

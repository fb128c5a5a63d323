internal import Logging
internal import Postgres
internal import Reactor
internal import Scheduling
internal import Timing

extension Daemon {
    private static let lookUpSize = 5_000
    private static let recordSize = 500

    /// Asks for the last claims of configs that may have missed fires.
    func lookUpLastClaims(_ configs: [Int64]) {
        guard let link else { return }  // asked again when connected
        for start in stride(from: 0, to: configs.count, by: Self.lookUpSize) {
            let end = min(start + Self.lookUpSize, configs.count)
            let ids = configs[start..<end].map(\.self)
            let sent = WallInstant.now()
            link.ask(
                [Command(Statements.lastClaims, [ids.arrayLiteral])], deadline: Self.claimDeadline
            ) { [weak self] outcome in
                guard let self, let rows = answer(outcome, of: "last fires", link)?.first else {
                    return
                }
                observeClock(rows, column: 2, sent: sent)
                handle(.lastClaims(Self.requests(rows).map { ($0.request, $0.from) }))
            }
        }
    }

    /// Writes down what was missed: one row for each config and gap.
    func record(_ missed: [MissedFires]) {
        guard let link else { return }  // found again when connected
        for fires in missed {
            logger.notice(
                """
                config \(fires.config) missed \(fires.count) fires, from \(fires.first.rfc3339) \
                to \(fires.last.rfc3339)
                """)
        }
        // Each is locked until the statement ends: the server has room for some thousands.
        for start in stride(from: 0, to: missed.count, by: Self.recordSize) {
            let part = missed[start..<min(start + Self.recordSize, missed.count)]
            let command = Command(
                Statements.recordMissed,
                [
                    part.map(\.config).arrayLiteral,
                    part.map(\.first.microseconds).arrayLiteral,
                    part.map(\.last.microseconds).arrayLiteral,
                    part.map { Int64($0.count) }.arrayLiteral,
                    part.map { fires in
                        planner.scheduledSince(of: fires.config).flatMap(Self.microseconds)
                    }.arrayLiteral, settings.name, link.nextNumber(),
                ])
            link.ask([command], deadline: Self.claimDeadline) { [weak self] outcome in
                _ = self?.answer(outcome, of: "missed fires", link)
            }
        }
    }

    /// A `scheduled_since` as the database knows it; nil for NULL.
    static func microseconds(_ since: WallInstant) -> String? {
        since == .distantPast ? nil : String(since.microseconds)
    }

    /// Bounds the clock offset by one question, after our own clock was set.
    func askClock() {
        guard let link else { return }
        let sent = WallInstant.now()
        link.claims.send([Command(Statements.clock)], deadline: Self.claimDeadline) {
            [weak self] outcome in
            guard let self, let rows = answer(outcome, of: "the time", link)?.first else { return }
            observeClock(rows, column: 0, sent: sent)
        }
    }
}

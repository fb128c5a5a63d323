internal import DequeModule
internal import Logging
internal import Postgres
internal import Reactor
internal import Timing

extension Daemon {
    /// Ends what an earlier life of this worker left behind; returns until when it served, and
    /// what it claimed and never began.
    func takeOver(
        _ control: Connection
    ) async throws(PostgresError) -> (WallInstant, lost: [LostClaim]) {
        let seen = try await control.run(
            Statements.lastSeen, [settings.name], deadline: .seconds(10)
        ).integer(0, 0)
        try await control.run(
            Statements.registerWorker,
            [settings.name, ProcessID.host, String(ProcessID.current), carillonVersion],
            deadline: .seconds(10))
        let deadline = MonotonicInstant.now().advanced(by: .seconds(20))
        while true {
            let ours = backends.map(Int64.init).arrayLiteral
            let left = try await control.run(
                Statements.endSessions, [settings.name, ours], deadline: .seconds(10))
            if left.integer(0, 0) == 0 { break }
            guard MonotonicInstant.now() < deadline else {
                throw PostgresError(
                    .timedOut, "sessions of an earlier worker of this name do not end")
            }
            await stopping.wait(atMost: .milliseconds(50))
        }
        formerControl = (control.backend, try await register(control))
        var lost: [LostClaim] = []
        if hasServed {
            try await giveUpTakenRuns(control)
            let known = knownRuns.arrayLiteral
            let rows = try await control.run(
                Statements.releaseClaims, [settings.name, known], deadline: .seconds(30))
            lost = Self.lostClaims(rows)
        } else {
            let dead = try await control.run(
                Statements.markDead, [settings.name], deadline: .seconds(30))
            reportRuns(dead, from: 0, "its daemon ended during it")
        }
        return (seen.map(WallInstant.init(microseconds:)) ?? .distantPast, lost)
    }

    /// While we were away our peers may have declared us dead.
    private func giveUpTakenRuns(_ control: Connection) async throws(PostgresError) {
        let known = active.values.map(\.run) + ready
        guard !known.isEmpty else { return }
        let rows = try await control.run(
            Statements.ownRuns,
            [
                known.map(\.id).arrayLiteral, known.map { Int64($0.attempt) }.arrayLiteral,
                settings.name,
            ], deadline: .seconds(30))
        var own: [Int64: Int32] = [:]
        for row in 0..<rows.count {
            guard let run = rows.integer(row, 0), let attempt = rows.integer(row, 1) else {
                continue
            }
            own[run] = Int32(attempt)
        }
        giveUp({ own[$0.id] != $0.attempt }, "this daemon had been declared dead meanwhile")
    }

    /// Takes ourselves off the list of those who live.
    func sayStopped() async {
        guard let control = link?.control, control.ended == nil else { return }
        do throws(PostgresError) {
            try await control.run(Statements.workerStopped, [settings.name], deadline: .seconds(5))
        } catch {
            logger.error(
                "peers will find this worker dead, since it can't say that it stops: \(error)",
                metadata: error.metadata)
        }
    }
}

internal import Logging
internal import Postgres
internal import Reactor
internal import Systemd
internal import Timing

extension Daemon {
    /// A predecessor may be just about to end.
    private static let namePatience: Duration = .seconds(5)
    private static let standbyInterval: Duration = .seconds(2)

    /// Takes the lock that makes a name one worker's; stands by for it where we are told to.
    func takeName(_ control: Connection) async throws(StartFailure) {
        do throws(PostgresError) {
            if let lost = formerControl {
                // The server may not know yet that we lost this one, which holds the lock.
                try await control.run(
                    Statements.endSession, [String(lost.pid), lost.start], deadline: .seconds(10))
            }
            let isPatient = hasServed || !settings.standsBy
            if try await lockName(control, within: isPatient ? Self.namePatience : .zero) { return }
            giveUp({ _ in true }, "another worker named \"\(settings.name)\" took over")
            if settings.standsBy, try await standBy(control) { return }
        } catch {
            throw StartFailure(error, doing: "the name of the worker can't be locked")
        }
        throw StartFailure(
            .nameInUse,
            "a worker named \"\(settings.name)\" is already connected to this database; "
                + "give this one another --name, or let it wait with --standby")
    }

    private func lockName(
        _ control: Connection, within patience: Duration
    ) async throws(PostgresError) -> Bool {
        let deadline = MonotonicInstant.now().advanced(by: patience)
        while true {
            let rows = try await control.run(
                Statements.lockName, [settings.name], deadline: .seconds(10))
            if rows.boolean(0, 0) == true { return true }
            guard MonotonicInstant.now() < deadline, !stopping.isOpen else { return false }
            await stopping.wait(atMost: .milliseconds(100))
        }
    }

    /// Waits until the worker of our name has stopped or is dead, and takes the lock; false when we
    /// are to stop. Never waits for the lock itself: that would keep the server from vacuuming.
    private func standBy(_ control: Connection) async throws(PostgresError) -> Bool {
        try await control.run(
            Statements.lockStandby, [settings.name], deadline: .seconds(10))
        try await control.run(Statements.listen("timetable_config"), deadline: .seconds(10))
        // It looks for us from now on, and so proves that it lives every 2 s.
        try await control.run(
            Statements.announceWorker("STANDBY"), deadline: .seconds(10))
        logger.notice("standing by: a worker named \"\(settings.name)\" serves this database")
        isStandingBy = true
        defer { isStandingBy = false }
        sayReady()
        var peers = Peers()
        while !stopping.isOpen {
            let changed = Gate()
            control.onNotification = { notification in
                if notification.payload.hasPrefix("worker") { changed.open() }
            }
            health.stepped(at: .now())
            if try await lockName(control, within: .zero) {
                try await control.run(
                    Statements.unlockStandby, [settings.name], deadline: .seconds(10))
                logger.notice("taking over from the worker \"\(settings.name)\"")
                return true
            }
            let rows = try await control.run(
                Statements.namesake, [settings.name], deadline: .seconds(10))
            for peer in peers.look(Peer.read(rows, column: 0), at: .sinceBoot()) {
                await bury(peer, by: control)
            }
            if let error = control.ended { throw error }
            await wait(for: changed, atMost: Self.standbyInterval)
        }
        return false
    }

    /// Returns when the gate is open, the time has passed, or we are to stop.
    private func wait(for gate: Gate, atMost limit: Duration) async {
        let id = stopping.whenOpen { gate.open() }
        await gate.wait(atMost: limit)
        stopping.forget(id)
    }
}

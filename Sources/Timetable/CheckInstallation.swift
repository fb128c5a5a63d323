internal import Postgres
internal import Reactor
internal import TimetableSchema
internal import Timing

/// Gathers what is judged of an installation.
extension Reports {
    /// Throws when there is no schema of ours; another version of it is a finding.
    func checkVersion() async throws(StartFailure) -> Finding? {
        let rows = try await ask(
            Statements.checkedVersion, [], "the schema's version can't be read")
        guard let failure = SchemaInstaller.unusable(version: rows.integer(0, 0)) else {
            return nil
        }
        return Finding(
            .schemaVersion, Finding.Place("schema timetable"), failure.message,
            "nothing else is checked")
    }

    func installation() async throws(StartFailure) -> CheckedInstallation {
        var found = CheckedInstallation()
        let rows = try await ask(
            Statements.checkedInstallation, [], "the database can't be looked at")
        found.take(rows)
        try await observeClock(&found)
        let workers = try await ask(Statements.checkedWorkers, [], "the workers can't be read")
        found.workers = (0..<workers.count).map { CheckedWorker.read(workers, $0) }
        return found
    }

    /// A question that takes no time, so that the answer is as exact as the way there and back.
    private func observeClock(_ found: inout CheckedInstallation) async throws(StartFailure) {
        let sent = WallInstant.now()
        let rows = try await ask(Statements.clock, [], "the clock can't be read")
        let came = WallInstant.now()
        guard let there = rows.instant(0, 0), came >= sent else { return }
        found.clockOffset = there.microseconds(since: came)...there.microseconds(since: sent)
    }

    /// What only a look at all of it needs.
    func addHistory(to found: inout CheckedInstallation) async throws(StartFailure) {
        let retention = try await ask(Statements.checkedRetention, [], "retention can't be read")
        found.retention = (0..<retention.count).map {
            (retention.text($0, 0) ?? "", retention.instant($0, 1))
        }
        let log = try await ask(Statements.checkedLog, [], "the log can't be read")
        found.errorsOfADay = log.integer(0, 0) ?? 0
        found.lastLoss = log.text(0, 1)
        found.losses = log.integer(0, 2) ?? 0
    }

    /// What daemons say of configs that they can't schedule.
    func refusedConfigs() async throws(StartFailure) -> [Finding] {
        let rows = try await ask(Statements.refusedConfigs, [], "the log can't be read")
        return (0..<rows.count).map { row in
            let (id, name) = (rows.integer(row, 0) ?? 0, rows.text(row, 1) ?? "")
            var said = rows.text(row, 2) ?? ""
            for part in ["config \(id) (\(name)): ", " config=\(id)"] {
                said = said.replacing(part, with: "")
            }
            return Finding(
                .configRefused, Finding.Place(name, config: id),
                "worker \"\(rows.text(row, 3) ?? "")\" said that \(said.firstLine)",
                "correct that on the daemon's host, then SIGHUP, or systemctl reload carillon")
        }
    }

    /// Whether each daemon hears: a notification lets it beat at once, and its beat notifies its
    /// own channel, where we listen too. Waits for all, 6 s at most; a beat takes up to 5 s.
    func askForSigns(of found: inout CheckedInstallation) async throws(StartFailure) {
        let channels = Dictionary(
            found.serving.map { (Daemon.channel(of: $0.name), $0.name) },
            uniquingKeysWith: { first, _ in first })
        guard !channels.isEmpty, !found.isStandby else { return }
        var heard: Set<String> = []
        let all = Gate()
        session.onNotification = { notification in
            guard let name = channels[notification.channel] else { return }
            heard.insert(name)
            if heard.count == channels.count { all.open() }
        }
        session.onEnd = { _ in all.open() }
        let timer = EventLoop.shared.after(.seconds(6)) { all.open() }
        defer {
            EventLoop.shared.cancelTimer(timer)
            session.onNotification = nil
            session.onEnd = nil
        }
        do throws(PostgresError) {
            _ = try await session.run(
                channels.keys.sorted().map { Command(Statements.listen($0)) },
                deadline: Self.deadline)
            try await session.run(Statements.nudgeDaemons, deadline: Self.deadline)
        } catch {
            throw failure(error, "the daemons can't be notified")
        }
        await all.waitUninterrupted()
        if let error = session.ended {
            throw StartFailure(error, doing: "the connection is lost")
        }
        for index in found.workers.indices where found.workers[index].isServing {
            found.workers[index].answered = heard.contains(found.workers[index].name)
        }
    }
}

extension CheckedInstallation {
    fileprivate mutating func take(_ rows: Rows) {
        now = rows.instant(0, 0) ?? .distantPast
        isStandby = rows.boolean(0, 1) == true
        isReadOnly = rows.boolean(0, 2) == true
        writesSafely = rows.boolean(0, 3) != false
        notifyQueuePercent = rows.integer(0, 4) ?? 0
        mostConnections = rows.integer(0, 5) ?? 100
        keptConnections = rows.integer(0, 6) ?? 3
        connections = rows.integer(0, 7) ?? 0
        databaseLimit = rows.integer(0, 8)
        databaseConnections = rows.integer(0, 9) ?? 0
        orphanedRuns = rows.integer(0, 10) ?? 0
        waitingRequests = rows.integer(0, 11) ?? 0
        waitingSince = rows.instant(0, 12)
    }
}

extension CheckedWorker {
    fileprivate static func read(_ rows: Rows, _ row: Int) -> CheckedWorker {
        var worker = CheckedWorker(name: rows.text(row, 0) ?? "", state: rows.text(row, 1) ?? "")
        worker.seen = rows.instant(row, 2)
        worker.since = rows.instant(row, 3)
        worker.buriedBy = rows.text(row, 4)
        worker.version = rows.text(row, 5) ?? ""
        worker.host = rows.text(row, 6) ?? ""
        worker.sessions = rows.integer(row, 7) ?? 0
        worker.role = rows.text(row, 8)
        worker.isSuperuser = rows.boolean(row, 9) == true
        worker.roleLimit = rows.integer(row, 10)
        worker.roleSessions = rows.integer(row, 11) ?? 0
        worker.sharesNames = rows.boolean(row, 12) != false
        return worker
    }
}

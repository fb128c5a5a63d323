internal import Postgres
internal import Reactor
internal import Timing

/// A daemon as it is checked.
struct CheckedWorker {
    let name: String
    /// serving, lost, dead or stopped, as in the view `workers`.
    let state: String
    var seen: WallInstant?
    var since: WallInstant?
    var buriedBy: String?
    var version = ""
    var host = ""
    var sessions: Int64 = 0
    /// The role that it works as; nil while it has no session.
    var role: String?
    var isSuperuser = false
    var roleLimit: Int64?
    var roleSessions: Int64 = 0
    /// Names of tables mean to it what they mean to us.
    var sharesNames = true
    /// Whether it answered when it was asked for a sign, where it was.
    var answered: Bool?

    var isServing: Bool { state == "serving" }
    var place: Finding.Place { Finding.Place("worker \(name)") }
}

/// What is known of a database and its daemons.
struct CheckedInstallation {
    /// The server's clock.
    var now = WallInstant.distantPast
    /// The server's clock less ours, microseconds: between these, by the time that asking took.
    var clockOffset: ClosedRange<Int64> = 0...0
    var isStandby = false
    var isReadOnly = false
    var writesSafely = true
    var notifyQueuePercent: Int64 = 0
    var mostConnections: Int64 = 100
    var keptConnections: Int64 = 3
    var connections: Int64 = 0
    var databaseLimit: Int64?
    var databaseConnections: Int64 = 0
    var orphanedRuns: Int64 = 0
    var waitingRequests: Int64 = 0
    var waitingSince: WallInstant?
    var workers: [CheckedWorker] = []
    /// Tables with a bound, and when each was last pruned.
    var retention: [(table: String, pruned: WallInstant?)] = []
    var errorsOfADay: Int64 = 0
    var lastLoss: String?
    var losses: Int64 = 0

    var serving: [CheckedWorker] { workers.filter(\.isServing) }
}

extension CheckedInstallation {
    private static let second: Int64 = 1_000_000
    /// A lone daemon beats every 30 s, and an answer may take 5 s.
    private static let oldestSign: Int64 = 40 * second
    /// Pruned each hour.
    private static let oldestPruning: Int64 = 3 * 3600 * second
    /// What a daemon opens by itself, and by default for SQL tasks.
    static let sessionsOfDaemon: Int64 = 5 + 16

    /// Pure.
    func judge() -> [Finding] {
        judgeServer() + workers.flatMap(judge) + judgeDaemons() + judgeConnections() + judgeWork()
    }

    private func judgeServer() -> [Finding] {
        let database = Finding.Place("database")
        var findings: [Finding] = []
        if isStandby || isReadOnly {
            findings.append(
                Finding(
                    .databaseReadOnly, database,
                    isStandby
                        ? "this server is a standby: nothing can be scheduled here"
                        : "default_transaction_read_only is on: no run can be claimed",
                    isStandby
                        ? "connect to the primary (target_session_attrs=read-write)"
                        : "set it to off for the role of the daemon"))
        }
        if !writesSafely {
            findings.append(
                Finding(
                    .settingUnsafe, database,
                    "fsync or full_page_writes is off: a crash can lose the database, and with it "
                        + "which fires were claimed", "turn both on"))
        }
        let distance = max(clockOffset.lowerBound, -clockOffset.upperBound, 0)
        if distance > Self.second / 100 {
            let shown = "\(distance / Self.second).\(Self.digits(distance / 1000 % 1000)) s"
            findings.append(
                Finding(
                    .clockSkew, database,
                    "the clock of this host is \(shown) "
                        + (clockOffset.lowerBound > 0 ? "behind" : "ahead of")
                        + " the server's; daemons follow the server's",
                    "see that both synchronize by NTP",
                    as: distance > 5 * Self.second ? .warning : .note))
        }
        if notifyQueuePercent > 10 {
            findings.append(
                Finding(
                    .notifyQueue, database,
                    "the queue of NOTIFY is \(notifyQueuePercent) % full: some session listens and "
                        + "does not read",
                    "find a session that is idle in transaction, and end it"))
        }
        return findings
    }

    private static func digits(_ value: Int64) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(0, 3 - text.count)) + text
    }

    // MARK: Daemons

    private func judge(_ worker: CheckedWorker) -> [Finding] {
        let age = worker.seen.map { now.microseconds(since: $0) } ?? 0
        switch worker.state {
        case "lost":
            return [
                Finding(
                    .daemonLost, worker.place,
                    "it is not connected, and gave its last sign \(age / Self.second) s ago",
                    "look at it on host \(worker.host): systemctl status carillon")
            ]
        case "dead":
            return [
                Finding(
                    .daemonDead, worker.place,
                    "worker \"\(worker.buriedBy ?? "")\" found it dead, and it has not come back",
                    "start it on host \(worker.host), or delete its row in timetable.worker")
            ]
        case "serving": return judgeServing(worker, age)
        default: return []
        }
    }

    private func judgeServing(_ worker: CheckedWorker, _ age: Int64) -> [Finding] {
        var findings: [Finding] = []
        if age > Self.oldestSign {
            findings.append(
                Finding(
                    .heartbeatOld, worker.place,
                    "it is connected, but gave its last sign \(age / Self.second) s ago",
                    "look at it on host \(worker.host): it hangs, or can't write"))
        }
        if worker.answered == false {
            findings.append(
                Finding(
                    .daemonDeaf, worker.place, "it did not answer a notification within 6 s",
                    "restart it: changes and requests do not reach it"))
        }
        if worker.isSuperuser {
            findings.append(
                Finding(
                    .daemonSuperuser, worker.place,
                    "its role \"\(worker.role ?? "")\" is a superuser, and so is every SQL task",
                    "let it log in as the owner of the schema timetable, who needs no more"))
        }
        if let limit = worker.roleLimit, limit - worker.roleSessions < 3 {
            findings.append(
                Finding(
                    .connectionsFew, worker.place,
                    "its role \"\(worker.role ?? "")\" has \(worker.roleSessions) of at most "
                        + "\(limit) connections",
                    "ALTER ROLE … CONNECTION LIMIT, or lower --sql-connections"))
        }
        return findings
    }

    private func judgeDaemons() -> [Finding] {
        let place = Finding.Place("daemons")
        var findings: [Finding] = []
        if serving.isEmpty {
            findings.append(
                Finding(
                    .noDaemon, place, "no daemon serves this database: nothing runs",
                    "start one: systemctl start carillon, or carillon serve"))
        }
        let versions = Set(serving.map(\.version)).sorted()
        if versions.count > 1 {
            findings.append(
                Finding(
                    .versionsDiffer, place,
                    "daemons of different versions serve: \(versions.joined(separator: ", "))",
                    "bring all to the latest"))
        }
        return findings
    }

    private func judgeConnections() -> [Finding] {
        let place = Finding.Place("connections")
        var free = mostConnections - keptConnections - connections
        var bound = "max_connections \(mostConnections)"
        if let databaseLimit, databaseLimit - databaseConnections < free {
            free = databaseLimit - databaseConnections
            bound = "this database's limit of \(databaseLimit)"
        }
        let wanted = serving.reduce(0) { $0 + max(0, Self.sessionsOfDaemon - $1.sessions) }
        guard free < max(3, wanted) else { return [] }
        return [
            Finding(
                .connectionsFew, place,
                "\(max(0, free)) connections are left of \(bound); \(serving.count) daemons may "
                    + "open \(wanted) more, if --sql-connections is 16 as by default",
                "raise max_connections, or lower --sql-connections")
        ]
    }

    private func judgeWork() -> [Finding] {
        var findings: [Finding] = []
        if orphanedRuns > 0 {
            findings.append(
                Finding(
                    .runsOrphaned, Finding.Place("runs"),
                    "\(orphanedRuns) runs are STARTED on workers that serve no more",
                    "start a daemon of that name: it ends them"))
        }
        if waitingRequests > 0, !serving.isEmpty {
            let age = waitingSince.map { now.microseconds(since: $0) / Self.second } ?? 0
            findings.append(
                Finding(
                    .requestsWaiting, Finding.Place("requests"),
                    "\(waitingRequests) requests wait to be taken, the first for \(age) s",
                    "timetable.why_not_running(config) tells why"))
        }
        let hasServedLong = serving.contains { worker in
            worker.since.map { now.microseconds(since: $0) > Self.oldestPruning } ?? false
        }
        for entry in retention where hasServedLong {
            let age = entry.pruned.map { now.microseconds(since: $0) }
            guard age.map({ $0 > Self.oldestPruning }) ?? true else { continue }
            findings.append(
                Finding(
                    .retentionLagging, Finding.Place("timetable.\(entry.table)"),
                    age.map { "it was last pruned \($0 / 3600 / Self.second) h ago" }
                        ?? "it was never pruned",
                    "see carillon log --level error; to do it now, CALL timetable.prune()"))
        }
        if losses > 0, let lastLoss {
            findings.append(
                Finding(
                    .logLost, Finding.Place("timetable.log"),
                    "daemons lost lines \(losses) times in a day, the last: \(lastLoss.firstLine)",
                    "see that the database takes what they write"))
        }
        if errorsOfADay > 0 {
            findings.append(
                Finding(
                    .logErrors, Finding.Place("timetable.log"),
                    "daemons logged \(errorsOfADay) errors within a day",
                    "carillon log --level error --since 1d"))
        }
        return findings
    }
}

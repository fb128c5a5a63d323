internal import Logging
internal import Postgres
internal import Reactor
internal import Scheduling
internal import Timing

/// What notifications have told to look at and nobody has looked at yet. Bounded, since anybody may
/// send a million a second: past a number of ids everything is read.
struct PendingChanges {
    private static let bound = 5_000
    /// More payloads than this wait for nobody: they are best-effort by nature.
    private static let payloadBound = 10_000
    private static let refusalInterval: Duration = .seconds(10)

    private(set) var configs: Set<Int64> = []
    var everything = false
    var requests: Set<Int64> = []
    var allRequests = false
    private(set) var payloads: [String] = []
    private(set) var cancels: Set<Int64> = []
    var isReading = false
    var isReadingCancels = false
    private var refusals = 0
    private var nextRefusal = MonotonicInstant(nanoseconds: 0)

    var hasConfigs: Bool { everything || !configs.isEmpty }

    mutating func add(configs ids: some Sequence<Int64>) {
        guard !everything else { return }
        configs.formUnion(ids)
        if configs.count > Self.bound { everything = true }
    }

    mutating func add(requests ids: some Sequence<Int64>) {
        guard !allRequests else { return }
        requests.formUnion(ids)
        if requests.count > Self.bound { allRequests = true }
    }

    /// False when it has no room.
    mutating func add(payload: String) -> Bool {
        guard payloads.count < Self.payloadBound else { return false }
        payloads.append(payload)
        return true
    }

    /// The oldest payloads, so many at most.
    mutating func takePayloads(_ limit: Int) -> [String] {
        defer { payloads.removeFirst(min(limit, payloads.count)) }
        return Array(payloads.prefix(limit))
    }

    /// Past the bound, the cancels of all our runs are looked for.
    mutating func add(cancel run: Int64) {
        if cancels.count <= Self.bound { cancels.insert(run) }
    }

    /// The runs to look for cancels of; nil for all.
    mutating func takeCancels() -> Set<Int64>? {
        defer { cancels.removeAll(keepingCapacity: true) }
        return cancels.count > Self.bound ? nil : cancels
    }

    /// Counts refused payloads; from time to time their number, to be told of.
    mutating func refused(_ count: Int) -> Int? {
        refusals += count
        guard refusals > 0, nextRefusal <= .now() else { return nil }
        nextRefusal = .now().advanced(by: Self.refusalInterval)
        defer { refusals = 0 }
        return refusals
    }

    /// Takes all configs to be looked at: ids, or nil for everything.
    mutating func takeConfigs() -> [Int64]? {
        defer {
            configs.removeAll(keepingCapacity: true)
            everything = false
        }
        return everything ? nil : configs.sorted()
    }
}

extension Daemon {
    /// A NOTIFY on one of our channels.
    func notified(_ notification: Notification) {
        switch notification.channel {
        case channel:
            if link?.awaitedEcho == notification.payload {
                link?.awaitedEcho = nil
                health.heard(at: .now())
            }
        case "timetable_config":
            configsChanged(notification.payload)
        case "timetable_run":
            runAsked(notification.payload)
        case "timetable_cancel":
            cancelAsked(notification.payload)
        default:
            break
        }
    }

    /// `table operation id id …`, `table operation all`, `worker event`, `retention operation`,
    /// `follower JOINED`, or `schema UPGRADED all`, by which a daemon that does not know it reads
    /// everything.
    private func configsChanged(_ payload: String) {
        let words = payload.split(separator: " ")
        if words.first == "worker" || words.first == "schema" { return beatAtOnce() }
        if words.first == "retention" { return retentionChanged() }
        if words.first == "follower" { return log.followerJoined() }
        guard words.count > 2 else { return }
        guard words[0] == "chain_execution_config" || words[2] == "all" else {
            // A claim reads chain, tasks and parameters as they are then.
            return
        }
        if words[2] == "all" {
            changes.everything = true
        } else {
            changes.add(configs: words.dropFirst(2).compactMap { Int64($0) })
        }
        readChanges()
    }

    /// Our trigger's `{"requests": …}`, or what somebody sent by hand.
    private func runAsked(_ payload: String) {
        let prefix = "{\"requests\": "
        if payload.hasPrefix(prefix) {
            let list = payload.dropFirst(prefix.count)
            if list.hasPrefix("\"all\"") {
                changes.allRequests = true
            } else {
                changes.add(
                    requests: list.split(whereSeparator: { !$0.isNumber }).compactMap {
                        Int64($0)
                    })
            }
        } else if settings.acceptsNotifiedRuns, link?.takesNotifications ?? false {
            if !changes.add(payload: payload) { report(refused: 1, payload) }
        }
        readChanges()
    }

    /// Payloads that were no good, with one of them as an example.
    func report(refused count: Int, _ example: String) {
        guard let count = changes.refused(count) else { return }
        // What it holds must not drive a terminal.
        let shown = example.unicodeScalars.prefix(100).map {
            $0.properties.generalCategory == .control ? "\u{FFFD}" : String($0)
        }.joined()
        if count == 1 {
            logger.notice(
                "NOTIFY timetable_run with \"\(shown)\" names no live config; nothing is run")
        } else {
            logger.notice(
                """
                NOTIFY timetable_run: \(count) payloads named no live config, or were too many; \
                nothing is run for them, such as "\(shown)"
                """)
        }
    }

    /// Looks at all that is pending. What comes meanwhile is looked at after an answer: in one
    /// question with all that came with it.
    func readChanges() {
        guard let link else { return }  // connecting reads everything
        while !changes.payloads.isEmpty, link.hasRoom {
            claim(notified: changes.takePayloads(Self.batchSize))
        }
        if !changes.requests.isEmpty, !changes.allRequests, link.hasRoom {
            let requests = changes.requests.sorted()
            changes.requests = []
            handle(.requested(requests.map { ($0, nil) }))
        }
        readCancels()
        guard !changes.isReading, changes.hasConfigs || changes.allRequests else { return }
        changes.isReading = true
        start {
            await self.look(link)
            self.changes.isReading = false
            self.readChanges()
        }
    }

    private func readCancels() {
        guard !changes.cancels.isEmpty, !changes.isReadingCancels else { return }
        let known = Set(knownRuns)
        let asked = changes.takeCancels().map { known.intersection($0) } ?? known
        changes.isReadingCancels = true
        lookForCancels(asked.sorted())
    }

    private func look(_ link: Link) async {
        do throws(PostgresError) {
            if changes.allRequests {
                changes.allRequests = false
                changes.requests = []
                try await readOpenRequests(link)
            }
            guard changes.hasConfigs else { return }
            guard let ids = changes.takeConfigs() else {
                handle(.rereading)
                try await readEverything(link)
                handle(.complete)
                logger.debug("read all configs: \(planner.configCount) schedules")
                reloaded()
                updateStatus()
                return
            }
            let rows = try await link.control.run(
                Statements.configsByID, [settings.name, ids.arrayLiteral], deadline: .seconds(30))
            let read = ConfigReader(zones: zones, defaultZone: link.defaultZone).read(rows)
            learn(read)
            let found = Set(read.configs.map(\.id))
            forgetProblems(of: ids, but: read.problems)
            handle(.gone(ids.filter { !found.contains($0) }))
            for id in ids {
                let next = planner.nextFire(of: id)?.rfc3339 ?? "never"
                logger.debug("scheduled config \(id), next fire \(next)")
            }
            updateStatus()
        } catch {
            // Without what we were told to look at, nothing here can be trusted.
            logger.error("changed configs can't be read: \(error)", metadata: error.metadata)
            link.close()
        }
    }
}

internal import Logging
internal import Postgres
internal import Reactor
internal import Scheduling
internal import Timing

/// What notifications have told to look at and nobody has looked at yet. Bounded: past a number of
/// ids everything is read.
struct PendingChanges {
    private static let bound = 5_000

    private(set) var configs: Set<Int64> = []
    var everything = false
    var requests: Set<Int64> = []
    var allRequests = false
    var payloads: [String] = []
    var isReading = false

    var hasConfigs: Bool { everything || !configs.isEmpty }

    mutating func add(configs ids: some Sequence<Int64>) {
        guard !everything else { return }
        configs.formUnion(ids)
        if configs.count > Self.bound { everything = true }
    }

    mutating func add(requests ids: some Sequence<Int64>) {
        requests.formUnion(ids)
        if requests.count > Self.bound { allRequests = true }
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
    /// More payloads than this wait for nobody: they are best-effort by nature.
    private static let payloadBound = 10_000

    /// A NOTIFY on one of our channels.
    func notified(_ notification: Notification) {
        switch notification.channel {
        case channel:
            if link?.awaitedEcho == notification.payload { link?.awaitedEcho = nil }
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

    /// `table operation id id …`, `table operation all`, or `worker event`.
    private func configsChanged(_ payload: String) {
        let words = payload.split(separator: " ")
        if words.first == "worker" { return beatAtOnce() }
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
            guard changes.payloads.count < Self.payloadBound else { return }
            changes.payloads.append(payload)
        }
        readChanges()
    }

    /// Looks at all that is pending. What comes meanwhile is looked at after the answer.
    func readChanges() {
        guard let link else { return }  // connecting reads everything
        if !changes.payloads.isEmpty {
            let payloads = changes.payloads
            changes.payloads = []
            claim(notified: payloads)
        }
        if !changes.requests.isEmpty, !changes.allRequests {
            let requests = changes.requests.sorted()
            changes.requests = []
            handle(.requested(requests.map { ($0, nil) }))
        }
        guard !changes.isReading, changes.hasConfigs || changes.allRequests else { return }
        changes.isReading = true
        start {
            await self.look(link)
            self.changes.isReading = false
            self.readChanges()
        }
    }

    private func look(_ link: Link) async {
        do throws(PostgresError) {
            if changes.allRequests {
                changes.allRequests = false
                changes.requests = []
                let open = try await link.control.run(
                    Statements.openRequests, deadline: .seconds(60))
                handle(.requested(Self.requests(open)))
            }
            guard changes.hasConfigs else { return }
            guard let ids = changes.takeConfigs() else {
                handle(.rereading)
                try await readAllConfigs(link)
                let open = try await link.control.run(
                    Statements.openRequests, deadline: .seconds(60))
                handle(.requested(Self.requests(open)))
                handle(.complete)
                logger.debug("read all configs: \(planner.configCount) schedules")
                updateStatus()
                return
            }
            let rows = try await link.control.run(
                Statements.configsByID, [settings.name, ids.arrayLiteral], deadline: .seconds(30))
            let read = ConfigReader(zones: zones, defaultZone: link.defaultZone).read(rows)
            learn(read)
            let found = Set(read.configs.map(\.id))
            handle(.gone(ids.filter { !found.contains($0) }))
            for id in ids {
                let next = planner.nextFire(of: id)?.rfc3339 ?? "never"
                logger.debug("scheduled config \(id), next fire \(next)")
            }
            updateStatus()
        } catch {
            // Without what we were told to look at, nothing here can be trusted.
            logger.error("changed configs can't be read: \(error)")
            link.close()
        }
    }
}

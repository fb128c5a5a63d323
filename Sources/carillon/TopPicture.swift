internal import Scheduling
internal import Terminal
internal import Timetable
internal import Timing

/// What `carillon top` knows, and what it looks like at a time.
struct TopPicture {
    var configs: [ConfigReport] = []
    var running: [RunReport] = []
    var last: [RunReport] = []
    var workers: [WorkerReport] = []
    var inUTC = false

    /// As many lines as the screen has; nil: all that is known.
    func lines(on screen: Screen, height: Int?, now: WallInstant) -> [String] {
        let due = due(after: now)
        var lines = [screen.paint(heading(due, now), .bold)]
        // Heading, and of each part a blank, a title and the head of its table.
        let room = max(4, (height ?? 64) - 1 - 4 * 3)
        let shownWorkers = min(workers.count, max(1, room / 4))
        let shownRunning = min(running.count, max(1, room / 3))
        let rest = max(2, room - shownWorkers - shownRunning)
        let shownDue = min(due.count, max(1, rest - min(last.count, rest / 2)))
        add(&lines, "DUE NEXT", dueTable(due.prefix(shownDue), screen, now), screen)
        add(&lines, "RUNNING", runningTable(running.prefix(shownRunning), screen, now), screen)
        add(&lines, "LAST", lastTable(last.prefix(max(1, rest - shownDue)), screen, now), screen)
        add(&lines, "WORKERS", workerTable(workers.prefix(shownWorkers), screen, now), screen)
        guard let height else { return lines }
        return Array(lines.prefix(height))
    }

    private func due(after now: WallInstant) -> [(config: ConfigReport, next: WallInstant)] {
        configs.compactMap { config in config.next(after: now).map { (config, $0) } }
            .sorted { ($0.next, $0.config.name) < ($1.next, $1.config.name) }
    }

    private func heading(
        _ due: [(config: ConfigReport, next: WallInstant)], _ now: WallInstant
    ) -> String {
        let serving = workers.count { $0.state == "serving" }
        let next = due.first.map { ", next in \(since(now, $0.next))" } ?? ""
        return
            "carillon: \(serving) worker\(serving == 1 ? "" : "s"), \(running.count) running, \(due.count) due\(next)"
    }

    private func add(_ lines: inout [String], _ title: String, _ table: Table, _ screen: Screen) {
        let rows = table.lines(on: screen)
        lines.append("")
        lines.append(screen.paint(title, .bold) + (rows.isEmpty ? ": none" : ""))
        lines += rows
    }

    private func since(_ earlier: WallInstant?, _ later: WallInstant) -> String {
        earlier.map { Span.words(microseconds: max(0, later.microseconds(since: $0))) } ?? "-"
    }

    private func dueTable(
        _ due: some Sequence<(config: ConfigReport, next: WallInstant)>, _ screen: Screen,
        _ now: WallInstant
    ) -> Table {
        var table = Table([.text("NEXT"), .right("LEFT"), .text("NAME", least: 6)])
        for (config, next) in due {
            table.add([
                Table.Cell(screen.time(next, in: inUTC ? nil : config.zone)),
                Table.Cell(since(now, next)), Table.Cell(config.name),
            ])
        }
        return table
    }

    private func runningTable(
        _ runs: some Sequence<RunReport>, _ screen: Screen, _ now: WallInstant
    ) -> Table {
        var table = Table([
            .right("RUN"), .right("ELAPSED"), .text("WORKER", least: 6), .text("NAME", least: 6),
        ])
        for run in runs {
            table.add([
                Table.Cell("\(run.id)"), Table.Cell(since(run.started, now)),
                Table.Cell(run.worker), Table.Cell(run.shownName),
            ])
        }
        return table
    }

    private func lastTable(
        _ runs: some Sequence<RunReport>, _ screen: Screen, _ now: WallInstant
    ) -> Table {
        var table = Table([
            .right("RUN"), .right("AGO"), .right("TOOK"), .right("LATENESS"), .text("OUTCOME"),
            .text("NAME", least: 6), .text("REASON", least: 6),
        ])
        for run in runs {
            table.add([
                Table.Cell("\(run.id)"), Table.Cell(since(run.finished ?? run.time, now)),
                Table.Cell(run.tookMicroseconds.map { Span.words(microseconds: $0) }),
                Table.Cell(run.latenessMicroseconds.map { Span.words(microseconds: $0) }),
                outcome(run.state), Table.Cell(run.shownName), Table.Cell(run.shownReason ?? ""),
            ])
        }
        return table
    }

    private func workerTable(
        _ workers: some Sequence<WorkerReport>, _ screen: Screen, _ now: WallInstant
    ) -> Table {
        var table = Table([
            .text("WORKER", least: 6), .text("STATE"), .right("SINCE"), .right("RUNNING"),
            .text("VERSION"), .text("HOST", least: 6),
        ])
        for worker in workers {
            table.add([
                Table.Cell(worker.name),
                Table.Cell(worker.state, worker.state == "serving" ? .green : .red),
                Table.Cell(since(worker.since, now)), Table.Cell("\(worker.running)"),
                Table.Cell(worker.version), Table.Cell(worker.host),
            ])
        }
        return table
    }

    /// For `--json`: each with the section that it belongs to.
    func objects(now: WallInstant) -> [JSONText] {
        func object(_ section: String, _ text: JSONText) -> JSONText {
            guard case .object(let members) = text else { return text }
            return .object([("section", .text(section))] + members)
        }
        return due(after: now).map { object("due", $0.config.object(inUTC: inUTC)) }
            + running.map { object("running", $0.object(inUTC: inUTC)) }
            + last.map { object("last", $0.object(inUTC: inUTC)) }
            + workers.map { worker in
                .object([
                    ("section", "worker"), ("name", .text(worker.name)),
                    ("state", .text(worker.state)), ("host", .text(worker.host)),
                    ("pid", .number(worker.pid)), ("version", .text(worker.version)),
                    ("since", .of(worker.since?.rfc3339(in: nil))),
                    ("seen", .of(worker.seen?.rfc3339(in: nil))),
                    ("running", .number(worker.running)),
                ])
            }
    }
}

internal import Scheduling
internal import Terminal
internal import Timetable
internal import Timing

/// What a run looks like.
extension RunReport {
    /// Its config's name, or the id of one that is gone.
    var shownName: String { name ?? "config \(config) (gone)" }

    var shownReason: String? { state == "CHAIN_DONE" ? nil : error ?? reason }

    func object(inUTC: Bool, tasks: [TaskReport]? = nil) -> JSONText {
        func time(_ instant: WallInstant?) -> JSONText {
            .of(instant?.rfc3339(in: inUTC ? nil : zone))
        }
        var members: [(String, JSONText)] = [
            ("run", .number(id)), ("config", .number(config)), ("name", .of(name)),
            ("outcome", .text(state)), ("scheduled_for", time(scheduledFor)),
            ("started", time(started)), ("finished", time(finished)),
            ("lateness_us", .of(latenessMicroseconds)), ("attempt", .number(attempt)),
            ("worker", .of(worker)), ("error", .of(error)), ("sqlstate", .of(sqlstate)),
            ("reason", .of(reason)), ("request", .of(request)), ("requested_by", .of(requestedBy)),
            ("retry_at", time(retryAt)), ("missed_count", .of(missedCount)),
            ("missed_until", time(missedUntil)),
        ]
        if let tasks {
            let zone = inUTC ? nil : zone
            members.append(("tasks", .array(tasks.map { $0.object(in: zone) })))
        }
        return .object(members)
    }

    /// One fact a line.
    func facts(on screen: Screen, inUTC: Bool) -> [String] {
        let zone = inUTC ? nil : zone
        var facts: [(String, String?)] = [
            ("run", "\(id) of \(Plain.line(shownName))"), ("outcome", state),
            ("due", scheduledFor?.shown(in: zone)),
            ("asked for", request.map { "request \($0) of \(requestedBy ?? "?")" }),
            ("started", started?.shown(in: zone)),
        ]
        if let late = latenessMicroseconds {
            facts.append(("lateness", Span.words(microseconds: late)))
        }
        facts += [
            ("finished", finished?.shown(in: zone)),
            ("took", tookMicroseconds.map { Span.words(microseconds: $0) }),
            ("attempt", attempt > 1 ? "\(attempt)" : nil),
            ("tried again at", retryAt?.shown(in: zone)), ("worker", worker),
            ("missed", missedCount.map { "\($0) fires" }), ("reason", reason),
            ("SQLSTATE", sqlstate), ("error", error),
        ]
        return facts.flatMap { fact(on: screen, $0.0, $0.1) }
    }
}

/// `name:     value`; further lines of a value below it.
private func fact(on screen: Screen, _ name: String, _ value: String?) -> [String] {
    guard let value else { return [] }
    let lines = screen.block(value).split(separator: "\n", omittingEmptySubsequences: false)
    let label = "\(name):"
    let indent = 16
    let padding = String(repeating: " ", count: max(1, indent - label.count))
    return lines.enumerated().map { index, line in
        index == 0
            ? screen.paint(label, .bold) + padding + line
            : String(repeating: " ", count: indent) + line
    }
}

extension TaskReport {
    var hasFailed: Bool { error != nil && returnCode != 0 || sqlstate != nil }

    func object(in zone: ZoneRules?) -> JSONText {
        .object([
            ("element", .number(element)), ("task", .text(name)), ("kind", .of(kind)),
            ("attempt", .of(attempt)), ("started", .of(started?.rfc3339(in: zone))),
            ("finished", .of(finished?.rfc3339(in: zone))), ("returncode", .of(returnCode)),
            ("pid", .of(pid)), ("sqlstate", .of(sqlstate)), ("parameters", .of(json: parameters)),
            ("output", .of(output)), ("error", .of(error)), ("worker", .of(worker)),
        ])
    }

    /// A heading, and what there is of parameters, output and error.
    func lines(on screen: Screen, in zone: ZoneRules?) -> [String] {
        var heading = screen.paint(Plain.line(name), .bold)
        heading += kind.map { " (\($0))" } ?? ""
        if let attempt, attempt > 1 { heading += ", attempt \(attempt)" }
        if let started { heading += ", \(started.shown(in: zone))" }
        if let started, let finished {
            heading += ", took \(Span.words(microseconds: finished.microseconds(since: started)))"
        }
        heading += ": " + ending(on: screen)
        return [heading] + fact(on: screen, "  parameters", parameters)
            + fact(on: screen, "  output", output.map(Self.trimmed))
            + fact(on: screen, "  error", error.map(Self.trimmed))
    }

    private func ending(on screen: Screen) -> String {
        guard hasFailed else { return screen.paint("done", .green) }
        let code = sqlstate.map { "SQLSTATE \($0)" } ?? returnCode.map { "exit code \($0)" }
        return screen.paint("failed" + (code.map { ", \(Plain.line($0))" } ?? ""), .red)
    }

    private static func trimmed(_ text: String) -> String {
        var text = text[...]
        while text.last?.isNewline == true { text.removeLast() }
        return String(text)
    }
}

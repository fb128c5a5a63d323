/// A piece of code that only some rooms may hold.
private struct Ban: Sendable {
    var pattern: @Sendable () -> Regex<Substring>
    var name: String
    var reason: String
    var allowed: [String] = []
}

extension Rule {
    private static let bans: [Ban] = [
        Ban(pattern: { /\btry!/ }, name: "try!", reason: "nothing from outside may trap"),
        Ban(pattern: { /\bas!/ }, name: "as!", reason: "nothing from outside may trap"),
        Ban(
            pattern: { /\bfatalError\(/ }, name: "fatalError",
            reason: "a bug of ours is a preconditionFailure with its reason"),
        Ban(
            pattern: { /\bTask\s*\.\s*sleep\b/ }, name: "Task.sleep",
            reason: "it starts threads; use the timers of Reactor"),
        Ban(
            pattern: { /\bTask\s*\.\s*detached\b/ }, name: "Task.detached",
            reason: "it leaves the executor"),
        Ban(
            pattern: { /\bTask\s*(?:<[^>]*>)?\s*\{/ }, name: "Task { }",
            reason: "it leaves the executor; use a task group"),
        Ban(
            pattern: { /\bTask\s*(?:<[^>]*>)?\s*(?:\.init)?\((?!executorPreference:)/ },
            name: "Task( )", reason: "it leaves the executor; use a task group"),
        Ban(
            pattern: { /\bTask\s*(?:<[^>]*>)?\s*\(executorPreference:/ },
            name: "Task(executorPreference:)", reason: "there is one root task",
            allowed: ["Reactor"]),
        Ban(
            pattern: { /\b(?:u|nano)sleep\(/ }, name: "usleep, nanosleep",
            reason: "they hold the only thread"),
        Ban(
            pattern: { /\b(?:clinux_)?epoll_\w+/ }, name: "epoll",
            reason: "only Reactor calls it", allowed: ["Reactor"]),
        Ban(
            pattern: { /\bposix_spawn\w*/ }, name: "posix_spawn",
            reason: "only Programs calls it", allowed: ["Programs"]),
        Ban(
            pattern: { /\bPQ[a-z]\w*\(/ }, name: "libpq",
            reason: "only Postgres calls it", allowed: ["Postgres"]),
        Ban(
            pattern: { /(?:^|[^.\w])(?:debugPrint|print|dump)\(/ }, name: "print",
            reason: "libraries return, only executables write",
            allowed: ["carillon", "carillon-bench"]),
    ]

    static let bannedCalls: [Rule] =
        bans.map { ban in
            Rule(description: "no \(ban.name): \(ban.reason)") { file in
                guard file.isSwift, let room = file.room, !ban.allowed.contains(room) else {
                    return []
                }
                let pattern = ban.pattern()
                return file.codeLines.enumerated().compactMap { index, line in
                    guard line.contains(pattern) else { return nil }
                    return Finding(
                        path: file.path, line: index + 1, message: "\(ban.name): \(ban.reason)")
                }
            }
        } + [uncheckedArithmetic]

    /// In pieces, so that this file keeps the rule.
    private static let uncheckedFlag = "-O" + "unchecked"

    private static let uncheckedArithmetic = Rule.lines(
        "no unchecked arithmetic anywhere", in: { _ in true },
        check: { $0.contains(uncheckedFlag) ? "the compiler may not drop checks" : nil })

    static let uncheckedHasReason = Rule(
        description: "what the compiler can't check for races has its reason on the line before"
    ) { file in
        guard file.isSwift, file.room != nil else { return [] }
        return file.codeLines.enumerated().compactMap { index, line in
            guard line.contains("@unchecked Sendable") || line.contains("nonisolated(unsafe)"),
                index == 0 || !file.lines[index - 1].drop(while: { $0 == " " }).hasPrefix("//")
            else { return nil }
            return Finding(
                path: file.path, line: index + 1,
                message: "say on the line before why no race is possible")
        }
    }
}

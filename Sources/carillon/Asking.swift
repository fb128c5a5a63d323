internal import ArgumentParser
internal import Glibc
internal import Postgres
internal import Reactor
internal import Scheduling
internal import Terminal
internal import Timetable
internal import Timing

/// How a command that shows something shows it.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print an array of JSON objects, one a line, with all there is to know.")
    var json = false

    @Flag(help: "Times in UTC, not in the zone of the config.")
    var utc = false
}

extension ConnectionOptions {
    /// Runs what a command asks the database on the loop, and exits: 0 or what `body` says, 64 for
    /// what makes no sense, else the exit code of the failure.
    func asking(
        _ command: String, _ body: @escaping @Sendable @LoopActor (Reports) async throws -> Int32
    ) throws {
        // Zones are those of configs and of the database, not of whoever asks.
        unsafe unsetenv("PGTZ")
        let parameters = parameters
        Self.hidePassword()
        throw ExitCode(EventLoop.shared.run { await answer(parameters, command, body) })
    }
}

@LoopActor
private func answer(
    _ parameters: ConnectionParameters, _ command: String,
    _ body: @escaping @Sendable @LoopActor (Reports) async throws -> Int32
) async -> Int32 {
    do {
        let reports = try await Reports.open(parameters, as: command)
        defer { reports.close() }
        return try await body(reports)
    } catch let error as NextFires.Misasked {
        complain(error.message)
        return ExitCode.validationFailure.rawValue
    } catch {
        complain((error as? StartFailure)?.message ?? "\(error)")
        return (error as? StartFailure)?.reason.rawValue ?? 1
    }
}

extension Screen {
    /// Standard output: a terminal has a width, and colours unless NO_COLOR is set (no-color.org).
    static var output: Screen {
        guard isatty(STDOUT_FILENO) == 1 else { return .plain }
        let columns = Int(size?.ws_col ?? 0)
        let width = columns > 0 ? columns : 80
        func isSet(_ name: String) -> Bool {
            guard let value = unsafe getenv(name) else { return false }
            return unsafe strlen(value) > 0
        }
        let isDumb = unsafe getenv("TERM").map { unsafe String(cString: $0) == "dumb" } ?? true
        return Screen(width: width, usesColour: !isSet("NO_COLOR") && !isDumb)
    }
}

extension Screen {
    /// A time for a table; on a narrow screen without year and offset.
    func time(_ instant: WallInstant, in zone: ZoneRules?) -> String {
        let text = instant.shown(in: zone)
        guard let width, width < 110, text.count >= 19 else { return text }
        return String(text.dropFirst(5).prefix(14))
    }
}

extension Screen {
    private static var size: winsize? {
        var size = winsize()
        return unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 ? size : nil
    }

    /// Lines of the terminal.
    static var height: Int {
        let rows = Int(size?.ws_row ?? 0)
        return rows > 0 ? rows : 24
    }
}

/// Writes lines to standard output at once, so that nothing stays in a buffer when we wait.
func emit(_ lines: [String]) {
    emitRaw(lines.map { $0 + "\n" }.joined())
}

/// Writes text as it is.
func emitRaw(_ text: String) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
        let written = unsafe bytes.withUnsafeBytes {
            unsafe write(STDOUT_FILENO, $0.baseAddress, $0.count)
        }
        if written < 0, errno == EINTR { continue }
        // A reader that has gone ends us by SIGPIPE; a full disk is told by what is missing.
        guard written > 0 else { return complain("standard output can't be written") }
        bytes = bytes.dropFirst(written)
    }
}

/// A run's state, in the colour of how well it went.
func outcome(_ state: String?) -> Table.Cell {
    switch state {
    case "CHAIN_DONE": Table.Cell("DONE", .green)
    case "CHAIN_FAILED": Table.Cell("FAILED", .red)
    case "TIMED_OUT", "DEAD", "MISSED": Table.Cell(state, .red)
    case "CANCELLED", "SKIPPED", "WAITING": Table.Cell(state, .yellow)
    default: Table.Cell(state)
    }
}

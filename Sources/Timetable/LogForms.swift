internal import Glibc
internal import Jobs
internal import Logging
internal import Reactor
internal import Timing

/// One line, before it has a form.
struct LogLine {
    let level: Logger.Level
    let worker: String
    let message: String
    /// Names as in the code: `run`, `config`.
    let fields: [(name: String, value: String)]

    /// The message with its fields.
    var text: String {
        fields.reduce(message) { "\($0) \($1.name)=\($1.value)" }
    }
}

/// What a line looks like, and where it goes. Never waits for a reader.
protocol LogForm: Sendable {
    func write(_ line: LogLine)
    /// Returns when all is written, or after a second at most.
    @LoopActor func finish() async
}

extension LogForm {
    @LoopActor func finish() async {}
}

/// The seed's form.
struct ConsoleForm: LogForm {
    func write(_ line: LogLine) {
        let level = line.level.seedName
        let padded = level + String(repeating: " ", count: max(0, 6 - level.count))
        writeToOutput("[\(Self.localTime()) | \(line.worker) | \(padded)]:\t \(line.text)\n")
    }

    /// Local time with milliseconds, as in the seed's log.
    private static func localTime() -> String {
        let now = WallInstant.now().microseconds
        var seconds = time_t(now / 1_000_000)
        var parts = unsafe tm()
        unsafe localtime_r(&seconds, &parts)
        func digits(_ value: Int32, _ width: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, width - text.count)) + text
        }
        let date = unsafe [
            digits(parts.tm_year + 1900, 4), digits(parts.tm_mon + 1, 2), digits(parts.tm_mday, 2),
        ].joined(separator: "-")
        let time = unsafe [
            digits(parts.tm_hour, 2), digits(parts.tm_min, 2), digits(parts.tm_sec, 2),
        ].joined(separator: ":")
        return "\(date) \(time).\(digits(Int32(now % 1_000_000 / 1_000), 3))"
    }
}

/// `{"time": …, "level": …, "worker": …, "message": …, "run": …}`
struct JSONForm: LogForm {
    func write(_ line: LogLine) {
        let fields =
            [
                ("time", WallInstant.now().rfc3339), ("level", line.level.rawValue),
                ("worker", line.worker), ("message", line.message),
            ] + line.fields
        let members = fields.map { JSON.Member(key: $0.0, value: .text($0.1)) }
        writeToOutput("\(JSON.object(members).rendered)\n")
    }
}

private func writeToOutput(_ line: String) {
    var bytes = Array(line.utf8)[...]
    while !bytes.isEmpty {
        let count = unsafe bytes.withUnsafeBytes {
            unsafe write(STDOUT_FILENO, $0.baseAddress, $0.count)
        }
        // Where nobody reads any more, there is nobody to tell.
        guard count > 0 || errno == EINTR else { return }
        bytes = bytes.dropFirst(max(0, count))
    }
}

extension Logger.Level {
    /// The label of `timetable.log_type`.
    var seedName: String {
        switch self {
        case .trace, .debug: "DEBUG"
        case .info: "LOG"
        case .notice: "NOTICE"
        case .warning, .error: "ERROR"
        case .critical: "PANIC"
        }
    }

    /// syslog(3).
    var priority: String {
        switch self {
        case .trace, .debug: "7"
        case .info: "6"
        case .notice: "5"
        case .warning: "4"
        case .error: "3"
        case .critical: "2"
        }
    }
}

internal import Glibc
public import Logging
internal import Reactor
internal import Timing

/// Log lines in the seed's form, on standard output: `[time | worker | LEVEL ]:\t message`.
public struct ConsoleLog: LogHandler {
    public var metadata: Logger.Metadata = [:]
    public var logLevel: Logger.Level
    private let name: String
    private let sink: @Sendable (Logger.Level, String) -> Void

    /// `sink` gets every line as well, whatever its level.
    public init(
        name: String, level: Logger.Level,
        sink: @escaping @Sendable (Logger.Level, String) -> Void = { _, _ in }
    ) {
        self.name = name
        self.logLevel = level
        self.sink = sink
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var text = event.message.description
        for (key, value) in (event.metadata ?? [:]).sorted(by: { $0.key < $1.key }) {
            text += " \(key)=\(value)"
        }
        sink(event.level, text)
        let level = event.level.seedName
        let padded = level + String(repeating: " ", count: max(0, 6 - level.count))
        let line = "[\(Self.localTime()) | \(name) | \(padded)]:\t \(text)\n"
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
}

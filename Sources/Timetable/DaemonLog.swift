internal import Logging
internal import Postgres
internal import Reactor
internal import Synchronization
internal import Systemd

/// How a daemon's lines look, and where they go.
public enum LogFormat: Sendable {
    /// The journal where standard output or standard error is its own, else `console`.
    case automatic
    /// The seed's form, on standard output: `[time | worker | LEVEL ]:\t message`.
    case console
    /// One JSON object a line, on standard output.
    case json
    /// The journal of systemd, each value in a field of its own.
    case journal
}

/// The least levels that are written; a reload may set them.
final class LogLevels: Sendable {
    private let levels: Mutex<(console: Logger.Level, database: Logger.Level)>

    init(console: Logger.Level, database: Logger.Level) {
        levels = Mutex((console, database))
    }

    /// To the console or the journal.
    var console: Logger.Level {
        get { levels.withLock { $0.console } }
        set { levels.withLock { $0.console = newValue } }
    }

    /// To `timetable.log`.
    var database: Logger.Level {
        get { levels.withLock { $0.database } }
        set { levels.withLock { $0.database = newValue } }
    }
}

extension Logger.Metadata {
    /// With the SQLSTATE of an error, where it has one.
    func adding(sqlstate: String?) -> Logger.Metadata {
        guard let sqlstate else { return self }
        return merging(["sqlstate": "\(sqlstate)"]) { $1 }
    }
}

extension PostgresError {
    /// What a line about it carries.
    var metadata: Logger.Metadata { Logger.Metadata().adding(sqlstate: sqlstate) }
}

/// Writes lines in the form that was asked for.
struct DaemonLog: LogHandler {
    var metadata: Logger.Metadata = [:]
    private let worker: String
    private let levels: LogLevels
    let form: any LogForm
    private let sink: @Sendable (Logger.Level, String) -> Void

    /// `sink` gets every line as well.
    @LoopActor init(
        worker: String, levels: LogLevels, format: LogFormat,
        sink: @escaping @Sendable (Logger.Level, String) -> Void
    ) {
        self.worker = worker
        self.levels = levels
        self.sink = sink
        switch format {
        case .automatic: form = Journal().map(JournalForm.init) ?? ConsoleForm()
        case .journal:
            form = Journal(socket: Journal.defaultSocket).map(JournalForm.init) ?? ConsoleForm()
        case .console: form = ConsoleForm()
        case .json: form = JSONForm()
        }
    }

    /// Both receivers have a level of their own; nobody sets this one.
    var logLevel: Logger.Level {
        get { min(levels.console, levels.database) }
        set { levels.console = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let line = LogLine(
            level: event.level, worker: worker, message: event.message.description,
            fields: (event.metadata ?? [:]).map { ($0.key, "\($0.value)") }.sorted { $0.0 < $1.0 })
        sink(event.level, line.text)
        if event.level >= levels.console { form.write(line) }
    }
}

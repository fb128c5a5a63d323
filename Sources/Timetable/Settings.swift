public import Logging
public import Postgres

/// How a daemon runs: what the command line says, checked.
public struct Settings: Sendable {
    /// How to reach the database.
    public var connection: ConnectionParameters
    /// The directory of a private server, which is used in place of `connection`.
    public var embeddedDirectory: String?
    /// The worker's name, unique among the daemons of a database.
    public var name: String
    /// Keep trying when the database can't be reached at start.
    public var waitsForDatabase = false
    /// Wait for the worker of this name to end, and take over, rather than refuse to start.
    public var standsBy = false
    /// How long runs under way may take to end after SIGTERM.
    public var drainTimeout: Duration = .seconds(30)
    /// The bound on connections that run SQL tasks.
    public var sqlConnections = 16
    /// How long such a connection stays open when no task needs it.
    public var sqlIdleTimeout: Duration = .seconds(60)
    /// The bound on runs under way at once; the others wait in the order of their fire times.
    public var maxRuns = 64
    /// How many bytes of each output of a program are kept.
    public var outputLimit = 65_536
    /// Whether NOTIFY timetable_run starts runs.
    public var acceptsNotifiedRuns = true
    /// Whether SHELL tasks are run at all.
    public var runsPrograms = true
    /// Only programs in these folders or below are run; absolute, without links. Nil: all.
    public var programFolders: [String]?
    /// The least level that is written to standard output or the journal.
    public var logLevel: Logger.Level = .info
    /// The least level that is written to `timetable.log`.
    public var databaseLogLevel: Logger.Level = .info
    public var logFormat = LogFormat.automatic

    public init(connection: ConnectionParameters, name: String) {
        self.connection = connection
        self.name = name
    }

    /// Takes what a running daemon can change; returns the names of options that are other now and
    /// need a restart.
    mutating func takeReloadable(of new: Settings) -> [String] {
        var kept = new
        kept.connection = connection
        kept.embeddedDirectory = embeddedDirectory
        kept.name = name
        kept.waitsForDatabase = waitsForDatabase
        kept.standsBy = standsBy
        kept.sqlConnections = sqlConnections
        kept.sqlIdleTimeout = sqlIdleTimeout
        kept.logFormat = logFormat
        defer { self = kept }
        let others = [
            ("the connection", connection != new.connection),
            ("embedded", embeddedDirectory != new.embeddedDirectory), ("name", name != new.name),
            ("standby", standsBy != new.standsBy),
            ("sql-connections", sqlConnections != new.sqlConnections),
            ("sql-idle-timeout", sqlIdleTimeout != new.sqlIdleTimeout),
            ("log-format", logFormat != new.logFormat),
        ]
        return others.filter(\.1).map(\.0)
    }
}

/// The version that a worker writes beside its name.
public let carillonVersion = "0.1.0"

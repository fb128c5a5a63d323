/// What `carillon check` found: what is wrong, where, and what to do.
public struct Finding: Sendable, Equatable {
    public enum Severity: String, Sendable, Comparable, CaseIterable {
        /// Good to know, or what can't be judged from here.
        case note
        /// It works, and not as somebody may have meant it.
        case warning
        /// It can't work.
        case error

        public static func < (left: Severity, right: Severity) -> Bool {
            order(left) < order(right)
        }

        private static func order(_ severity: Severity) -> Int {
            switch severity {
            case .note: 0
            case .warning: 1
            case .error: 2
            }
        }
    }

    /// Where it was found: for people, and by ids.
    public struct Place: Sendable, Equatable {
        /// A config's name, with a task's place in its chain; a worker; or what of the database.
        public let text: String
        public var config: Int64?
        /// The `chain_id` of an element.
        public var element: Int64?

        public init(_ text: String, config: Int64? = nil, element: Int64? = nil) {
            self.text = text
            self.config = config
            self.element = element
        }
    }

    public let severity: Severity
    public let code: FindingCode
    public let place: Place
    public let message: String
    /// What to do; empty where nothing need be done.
    public let advice: String

    init(
        _ code: FindingCode, _ place: Place, _ message: String, _ advice: String = "",
        as severity: Severity? = nil
    ) {
        self.severity = severity ?? code.severity
        self.code = code
        self.place = place
        self.message = message
        self.advice = advice
    }
}

/// The kinds of findings by their stable names.
public enum FindingCode: String, Sendable, CaseIterable {
    // Of a config.
    case scheduleSyntax = "schedule-syntax"
    case scheduleNever = "schedule-never"
    case scheduleOver = "schedule-over"
    case scheduleFar = "schedule-far"
    case jitterLong = "jitter-long"
    case zoneUnknown = "zone-unknown"
    case zoneMissingHere = "zone-missing-here"
    case notLive = "not-live"
    case paused
    case noChain = "no-chain"
    case workerAbsent = "worker-absent"
    case limitsMoot = "limits-moot"
    case excludedMissing = "excluded-missing"
    case onFailureIdle = "on-failure-idle"
    case failing
    case firesSkipped = "fires-skipped"
    case configRefused = "config-refused"

    // Of a task.
    case sqlSyntax = "sql-syntax"
    case sqlWrong = "sql-wrong"
    case sqlUnjudged = "sql-unjudged"
    case sqlSyntaxOnly = "sql-syntax-only"
    case sqlEmpty = "sql-empty"
    case sqlTransaction = "sql-transaction"
    case sqlCopy = "sql-copy"
    case roleUnknown = "role-unknown"
    case roleNotGranted = "role-not-granted"
    case programMissing = "program-missing"
    case programUser = "program-user"
    case programUnjudged = "program-unjudged"
    case builtInUnknown = "built-in-unknown"
    case builtInParameters = "built-in-parameters"
    case parametersForm = "parameters-form"
    case parametersNumber = "parameters-number"
    case parametersMissing = "parameters-missing"
    case parametersValue = "parameters-value"
    case parametersElsewhere = "parameters-elsewhere"
    case parametersMany = "parameters-many"
    case connectionUnreachable = "connection-unreachable"
    case connectionMalformed = "connection-malformed"
    case secretPlain = "secret-plain"

    // Of the whole installation.
    case schemaVersion = "schema-version"
    case databaseReadOnly = "database-read-only"
    case settingUnsafe = "setting-unsafe"
    case noDaemon = "no-daemon"
    case daemonLost = "daemon-lost"
    case daemonDead = "daemon-dead"
    case daemonDeaf = "daemon-deaf"
    case heartbeatOld = "heartbeat-old"
    case versionsDiffer = "versions-differ"
    case daemonSuperuser = "daemon-superuser"
    case clockSkew = "clock-skew"
    case connectionsFew = "connections-few"
    case requestsWaiting = "requests-waiting"
    case runsOrphaned = "runs-orphaned"
    case retentionLagging = "retention-lagging"
    case notifyQueue = "notify-queue"
    case logLost = "log-lost"
    case logErrors = "log-errors"
}

extension FindingCode {
    /// Tells why a daemon can't schedule a config.
    var concernsSchedule: Bool { [.scheduleSyntax, .zoneUnknown, .zoneMissingHere].contains(self) }

    /// How bad it is, unless something speaks for more or less.
    public var severity: Finding.Severity {
        switch self {
        case .notLive, .paused, .sqlUnjudged, .sqlSyntaxOnly, .programUnjudged, .parametersMany,
            .clockSkew, .logErrors:
            .note
        case .scheduleOver, .scheduleFar, .jitterLong, .zoneMissingHere, .limitsMoot,
            .excludedMissing, .onFailureIdle, .failing, .firesSkipped, .configRefused, .sqlEmpty,
            .parametersMissing, .parametersElsewhere, .secretPlain, .settingUnsafe, .daemonDead,
            .versionsDiffer, .daemonSuperuser, .connectionsFew, .requestsWaiting,
            .retentionLagging, .notifyQueue, .logLost:
            .warning
        case .scheduleSyntax, .scheduleNever, .zoneUnknown, .noChain, .workerAbsent, .sqlSyntax,
            .sqlWrong, .sqlTransaction, .sqlCopy, .roleUnknown, .roleNotGranted, .programMissing,
            .programUser, .builtInUnknown, .builtInParameters, .parametersForm, .parametersNumber,
            .parametersValue, .connectionUnreachable, .connectionMalformed, .schemaVersion,
            .databaseReadOnly, .noDaemon, .daemonLost, .daemonDeaf, .heartbeatOld, .runsOrphaned:
            .error
        }
    }
}

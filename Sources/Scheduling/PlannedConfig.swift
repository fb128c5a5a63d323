public import Timing

/// One config at one fire time.
public struct Fire: Hashable, Comparable, Sendable {
    public let config: Int64
    public let instant: WallInstant
    /// Since when the schedule holds by which it is due: with another one it is no fire any more.
    public let since: WallInstant

    public init(config: Int64, instant: WallInstant, since: WallInstant) {
        self.config = config
        self.instant = instant
        self.since = since
    }

    init(_ config: PlannedConfig, _ instant: WallInstant) {
        self.init(config: config.id, instant: instant, since: config.scheduledSince)
    }

    public static func < (left: Fire, right: Fire) -> Bool {
        (left.instant, left.config) < (right.instant, right.config)
    }
}

/// What becomes of fires that nobody could claim in time.
public enum MisfirePolicy: Sendable, Equatable {
    case skip
    /// One run for all of them, as of the latest.
    case once
    /// A run for each of them, one after the other.
    case all
}

/// Fires of one config that did not run, from the first to the last: one row of the record.
public struct MissedFires: Sendable, Equatable {
    public let config: Int64
    public let first: WallInstant
    public let last: WallInstant
    /// How many; at most `FireRule.countLimit`.
    public let count: Int

    public init(config: Int64, first: WallInstant, last: WallInstant, count: Int) {
        self.config = config
        self.first = first
        self.last = last
        self.count = count
    }
}

/// What the planner has to know of a live config.
public struct PlannedConfig: Sendable {
    public let id: Int64
    public let rule: FireRule
    /// Fires once when a daemon has become ready (`@reboot`).
    public let firesAtStart: Bool
    /// Whether no other worker may run it.
    public let isBound: Bool
    /// How late a fire may begin, in microseconds; later it is a misfire. At least a second: the
    /// way of a fire takes some time, also where no lateness is wanted.
    public let grace: Int64
    /// Fires before this instant were never meant to happen.
    public let scheduledSince: WallInstant
    public let misfire: MisfirePolicy
    /// How far back misfires are made up for, in microseconds.
    public let misfireWindow: Int64
    /// For `@after`: when the last run ended, or that one is under way.
    public let lastRun: LastRun

    public enum LastRun: Sendable, Equatable {
        case none
        case underWay
        case ended(WallInstant)
    }

    private static let leastGrace: Int64 = 1_000_000

    public init(
        id: Int64, rule: FireRule, firesAtStart: Bool = false, isBound: Bool = false, grace: Int64,
        scheduledSince: WallInstant, misfire: MisfirePolicy = .skip,
        misfireWindow: Int64 = 86_400_000_000, lastRun: LastRun = .none
    ) {
        self.id = id
        self.rule = rule
        self.firesAtStart = firesAtStart
        self.isBound = isBound
        self.grace = max(grace, Self.leastGrace)
        self.scheduledSince = scheduledSince
        self.misfire = misfire
        self.misfireWindow = misfireWindow
        self.lastRun = lastRun
    }
}

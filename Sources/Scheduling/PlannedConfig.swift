public import Timing

/// One config at one fire time.
public struct Fire: Hashable, Comparable, Sendable {
    public let config: Int64
    public let instant: WallInstant

    public init(config: Int64, instant: WallInstant) {
        self.config = config
        self.instant = instant
    }

    public static func < (left: Fire, right: Fire) -> Bool {
        (left.instant, left.config) < (right.instant, right.config)
    }
}

/// What the planner has to know of a live config.
public struct PlannedConfig: Sendable {
    public let id: Int64
    public let rule: FireRule
    /// Fires once when a daemon has become ready (`@reboot`).
    public let firesAtStart: Bool
    /// How late a fire may begin, in microseconds; later it is a misfire.
    public let grace: Int64
    /// Fires before this instant were never meant to happen.
    public let scheduledSince: WallInstant

    public init(
        id: Int64, rule: FireRule, firesAtStart: Bool = false, grace: Int64,
        scheduledSince: WallInstant
    ) {
        self.id = id
        self.rule = rule
        self.firesAtStart = firesAtStart
        self.grace = grace
        self.scheduledSince = scheduledSince
    }
}

internal import Timing

/// Whether the daemon does what it is there for: what the service manager's watchdog is told.
///
/// That the loop runs is proved by being asked at all.
struct Health {
    /// The listener of a lone worker proves every 30 s that it hears, which takes 5 s at most.
    static let hearingLimit: Duration = .seconds(45)
    /// No step of connecting takes longer: reading a page of configs has 60 s.
    static let stepLimit: Duration = .seconds(75)

    private var heardAt: MonotonicInstant
    private var steppedAt: MonotonicInstant

    init(now: MonotonicInstant) {
        heardAt = now
        steppedAt = now
    }

    /// The LISTEN session heard its own notification.
    mutating func heard(at now: MonotonicInstant) {
        heardAt = now
    }

    /// A step of connecting was made, also one that failed.
    mutating func stepped(at now: MonotonicInstant) {
        steppedAt = now
    }

    func isWell(at now: MonotonicInstant, isConnected: Bool) -> Bool {
        isConnected
            ? now.duration(since: max(heardAt, steppedAt)) < Self.hearingLimit
            : now.duration(since: steppedAt) < Self.stepLimit
    }
}

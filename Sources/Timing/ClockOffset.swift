/// How far the database's clock is ahead of ours: the interval in which the truth must lie.
///
/// Every answer that carries the server's time bounds it: the server read its clock between our
/// sending and our receiving. Taken as 0 while 0 is possible, so that two clocks that agree are not
/// pulled apart by the network's noise.
public struct ClockOffset: Sendable, Equatable {
    private var bounds: ClosedRange<Int64>?

    /// What took longer, in microseconds, corrects nothing: this host slept before the answer was
    /// read, maybe for hours, and the middle of that is far from the truth.
    private static let slowest: Int64 = 5_000_000

    public init() {}

    /// Microseconds to add to our clock to get the database's.
    public var microseconds: Int64 {
        guard let bounds, !bounds.contains(0) else { return 0 }
        return bounds.lowerBound + (bounds.upperBound - bounds.lowerBound) / 2
    }

    /// Takes in that the server's clock stood at `server` at some time from `sent` to `received`.
    public mutating func observe(sent: WallInstant, received: WallInstant, server: WallInstant) {
        let low = server.microseconds(since: received)
        let high = max(low, server.microseconds(since: sent))
        let seen = low...high
        guard let known = bounds else {
            bounds = seen
            return
        }
        if known.overlaps(seen) {
            bounds = known.clamped(to: seen)
        } else if high - low <= Self.slowest {
            // Clocks drift and are set: what contradicts is newer.
            bounds = seen
        }
    }

    /// Our own clock was set forward by `step` microseconds: the database's was not.
    ///
    /// Without any observation it stays unknown, and is taken as 0.
    public mutating func clockStepped(by step: Int64) {
        guard let known = bounds else { return }
        let (low, lowOverflows) = known.lowerBound.subtractingReportingOverflow(step)
        let (high, highOverflows) = known.upperBound.subtractingReportingOverflow(step)
        bounds = lowOverflows || highOverflows ? nil : low...high
    }
}

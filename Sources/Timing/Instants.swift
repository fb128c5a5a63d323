/// A point on the wall clock: microseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// Microseconds are what PostgreSQL stores in a `timestamptz`. Arithmetic saturates at the ends of
/// the range (about ±292,000 years) and never traps.
public struct WallInstant: Hashable, Comparable, Sendable {
    public var microseconds: Int64

    public init(microseconds: Int64) {
        self.microseconds = microseconds
    }

    /// Whole seconds since 1970-01-01T00:00:00Z.
    public init(seconds: Int64) {
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        microseconds = overflow ? (seconds < 0 ? .min : .max) : product
    }

    public static let distantPast = WallInstant(microseconds: .min)
    public static let distantFuture = WallInstant(microseconds: .max)

    public static func < (left: WallInstant, right: WallInstant) -> Bool {
        left.microseconds < right.microseconds
    }

    /// This instant moved by `delta` microseconds, saturating.
    public func advanced(byMicroseconds delta: Int64) -> WallInstant {
        let (sum, overflow) = microseconds.addingReportingOverflow(delta)
        return WallInstant(microseconds: overflow ? (delta < 0 ? .min : .max) : sum)
    }

    /// Microseconds from `earlier` to this instant, saturating; negative when it lies later.
    public func microseconds(since earlier: WallInstant) -> Int64 {
        let (difference, overflow) = microseconds.subtractingReportingOverflow(
            earlier.microseconds)
        return overflow ? (microseconds < earlier.microseconds ? .min : .max) : difference
    }
}

/// A point on CLOCK_MONOTONIC, in nanoseconds: for deadlines and delays, never for fire times.
public struct MonotonicInstant: Hashable, Comparable, Sendable {
    public var nanoseconds: UInt64

    public init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    public static func < (left: MonotonicInstant, right: MonotonicInstant) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// This instant moved by `delay`, saturating at both ends.
    public func advanced(by delay: Duration) -> MonotonicInstant {
        let delta = delay.wholeNanoseconds
        guard delta < 0 else {
            let (sum, overflow) = nanoseconds.addingReportingOverflow(UInt64(delta))
            return MonotonicInstant(nanoseconds: overflow ? .max : sum)
        }
        let magnitude = delta.magnitude
        return MonotonicInstant(nanoseconds: nanoseconds > magnitude ? nanoseconds - magnitude : 0)
    }

    /// The time from `earlier` to this instant; zero when `earlier` lies later.
    public func duration(since earlier: MonotonicInstant) -> Duration {
        guard earlier < self else { return .zero }
        return .nanoseconds(Int64(clamping: nanoseconds - earlier.nanoseconds))
    }
}

extension Duration {
    /// Nanoseconds, cut off below one and saturating at the ends of `Int64` (about 292 years).
    public var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, overflows) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        return overflows ? (seconds < 0 ? .min : .max) : sum
    }

    /// Microseconds, cut off below one and saturating.
    public var wholeMicroseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, overflows) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000_000)
        return overflows ? (seconds < 0 ? .min : .max) : sum
    }
}

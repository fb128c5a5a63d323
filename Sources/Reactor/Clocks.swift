internal import Glibc
public import Timing

extension WallInstant {
    /// CLOCK_REALTIME, clock_gettime(2).
    public static func now() -> WallInstant {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return WallInstant(
            microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000)
    }
}

extension MonotonicInstant {
    /// CLOCK_MONOTONIC, clock_gettime(2).
    public static func now() -> MonotonicInstant { read(CLOCK_MONOTONIC) }

    /// CLOCK_BOOTTIME, clock_gettime(2): goes on while the host is suspended. Slewed like the wall
    /// clock and never set, so that the two drift apart only where that one was stepped.
    public static func sinceBoot() -> MonotonicInstant { read(CLOCK_BOOTTIME) }

    private static func read(_ clock: clockid_t) -> MonotonicInstant {
        var time = timespec()
        unsafe clock_gettime(clock, &time)
        return MonotonicInstant(
            nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }
}

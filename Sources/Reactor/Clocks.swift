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
    public static func now() -> MonotonicInstant {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return MonotonicInstant(
            nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }
}

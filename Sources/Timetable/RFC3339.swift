internal import Glibc
public import Scheduling
public import Timing

/// RFC 3339.
extension WallInstant {
    /// In UTC with milliseconds.
    var rfc3339: String {
        let seconds = wholeSeconds
        let milliseconds = (microseconds - seconds * 1_000_000) / 1_000
        return Self.civil(seconds) + ".\(Self.digits(milliseconds, 3))Z"
    }

    /// On the clock of a zone with its offset, in UTC without one; a fraction only where there is
    /// one.
    ///
    /// In UTC, too, where RFC 3339 has no form: offsets with seconds (before about 1920), the years
    /// 0 and 10000.
    public func rfc3339(in zone: ZoneRules?) -> String {
        let seconds = wholeSeconds
        let fraction = microseconds - seconds * 1_000_000
        var offset = Int64(zone?.offset(at: self) ?? 0)
        let isInYears = (-62_135_596_800..<253_402_300_800).contains(seconds + offset)
        let isShown = zone != nil && offset % 60 == 0 && isInYears
        if !isShown { offset = 0 }
        let time =
            Self.civil(seconds + offset)
            + (fraction == 0 ? "" : ".\(Self.digits(fraction, 6))")
        guard isShown else { return time + "Z" }
        let minutes = offset.magnitude / 60
        return time + (offset < 0 ? "-" : "+") + Self.digits(Int64(minutes / 60), 2) + ":"
            + Self.digits(Int64(minutes % 60), 2)
    }

    /// For people: `2026-03-29 03:00:00+02:00`, cut off below the second.
    public func shown(in zone: ZoneRules?) -> String {
        WallInstant(seconds: wholeSeconds).rfc3339(in: zone)
            .replacing("T", with: " ", maxReplacements: 1)
    }

    /// Rounded towards the past.
    private var wholeSeconds: Int64 {
        let quotient = microseconds / 1_000_000
        return microseconds % 1_000_000 < 0 ? quotient - 1 : quotient
    }

    private static func civil(_ seconds: Int64) -> String {
        var seconds = time_t(seconds)
        var parts = unsafe tm()
        unsafe gmtime_r(&seconds, &parts)
        func two(_ value: Int32) -> String { digits(Int64(value), 2) }
        let date =
            unsafe "\(digits(Int64(parts.tm_year) + 1900, 4))-\(two(parts.tm_mon + 1))"
            + "-\(two(parts.tm_mday))"
        return unsafe date + "T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
    }

    private static func digits(_ value: Int64, _ width: Int) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }
}

/// Lengths of time in few characters.
public enum Span {
    /// `2d 3h`, `5min 12s`, `1.2s`, `340us`: the two greatest units; below a second one.
    public static func words(microseconds: Int64) -> String {
        let sign = microseconds < 0 ? "-" : ""
        let length = microseconds.magnitude
        if length < 1000 { return "\(sign)\(length)us" }
        if length < 1_000_000 { return "\(sign)\(length / 1000)ms" }
        if length < 10_000_000 {
            return "\(sign)\(length / 1_000_000).\(length / 100_000 % 10)s"
        }
        let units: [(UInt64, String)] = [
            (31_557_600, "y"), (86_400, "d"), (3600, "h"), (60, "min"), (1, "s"),
        ]
        let seconds = length / 1_000_000
        guard let first = units.firstIndex(where: { seconds >= $0.0 }) else { return "0s" }
        var parts = ["\(seconds / units[first].0)\(units[first].1)"]
        if first + 1 < units.count {
            let rest = seconds % units[first].0 / units[first + 1].0
            if rest > 0 { parts.append("\(rest)\(units[first + 1].1)") }
        }
        return sign + parts.joined(separator: " ")
    }
}

import Glibc
import Reactor
import Scheduling
import Timing

/// The next fire of an expression, in this process.
@LoopActor
enum NextFireLine {
    private static let batches = 201
    private static let callsInBatch = 1_000

    static func measure() throws -> [TableRow] {
        let zone = try berlin()
        let floor = try nanoseconds { localTime(of: $0) }
        let cases = [
            ("30 2 * * *", 200.0, "≤ 200 ns"), ("0 0 29 2 +1", 10_000, "≤ 10 000 ns"),
        ]
        return try cases.map { text, goal, goalText in
            let rule = FireRule(
                schedule: try Schedule(parsing: text, hashSeed: 1), zone: zone, config: 1)
            let value = try nanoseconds { rule.next(after: $0)?.microseconds }
            return TableRow(
                meetsGoal: value <= goal, name: "next fire of '\(text)', Europe/Berlin",
                measured: "\(decimal(value, digits: 0)) ns", goal: goalText,
                floor: "one localtime_r(3): \(decimal(floor, digits: 0)) ns")
        }
    }

    /// The median over batches of one call's time; the instants lie over 40 years, so that neither
    /// caches nor branches learn them.
    private static func nanoseconds(_ body: (WallInstant) -> Int64?) throws -> Double {
        var state: UInt64 = 42
        let instants = (0..<callsInBatch).map { _ in
            // Steele and Vigna's multiplier: any spread will do, the same in every run.
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return WallInstant(seconds: 1_700_000_000 + Int64(state >> 34) % (40 * 31_557_600))
        }
        var (times, sum): ([Double], Int64) = ([], 0)
        for _ in 0..<batches {
            let began = MonotonicInstant.now()
            for instant in instants { sum &+= body(instant) ?? 1 }
            let taken = MonotonicInstant.now().nanoseconds - began.nanoseconds
            times.append(Double(taken) / Double(callsInBatch))
        }
        // Used, so that the compiler can't leave the calls out.
        try require(sum != 0, "no expression ever fires")
        return times.sorted()[batches / 2]
    }

    private static func localTime(of instant: WallInstant) -> Int64? {
        var seconds = time_t(instant.microseconds / 1_000_000)
        var parts = unsafe tm()
        guard unsafe localtime_r(&seconds, &parts) != nil else { return nil }
        return unsafe Int64(parts.tm_min) + 1
    }

    /// The rules of this host; the C library gets the same zone.
    private static func berlin() throws -> ZoneRules {
        let path = "/usr/share/zoneinfo/Europe/Berlin"
        unsafe setenv("TZ", ":Europe/Berlin", 1)
        tzset()
        let bytes = try ProcessUsage.contents(of: path)
        return try ZoneRules(name: "Europe/Berlin", tzif: bytes)
    }
}

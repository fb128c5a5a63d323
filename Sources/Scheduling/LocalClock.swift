/// A local clock as a config sees it: what happens to its times where the clock changes.
///
/// Segments of constant offset are walked in the order of real time; within one, local and real
/// time run alike. That is why the result is always later than what was asked, whatever the zone
/// file says.
struct LocalClock {
    private let zone: ZoneRules
    private let runsAfterGap: Bool
    private let repeats: Bool

    /// Debian cron's bound: a wider gap is no daylight time but a correction of the clock.
    static let widestGap: Int64 = 3 * 3600

    init(zone: ZoneRules, options: FireRule.Options?) {
        self.zone = zone
        runsAfterGap = options?.onGap != .skip
        repeats = options?.onRepeat == .both
    }

    init(zone: ZoneRules, runsAfterGap: Bool) {
        self.zone = zone
        self.runsAfterGap = runsAfterGap
        repeats = false
    }

    /// Returns the first second strictly after `second` at which `cron` fires.
    func next(_ cron: CronExpression, after second: Int64) -> Int64? {
        let realTime = cron.followsRealTime
        return Walk(
            cron: cron, zone: zone, repeats: repeats || realTime,
            runsAfterGap: runsAfterGap && !realTime
        )
        .first(after: second)
    }

    /// The first instant at which the clock shows `local`, seconds since 1970; the end of the gap
    /// that it lies in; nil in a gap of more than 3 h, or of any when those are skipped.
    func instant(ofLocal local: Int64) -> Int64? {
        var segment = zone.segment(at: local - 26 * 3600)
        while true {
            if local < segment.localEnd {
                if local >= segment.localStart { return local - segment.offset }
                return segment.jump <= Self.widestGap && runsAfterGap ? segment.start : nil
            }
            guard segment.end < ZoneTransition.ending else { return nil }
            segment = zone.segment(at: segment.end)
        }
    }
}

/// One search for the next fire, from segment to segment.
private struct Walk {
    let cron: CronExpression
    let zone: ZoneRules
    /// A local time that was shown before fires again.
    let repeats: Bool
    let runsAfterGap: Bool

    /// Offsets lie between −25 h and 26 h, so two days cover any two of them.
    private static let day: Int64 = 86_400

    func first(after second: Int64) -> Int64? {
        var segment = zone.segment(at: second)
        // No local time in [clear, match) matches; `match` does.
        var clear = start(in: segment, from: second + 1 + segment.offset)
        guard var match = cron.nextLocal(from: clear) else { return nil }
        while match >= segment.localEnd {
            guard segment.end < ZoneTransition.ending else { return nil }
            // Far from here nothing needs a look until shortly before the match. Not so where the
            // clock is soon turned back: what it has just shown may fire again.
            let ahead = zone.segment(at: match - 2 * Self.day)
            let end = max(second, segment.start) + 4 * Self.day
            if segment.end > end, ahead.start > segment.start {
                segment = ahead
                continue
            }
            segment = zone.segment(at: segment.end)
            if runsAfterGap, firesAfterGap(before: segment, clear: clear, match: match) {
                return segment.start
            }
            let from = start(in: segment, from: segment.localStart)
            if from < clear || from > match {
                guard let found = cron.nextLocal(from: from) else { return nil }
                match = found
            }
            clear = from
        }
        return match - segment.offset
    }

    /// Where in a segment matches count: not where they were seen before.
    private func start(in segment: ZoneSegment, from local: Int64) -> Int64 {
        repeats ? local : max(local, segment.localReached)
    }

    /// Does a match lie in the gap that `segment` begins with?
    private func firesAfterGap(before segment: ZoneSegment, clear: Int64, match: Int64) -> Bool {
        guard segment.jump > 0, segment.jump <= LocalClock.widestGap else { return false }
        let gap = segment.localReached
        let first = clear <= gap && gap <= match ? match : cron.nextLocal(from: gap)
        return first.map { $0 < segment.localStart } ?? false
    }
}

import Foundation
import Scheduling
import Testing
import Timing

/// Any bytes, random expressions, random and broken zones: no trap, bounded work, always later.
///
/// Short in the normal run; `CARILLON_FUZZ_SECONDS` makes each test run that long, and
/// `CARILLON_FUZZ_SEED` another sequence.
@Suite struct FuzzTests {
    private static func environment(_ name: String) -> Double? {
        ProcessInfo.processInfo.environment[name].flatMap(Double.init)
    }

    /// Runs `body` with seeds that follow one another, `rounds` times or as long as is asked for.
    private func fuzz(rounds: Int, _ body: (UInt64, inout SeededGenerator) throws -> Void) rethrows
    {
        let first = UInt64(Self.environment("CARILLON_FUZZ_SEED") ?? 1)
        let seconds = Self.environment("CARILLON_FUZZ_SECONDS")
        let clock = ContinuousClock()
        let end = clock.now + .seconds(seconds ?? 0)
        var round = 0
        while seconds == nil ? round < rounds : clock.now < end {
            let seed = first &+ UInt64(round)
            var random = SeededGenerator(state: seed &* 0x1_0000_0001)
            try body(seed, &random)
            round += 1
        }
        print("fuzz: \(round) rounds from seed \(first)")
    }

    private func instant(_ random: inout SeededGenerator) -> WallInstant {
        let year: Int64 = 31_556_952_000_000
        return switch Int.random(in: 0..<6, using: &random) {
        case 0: WallInstant(microseconds: .random(in: .min ... .max, using: &random))
        case 1: [.distantPast, .distantFuture].randomElement(using: &random) ?? .distantPast
        case 2: WallInstant(microseconds: .random(in: -1969 * year...8029 * year, using: &random))
        default: WallInstant(microseconds: .random(in: -70 * year...530 * year, using: &random))
        }
    }

    private func zone(_ random: inout SeededGenerator) throws -> ZoneRules {
        let name = ZoneRulesTests.names.randomElement(using: &random) ?? "UTC"
        guard Bool.random(using: &random) else { return try TestZones.named(name) }
        var bytes = try TestZones.bytes(name)
        for _ in 0..<Int.random(in: 1...8, using: &random) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            bytes[place] = .random(in: 0...255, using: &random)
        }
        return (try? ZoneRules(name: name, tzif: bytes)) ?? .utc
    }

    @Test func anyTextIsReadOrRefused() throws {
        try fuzz(rounds: 3000) { seed, random in
            var corpus = FuzzCorpus(seed: seed)
            let text = corpus.text()
            let schedule: Schedule
            do {
                schedule = try Schedule(parsing: text, hashSeed: Int64(bitPattern: random.next()))
            } catch {
                let other = Int64(bitPattern: random.next())
                #expect(
                    throws: ScheduleSyntaxError.self, "the verdict depends on the config: \(text)"
                ) {
                    try Schedule(parsing: text, hashSeed: other)
                }
                return
            }
            let jitters: [Int64] = [0, 0, 1, 60_000_000, .max]
            let jitter = jitters.randomElement(using: &random) ?? 0
            let rule = FireRule(
                schedule: schedule, zone: try zone(&random), config: Int64(seed),
                onGap: Bool.random(using: &random) ? .run : .skip,
                onRepeat: Bool.random(using: &random) ? .first : .both,
                startsAt: Int.random(in: 0..<4, using: &random) == 0 ? instant(&random) : nil,
                endsAt: Int.random(in: 0..<4, using: &random) == 0 ? instant(&random) : nil,
                jitterMicroseconds: jitter)
            var last = instant(&random)
            for _ in 0..<5 {
                guard let next = rule.next(after: last) else { break }
                #expect(next > last, "\(text) seed \(seed)")
                #expect(
                    rule.next(after: next.advanced(byMicroseconds: -1)) == next,
                    "\(text) seed \(seed)")
                #expect(rule.latest(after: last, through: next) == next, "\(text) seed \(seed)")
                last = next
            }
        }
    }

    @Test func cronAlwaysFires() {
        fuzz(rounds: 3000) { seed, _ in
            var corpus = FuzzCorpus(seed: seed)
            let text = corpus.text()
            guard let schedule = try? Schedule(parsing: text, hashSeed: Int64(seed)),
                case .cron = schedule
            else { return }
            let rule = FireRule(schedule: schedule, zone: .utc, config: 1)
            #expect(rule.next(after: WallInstant(seconds: 0)) != nil, "\(text)")
        }
    }

    @Test func anyBytesAsZone() {
        fuzz(rounds: 2000) { seed, random in
            var corpus = FuzzCorpus(seed: seed)
            var bytes = Array("TZif2".utf8) + corpus.bytes()
            if Bool.random(using: &random) {
                bytes = (0..<Int.random(in: 0...200, using: &random)).map { _ in
                    // Small numbers make headers whose counts fit.
                    Bool.random(using: &random) ? 0 : .random(in: 0...255, using: &random)
                }
            }
            _ = try? ZoneRules(name: "fuzz", tzif: bytes)
        }
    }

    @Test func agreesWithAScanOfEveryMinute() throws {
        try fuzz(rounds: 120) { seed, random in
            let expression = BruteForce(using: &random)
            // Expressions that can't fire are another test's.
            guard let schedule = try? Schedule(parsing: expression.text, hashSeed: 1) else {
                return
            }
            let name = ZoneRulesTests.names.randomElement(using: &random) ?? "UTC"
            let zone = try TestZones.named(name)
            let onGap: FireRule.OnGap = Bool.random(using: &random) ? .run : .skip
            let onRepeat: FireRule.OnRepeat = Bool.random(using: &random) ? .first : .both
            let rule = FireRule(
                schedule: schedule, zone: zone, config: 1, onGap: onGap, onRepeat: onRepeat)
            let start = changeOfClock(zone, &random)
            let end = start + 10 * 86_400
            var found: [Int] = []
            var last = WallInstant(seconds: Int64(start))
            while let next = rule.next(after: last), next <= WallInstant(seconds: Int64(end)) {
                found.append(Int(next.microseconds / 1_000_000))
                last = next
            }
            let expected = expression.fires(
                after: start, through: end, zone: zone, onGap: onGap, onRepeat: onRepeat)
            if found != expected {
                let first = zip(found + [0], expected + [0]).first { $0 != $1 }
                Issue.record(
                    """
                    \(expression.text) \(name) \(onGap) \(onRepeat) seed \(seed) after \(start): \
                    \(first.map { "\($0)" } ?? "")
                    """
                )
            }
        }
    }

    /// A day or two before a change of offset, where there is one in the year that is drawn.
    private func changeOfClock(_ zone: ZoneRules, _ random: inout SeededGenerator) -> Int {
        // Offsets had no seconds after 1972, as a scan by minutes needs.
        let year = Int.random(in: 1973...2060, using: &random)
        let first = PlainCalendar.days(year, 1, 1)
        let days = (first..<first + 365).filter { day in
            zone.offset(at: WallInstant(seconds: Int64(day * 86_400)))
                != zone.offset(at: WallInstant(seconds: Int64((day + 1) * 86_400)))
        }
        let day = days.randomElement(using: &random) ?? first
        return day * 86_400 - Int.random(in: 0...86_400 * 3, using: &random)
    }
}

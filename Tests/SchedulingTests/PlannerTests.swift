import Scheduling
import Testing
import Timing

/// The planner as a value: events in, effects out.
@Suite struct PlannerTests {
    private static let start = WallInstant(seconds: 1_800_000_000)

    private func at(_ seconds: Double) -> WallInstant {
        Self.start.advanced(byMicroseconds: Int64(seconds * 1_000_000))
    }

    private func config(
        _ id: Int64, _ schedule: String, misfire: MisfirePolicy = .skip, grace: Double = 60,
        window: Double = 86_400, since: Double = 0, lastRun: PlannedConfig.LastRun = .none
    ) throws -> PlannedConfig {
        let parsed = try Schedule(parsing: schedule, hashSeed: id)
        return PlannedConfig(
            id: id, rule: FireRule(schedule: parsed, zone: .utc, config: id),
            firesAtStart: parsed == .reboot, grace: Int64(grace * 1_000_000),
            scheduledSince: at(since), misfire: misfire,
            misfireWindow: Int64(window * 1_000_000), lastRun: lastRun)
    }

    /// A planner that has read `configs` and is claiming at `now`, with the effects of that.
    private func running(
        _ configs: [PlannedConfig], now: Double, gapStart: Double = 0
    ) -> (Planner, [Planner.Effect]) {
        var planner = Planner()
        _ = planner.handle(.connected(gapStart: at(gapStart)), now: at(now))
        var effects = planner.handle(.known(configs), now: at(now))
        effects += planner.handle(.complete, now: at(now))
        return (planner, effects)
    }

    private func fire(_ config: Int64, _ seconds: Double, since: Double = 0) -> Fire {
        Fire(config: config, instant: at(seconds), since: at(since))
    }

    @Test func aFireIsClaimedAtItsInstantAndTheNextIsArmed() throws {
        var (planner, effects) = running([try config(1, "@every 10s")], now: 1)
        #expect(effects == [.arm(at(10))])
        #expect(planner.handle(.tick, now: at(9.9)) == [.arm(at(10))])
        #expect(
            planner.handle(.tick, now: at(10)) == [.claim([fire(1, 10)]), .arm(at(20))])
    }

    @Test func nothingIsClaimedBeforeAllIsReadOrAfterTheConnectionIsLost() throws {
        var planner = Planner()
        _ = planner.handle(.connected(gapStart: at(0)), now: at(0))
        #expect(planner.handle(.known([try config(1, "@every 10s")]), now: at(1)).isEmpty)
        #expect(planner.handle(.tick, now: at(10)) == [.arm(nil)])
        #expect(planner.handle(.complete, now: at(11)).contains(.claim([fire(1, 10)])))
        #expect(planner.handle(.disconnected, now: at(12)) == [.arm(nil)])
        #expect(planner.handle(.tick, now: at(20)) == [.arm(nil)])
    }

    @Test func whatAFullReadDoesNotNameIsGone() throws {
        let both = [try config(1, "@every 10s"), try config(2, "@every 6s")]
        var (planner, _) = running(both, now: 1)
        #expect(planner.nextFire == at(6))
        _ = planner.handle(.rereading, now: at(2))
        _ = planner.handle(.known([both[0]]), now: at(2))
        #expect(planner.handle(.complete, now: at(2)) == [.arm(at(10))])
        #expect(planner.configCount == 1)
    }

    @Test func aRereadDoesNotClaimAgainWhatWasTaken() throws {
        let every = try config(1, "@every 10s")
        var (planner, _) = running([every], now: 1)
        _ = planner.handle(.tick, now: at(10))
        #expect(planner.handle(.known([every]), now: at(11)).isEmpty)
        #expect(planner.nextFire == at(20))
    }

    @Test func aClaimThatCameTooEarlyIsMadeAgain() throws {
        var (planner, _) = running([try config(1, "@every 10s")], now: 1)
        _ = planner.handle(.tick, now: at(10))
        #expect(planner.handle(.early([fire(1, 10)]), now: at(9.999)) == [.arm(at(10))])
        #expect(planner.handle(.tick, now: at(10)) == [.claim([fire(1, 10)]), .arm(at(20))])
    }

    @Test func rebootFiresOncePerProcess() throws {
        var (late, _) = running([], now: 0)
        #expect(late.handle(.known([try config(1, "@reboot")]), now: at(1)).isEmpty)
        var (planner, effects) = running([try config(1, "@reboot")], now: 5)
        #expect(effects == [.claim([fire(1, 5)])])
        _ = planner.handle(.disconnected, now: at(6))
        _ = planner.handle(.connected(gapStart: at(6)), now: at(7))
        _ = planner.handle(.known([try config(1, "@reboot")]), now: at(7))
        #expect(!planner.handle(.complete, now: at(7)).contains { $0.isClaim })
    }

    // MARK: Late and missed

    struct Gap: CustomTestStringConvertible, Sendable {
        let what: String
        var misfire = MisfirePolicy.skip
        var grace = 60.0
        var window = 86_400.0
        /// The last claim that the database knows, and now; the schedule is each 100 s.
        var last: Double?
        let now: Double
        /// Fires claimed at once, and (first, last, count) of what is recorded as missed.
        var claims: [Double] = []
        var missed: (Double, Double, Int)?

        var testDescription: String { what }
    }

    @Test(arguments: [
        Gap(what: "nothing was missed", last: 100, now: 150),
        Gap(what: "one fire late within the grace runs", last: 100, now: 230, claims: [200]),
        Gap(
            what: "one fire later than the grace is missed", last: 100, now: 290,
            missed: (200, 200, 1)),
        Gap(
            what: "of several the latest runs when it is within the grace", last: 100, now: 430,
            claims: [400], missed: (200, 300, 2)),
        Gap(
            what: "all are missed when the latest is later", last: 100, now: 490,
            missed: (200, 400, 3)),
        Gap(
            what: "without a claim it counts from scheduled_since", now: 290,
            missed: (100, 200, 2)),
        Gap(
            what: "ONCE runs the latest, however late", misfire: .once, last: 100, now: 490,
            claims: [400], missed: (200, 300, 2)),
        Gap(
            what: "ONCE runs nothing outside of its window", misfire: .once, window: 50, last: 100,
            now: 490, missed: (200, 400, 3)),
        Gap(
            what: "ALL begins with the first", misfire: .all, last: 100, now: 490, claims: [200]),
        Gap(
            what: "ALL begins where its window does", misfire: .all, window: 195, last: 100,
            now: 490, claims: [300], missed: (200, 200, 1)),
    ])
    func whatAGapLeaves(gap: Gap) throws {
        let each = try config(
            1, "@every 100s", misfire: gap.misfire, grace: gap.grace, window: gap.window)
        var (planner, effects) = running([each], now: gap.now)
        if effects.contains(.lookUp([1])) {
            effects = planner.handle(
                .lastClaims([(config: Int64(1), last: gap.last.map { at($0) })]), now: at(gap.now))
        }
        let claims = effects.flatMap { effect -> [Fire] in
            if case .claim(let fires) = effect { fires } else { [] }
        }
        let missed = effects.compactMap { effect -> MissedFires? in
            if case .missed(let missed) = effect { missed } else { nil }
        }
        // What the database knows as claimed already may be tried: the claim then says TAKEN.
        #expect(
            claims.filter { $0.instant != gap.last.map { at($0) } }.map(\.instant)
                == gap.claims.map { at($0) })
        #expect(missed.count == (gap.missed == nil ? 0 : 1))
        if let expected = gap.missed, let found = missed.first {
            #expect(found.first == at(expected.0))
            #expect(found.last == at(expected.1))
            #expect(found.count == expected.2)
        }
    }

    @Test func allMakesUpOneAfterTheOther() throws {
        var (planner, _) = running([try config(1, "@every 100s", misfire: .all)], now: 390)
        var claimed: [WallInstant] = []
        var effects = planner.handle(.lastClaims([(config: Int64(1), last: nil)]), now: at(390))
        for second in [391.0, 392, 393] {
            for case .claim(let fires) in effects { claimed += fires.map(\.instant) }
            #expect(planner.handle(.tick, now: at(second)).allSatisfy { !$0.isClaim })
            let again = try config(1, "@every 100s", misfire: .all)
            #expect(planner.handle(.known([again]), now: at(second)).isEmpty)
            #expect(second == 393 || planner.nextFire == nil)
            effects = planner.handle(.ended(config: 1), now: at(second))
        }
        #expect(claimed == [at(100), at(200), at(300)])
        #expect(planner.nextFire == at(400))
    }

    @Test func aWeekOfMinutesIsCountedExactly() throws {
        let week = 7.0 * 86_400
        var (planner, _) = running([try config(1, "* * * * *")], now: week + 30)
        let effects = planner.handle(
            .lastClaims([(config: Int64(1), last: at(0))]), now: at(week + 30))
        let missed = effects.compactMap { effect -> Int? in
            if case .missed(let missed) = effect { missed.count } else { nil }
        }
        // The last one is within the grace and runs.
        #expect(missed == [10_079])
    }

    @Test func aSuspendedHostDoesNotFireInABurst() throws {
        var (planner, _) = running([try config(1, "@every 1s", grace: 5)], now: 0.5)
        #expect(planner.handle(.tick, now: at(10_800)) == [.lookUp([1]), .arm(nil)])
        let effects = planner.handle(.lastClaims([(config: Int64(1), last: nil)]), now: at(10_800))
        #expect(
            effects == [
                .missed(MissedFires(config: 1, first: at(1), last: at(10_799), count: 10_799)),
                .claim([fire(1, 10_800)]), .arm(at(10_801)),
            ])
    }

    /// While this host slept, another worker claimed some, and then ended, too.
    @Test func whatOthersClaimedDuringASuspendIsNotMissed() throws {
        var (planner, _) = running([try config(1, "@every 100s")], now: 50)
        #expect(planner.handle(.tick, now: at(590)) == [.lookUp([1]), .arm(nil)])
        // Known again meanwhile: nothing is decided before the answer.
        #expect(planner.handle(.known([try config(1, "@every 100s")]), now: at(590)).isEmpty)
        #expect(
            planner.handle(.lastClaims([(config: Int64(1), last: at(300))]), now: at(590)) == [
                .missed(MissedFires(config: 1, first: at(400), last: at(500), count: 2)),
                .arm(at(600)),
            ])
    }

    @Test func aClockThatGoesBackIsFollowed() throws {
        var (planner, _) = running([try config(1, "@every 10s")], now: 1)
        _ = planner.handle(.tick, now: at(10))
        _ = planner.handle(.disconnected, now: at(1_000))
        _ = planner.handle(.connected(gapStart: at(1_000)), now: at(1_000))
        _ = planner.handle(.known([try config(1, "@every 10s", since: 995)]), now: at(1_000))
        _ = planner.handle(.complete, now: at(1_000))
        #expect(planner.handle(.tick, now: at(500)) == [.arm(at(510))])
    }

    /// What is looked up, or made up for, is not in the queue before that is over.
    @Test func aClockThatGoesBackPutsNothingInTheQueueTwice() throws {
        var (planner, _) = running(
            [try config(1, "@every 100s"), try config(2, "@every 100s", misfire: .all)], now: 590)
        _ = planner.handle(.lastClaims([(config: Int64(2), last: at(100))]), now: at(590))
        #expect(planner.handle(.tick, now: at(450)) == [.arm(nil)])
        #expect(planner.nextFire == nil)
    }

    /// New rules of a time zone, say, while scheduled_since stays.
    @Test func whatNeverFiresAgainLeavesTheQueue() throws {
        var (planner, _) = running([try config(1, "@every 10s")], now: 1)
        _ = planner.handle(.known([try config(1, "@at 2020-01-01 00:00")]), now: at(2))
        #expect(planner.nextFire == nil)
    }

    /// The clock here was ahead by more than a step: what came too early is still due.
    @Test func whatCameTooEarlyIsNotLostWhenTheClockIsPutRight() throws {
        var (planner, _) = running(
            [try config(1, "@every 10s"), try config(2, "@every 6s")], now: 1)
        _ = planner.handle(.tick, now: at(10))
        _ = planner.handle(.tick, now: at(12))
        #expect(planner.handle(.early([fire(1, 10)]), now: at(9)) == [.arm(at(10))])
        #expect(
            planner.handle(.tick, now: at(10.001)) == [.claim([fire(1, 10)]), .arm(at(18))])
    }

    @Test func whatCameTooEarlyIsNotLostWhenItsConfigIsReadAgain() throws {
        let every = try config(1, "@every 10s")
        var (planner, _) = running([every], now: 1)
        _ = planner.handle(.tick, now: at(10))
        _ = planner.handle(.early([fire(1, 10)]), now: at(9.99))
        _ = planner.handle(.known([every]), now: at(9.995))
        #expect(planner.nextFire == at(10))
    }

    /// What was claimed too early by a schedule that is another one by now is no fire.
    @Test func whatCameTooEarlyIsNotDueByAnotherSchedule() throws {
        var (planner, _) = running([try config(1, "@every 10s")], now: 1)
        _ = planner.handle(.tick, now: at(10))
        _ = planner.handle(.known([try config(1, "@every 1h", since: 9.98)]), now: at(9.99))
        #expect(planner.handle(.early([fire(1, 10)]), now: at(9.995)).isEmpty)
        #expect(planner.nextFire == at(3600))
    }

    /// It was live no more when it was claimed, and is so again when it is read.
    @Test func whatWasRefusedIsKnownAnew() throws {
        let all = try config(1, "@every 100s", misfire: .all)
        var (planner, _) = running([all], now: 390)
        _ = planner.handle(.lastClaims([(config: Int64(1), last: nil)]), now: at(390))
        // Refused by what it was before: nothing follows.
        #expect(planner.handle(.refused([fire(1, 100, since: -1)]), now: at(391)).isEmpty)
        #expect(planner.nextFire(of: 1) == nil)
        #expect(planner.handle(.refused([fire(1, 100)]), now: at(391)).isEmpty)
        #expect(planner.handle(.known([all]), now: at(391)) == [.lookUp([1])])
    }

    /// A fire between the change and the moment at which it is heard of.
    @Test func aChangedScheduleFiresFromItsChangeOn() throws {
        var (planner, _) = running(
            [try config(1, "@every 1h"), try config(2, "@every 10s")], now: 1)
        _ = planner.handle(.tick, now: at(10.5))
        let effects = planner.handle(
            .known([try config(1, "@every 10s", since: 9.9)]), now: at(10.6))
        #expect(effects == [.claim([fire(1, 10, since: 9.9)])])
    }

    @Test func aChangeEndsTheCatchingUp() throws {
        var (planner, _) = running([try config(1, "@every 100s", misfire: .all)], now: 390)
        _ = planner.handle(.lastClaims([(config: Int64(1), last: nil)]), now: at(390))
        _ = planner.handle(
            .known([try config(1, "@every 60s", misfire: .all, since: 395)]), now: at(395))
        #expect(planner.handle(.ended(config: 1), now: at(396)).allSatisfy { !$0.isClaim })
        #expect(planner.nextFire == at(420))
    }

    /// No claims when a run ends while we stop.
    @Test func catchingUpEndsWhenWeStop() throws {
        var (planner, _) = running([try config(1, "@every 100s", misfire: .all)], now: 390)
        _ = planner.handle(.lastClaims([(config: Int64(1), last: nil)]), now: at(390))
        _ = planner.handle(.stopped, now: at(391))
        #expect(planner.handle(.ended(config: 1), now: at(392)).isEmpty)
        // Nor when it is told what it had asked for.
        (planner, _) = running([try config(1, "@every 100s")], now: 390)
        _ = planner.handle(.stopped, now: at(391))
        #expect(
            planner.handle(.lastClaims([(config: Int64(1), last: nil)]), now: at(391)).isEmpty)
    }

    /// Of several that are late by no more than the grace only the latest runs.
    @Test func ofAFewLateOnesTheLatestRuns() throws {
        var (planner, _) = running([try config(1, "@every 10s")], now: 1)
        #expect(planner.handle(.tick, now: at(35)) == [.lookUp([1]), .arm(nil)])
        #expect(
            planner.handle(.lastClaims([(config: Int64(1), last: nil)]), now: at(35)) == [
                .missed(MissedFires(config: 1, first: at(10), last: at(20), count: 2)),
                .claim([fire(1, 30)]), .arm(at(40)),
            ])
    }

    /// The worker was killed while it made up for missed fires.
    @Test func catchingUpGoesOnAfterARestart() throws {
        let all = try config(1, "@every 100s", misfire: .all)
        var (planner, effects) = running([all], now: 930, gapStart: 920)
        #expect(effects.contains(.lookUp([1])))
        effects = planner.handle(.lastClaims([(config: Int64(1), last: at(200))]), now: at(930))
        #expect(effects.contains(.claim([fire(1, 300)])))
    }

    /// The way of a fire takes some time, whatever the grace.
    @Test func withoutGraceWhatIsInTimeStillRuns() throws {
        var (planner, _) = running([try config(1, "@every 10s", grace: 0)], now: 1)
        #expect(
            planner.handle(.tick, now: at(10.02)) == [.claim([fire(1, 10)]), .arm(at(20))])
    }

    @Test(arguments: [
        (MisfirePolicy.skip, 250.0, 200.0, true), (.skip, 290, 200, false),
        (.skip, 310, 200, false), (.once, 290, 200, true), (.once, 310, 200, false),
        (.once, 900, 800, false), (.all, 310, 200, true), (.all, 900, 200, false),
        (.all, 250, 100, true), (.all, 250, 0, false),
    ])
    func aLostClaimMayStillRun(
        misfire: MisfirePolicy, now: Double, claimed: Double, may: Bool
    ) throws {
        let window = now == 900 ? 50.0 : 86_400
        let each = try config(1, "@every 100s", misfire: misfire, window: window, since: 50)
        let (planner, _) = running([each], now: now)
        #expect(planner.mayStillRun(1, at(claimed), now: at(now)) == may)
        #expect(!planner.mayStillRun(2, at(claimed), now: at(now)))
    }

    // MARK: After

    @Test func afterCountsFromTheEndOfTheLastRun() throws {
        var (planner, effects) = running([try config(1, "@after 30s", since: 2)], now: 5)
        #expect(effects == [.claim([fire(1, 2, since: 2)])])
        #expect(
            planner.handle(.known([try config(1, "@after 30s", lastRun: .underWay)]), now: at(6))
                == [])
        let ended = try config(1, "@after 30s", lastRun: .ended(at(8)))
        #expect(planner.handle(.known([ended]), now: at(8)) == [.arm(at(38))])
        #expect(planner.handle(.tick, now: at(38)) == [.claim([fire(1, 38)]), .arm(nil)])
    }

    @Test func whatWasScheduledBeforeDoesNotFireOrEndAfter() throws {
        var (planner, _) = running([try config(1, "@every 100s", misfire: .all)], now: 390)
        // Its missed fires were looked up, and one of them is being made up for.
        let answer = Planner.Event.lastClaims([(config: Int64(1), last: nil)])
        let after = try config(1, "@after 30s", misfire: .all, since: 390, lastRun: .ended(at(380)))
        var late = planner
        _ = late.handle(.known([after]), now: at(391))
        _ = late.handle(answer, now: at(391))
        #expect(late.nextFire == at(410))
        _ = planner.handle(answer, now: at(390))
        _ = planner.handle(.known([after]), now: at(390.5))
        #expect(planner.nextFire == at(410))
        _ = planner.handle(.ended(config: 1), now: at(391))
        #expect(planner.nextFire == at(410))
    }

    @Test func whatBecomesRebootDoesNotFireAnyMore() throws {
        var (planner, _) = running([try config(1, "@every 100s")], now: 50)
        _ = planner.handle(.known([try config(1, "@reboot", since: 60)]), now: at(60))
        #expect(planner.nextFire == nil)
    }

    // MARK: Requests

    @Test func aRequestThatFindsNoRoomWaitsForTheEndOfARun() throws {
        var (planner, _) = running([], now: 0)
        #expect(
            planner.handle(.requested([(request: 7, from: nil)]), now: at(1))
                == [.claimRequests([7])])
        #expect(
            planner.handle(.answered([7], waiting: [(request: 7, config: 1)]), now: at(2)).isEmpty)
        #expect(planner.handle(.ended(config: 2), now: at(3)).isEmpty)
        #expect(planner.handle(.ended(config: 1), now: at(4)) == [.claimRequests([7])])
    }

    /// Each claim looks again once, however many others are under way.
    @Test(arguments: [Int64(1), nil])
    func requestsThatWaitDoNotKeepEachOtherAsking(config: Int64?) throws {
        var (planner, _) = running([], now: 0)
        _ = planner.handle(.requested([(request: 7, from: nil)]), now: at(1))
        _ = planner.handle(.requested([(request: 8, from: nil)]), now: at(1))
        _ = planner.handle(.ended(config: 1), now: at(2))
        func answer(_ request: Int64) -> [Planner.Effect] {
            planner.handle(
                .answered([request], waiting: [(request: request, config: config)]), now: at(3))
        }
        #expect(answer(7) == [.claimRequests([7])])
        #expect(answer(8) == [.claimRequests([8])])
        #expect(answer(7).isEmpty)
        #expect(answer(8).isEmpty)
        #expect(planner.handle(.ended(config: 1), now: at(4)) == [.claimRequests([7, 8])])
    }

    @Test func whatAFullReadDoesNotNameIsNotAskedFor() throws {
        var (planner, _) = running([], now: 0)
        _ = planner.handle(.requested([(request: 7, from: nil)]), now: at(1))
        _ = planner.handle(.answered([7], waiting: [(request: 7, config: 1)]), now: at(2))
        #expect(
            planner.handle(.requested([(request: Int64(8), from: at(9))]), now: at(2)) == [
                .arm(at(9))
            ])
        _ = planner.handle(.connected(gapStart: at(3)), now: at(3))
        _ = planner.handle(.complete, now: at(3))
        #expect(planner.handle(.ended(config: 1), now: at(10)).isEmpty)
    }

    /// The run ended after the claim had counted it and before its answer came.
    @Test func anEndDuringTheClaimIsNotLost() throws {
        var (planner, _) = running([], now: 0)
        _ = planner.handle(.requested([(request: 7, from: nil)]), now: at(1))
        #expect(planner.handle(.ended(config: 1), now: at(2)).isEmpty)
        let answer = Planner.Event.answered([7], waiting: [(request: 7, config: 1)])
        #expect(planner.handle(answer, now: at(2)) == [.claimRequests([7])])
        // And so it is with the end of the next run, during the second claim.
        #expect(planner.handle(.ended(config: 1), now: at(3)).isEmpty)
        #expect(planner.handle(answer, now: at(3)) == [.claimRequests([7])])
        #expect(planner.handle(answer, now: at(4)).isEmpty)
        #expect(planner.handle(.ended(config: 1), now: at(5)) == [.claimRequests([7])])
    }
}

extension Planner.Effect {
    fileprivate var isClaim: Bool {
        if case .claim = self { return true }
        return false
    }
}

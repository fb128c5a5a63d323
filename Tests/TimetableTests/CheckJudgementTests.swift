import Scheduling
import Testing
import Timing

@testable import Timetable

/// What `carillon check` concludes from what it knows: values in, findings out.
@Suite struct CheckJudgementTests {
    private static let now = WallInstant(seconds: 1_780_000_000)
    private static let day: Int64 = 86_400_000_000

    private static func config(
        _ schedule: String, starts: Int64? = nil, ends: Int64? = nil, jitter: Int64 = 0,
        _ change: (inout CheckedConfig) -> Void = { _ in }
    ) throws -> CheckedConfig {
        var config = CheckedConfig(id: 7, name: "job")
        let endsAt = ends.map { now.advanced(byMicroseconds: $0 * day) }
        config.rule = FireRule(
            schedule: try Schedule(parsing: schedule, hashSeed: 7), zone: .utc, config: 7,
            startsAt: starts.map { now.advanced(byMicroseconds: $0 * day) }, endsAt: endsAt,
            jitterMicroseconds: jitter)
        config.endsAt = endsAt
        config.jitter = jitter
        config.chain = 1
        change(&config)
        return config
    }

    private static func codes(
        _ config: CheckedConfig, isNamed: Bool = false
    ) -> [FindingCode] {
        config.judge(now: now, serving: ["w"], sharesHost: true, isNamed: isNamed).map(\.code)
    }

    @Test(
        arguments: [
            ("30 2 * * *", nil, nil, 0, []), ("@manual", nil, nil, 0, []),
            ("@reboot", nil, nil, 0, []),
            ("@after 5m", nil, nil, 0, []), ("@daily", 500, nil, 0, [.scheduleFar]),
            ("@daily", 300, nil, 0, []), ("@daily", nil, -1, 0, [.scheduleOver]),
            ("@at 2020-01-01 09:00", nil, nil, 0, [.scheduleOver]),
            ("0 0 29 2 *", 10, 20, 0, [.scheduleNever]),
            ("@every 10s", nil, nil, 3_600_000_000, [.jitterLong]),
            ("@hourly", nil, nil, 60_000_000, []),
        ] as [(String, Int64?, Int64?, Int64, [FindingCode])])
    func schedules(
        schedule: String, starts: Int64?, ends: Int64?, jitter: Int64, expected: [FindingCode]
    ) throws {
        let config = try Self.config(schedule, starts: starts, ends: ends, jitter: jitter)
        #expect(Self.codes(config) == expected)
        var off = config
        off.isLive = false
        #expect(Self.codes(off) == [])
        #expect(Self.codes(off, isNamed: true) == [.notLive])
    }

    @Test func rows() throws {
        func codes(_ change: (inout CheckedConfig) -> Void) throws -> [FindingCode] {
            Self.codes(try Self.config("@daily", change))
        }
        #expect(try codes { $0.chain = nil } == [.noChain])
        #expect(try codes { $0.worker = "w" } == [])
        #expect(try codes { $0.worker = "away" } == [.workerAbsent])
        #expect(try codes { $0.isExclusive = true } == [])
        #expect(
            try codes {
                $0.isExclusive = true
                $0.maxInstances = 2
            } == [.limitsMoot])
        #expect(
            try codes {
                $0.excludesItself = true
                $0.maxInstances = 1
            } == [])
        #expect(try codes { $0.missingExcluded = ["9"] } == [.excludedMissing])
        #expect(try codes { $0.idleOnFailure = "other" } == [.onFailureIdle])
        #expect(try codes { $0.failuresInARow = 2 } == [])
        #expect(try codes { $0.failuresInARow = 3 } == [.failing])
        #expect(try codes { $0.skippedOfLast20 = 3 } == [.firesSkipped])
        #expect(try codes { $0.pausedUntil = Self.now.advanced(byMicroseconds: 1) } == [.paused])
        #expect(try codes { $0.pausedUntil = Self.now } == [])
        #expect(try codes { $0.serverKnowsZone = false } == [.zoneUnknown])
        #expect(
            try codes {
                $0.rule = nil
                $0.problem = "its schedule can't be read: so"
            } == [.scheduleSyntax])
        var away = try Self.config("@daily")
        away.rule = nil
        away.problem = "this host has no time zone 'Mars/Base'"
        let elsewhere = away.judge(now: Self.now, serving: [], sharesHost: false, isNamed: false)
        #expect(elsewhere.map(\.severity) == [.warning])
        let here = away.judge(now: Self.now, serving: [], sharesHost: true, isNamed: false)
        #expect(here.map(\.severity) == [.error])
    }

    // MARK: The installation

    private static func installation(
        _ change: (inout CheckedInstallation) -> Void = { _ in }
    ) -> CheckedInstallation {
        var worker = CheckedWorker(name: "w", state: "serving")
        worker.seen = now.advanced(byMicroseconds: -20_000_000)
        worker.since = now.advanced(byMicroseconds: -day)
        worker.sessions = 5
        worker.answered = true
        var found = CheckedInstallation()
        found.now = now
        found.workers = [worker]
        found.retention = [("log", now.advanced(byMicroseconds: -3_600_000_000))]
        change(&found)
        return found
    }

    private static func codes(_ change: (inout CheckedInstallation) -> Void) -> [FindingCode] {
        installation(change).judge().map(\.code)
    }

    @Test func daemons() {
        #expect(Self.codes { _ in } == [])
        #expect(Self.codes { $0.workers = [] } == [.noDaemon])
        #expect(
            Self.codes { $0.workers.append(CheckedWorker(name: "x", state: "stopped")) } == [])
        #expect(
            Self.codes { $0.workers.append(CheckedWorker(name: "x", state: "dead")) }
                == [.daemonDead])
        #expect(
            Self.codes { $0.workers.append(CheckedWorker(name: "x", state: "lost")) }
                == [.daemonLost])
        #expect(Self.codes { $0.workers[0].answered = false } == [.daemonDeaf])
        #expect(Self.codes { $0.workers[0].answered = nil } == [])
        #expect(
            Self.codes { $0.workers[0].seen = Self.now.advanced(byMicroseconds: -41_000_000) }
                == [.heartbeatOld])
        #expect(Self.codes { $0.workers[0].isSuperuser = true } == [.daemonSuperuser])
        #expect(
            Self.codes {
                $0.workers[0].roleLimit = 10
                $0.workers[0].roleSessions = 8
            } == [.connectionsFew])
        #expect(
            Self.codes {
                var other = $0.workers[0]
                other.version = "0"
                $0.workers.append(other)
            } == [.versionsDiffer])
    }

    @Test func aroundThem() {
        #expect(Self.codes { $0.isStandby = true } == [.databaseReadOnly])
        #expect(Self.codes { $0.isReadOnly = true } == [.databaseReadOnly])
        #expect(Self.codes { $0.writesSafely = false } == [.settingUnsafe])
        #expect(Self.codes { $0.notifyQueuePercent = 11 } == [.notifyQueue])
        #expect(Self.codes { $0.connections = 82 } == [.connectionsFew])
        #expect(Self.codes { $0.connections = 80 } == [])
        #expect(Self.codes { $0.databaseLimit = 10 } == [.connectionsFew])
        #expect(Self.codes { $0.orphanedRuns = 1 } == [.runsOrphaned])
        #expect(Self.codes { $0.waitingRequests = 1 } == [.requestsWaiting])
        #expect(Self.codes { $0.retention = [("log", nil)] } == [.retentionLagging])
        #expect(
            Self.codes {
                $0.retention = [("log", nil)]
                $0.workers[0].since = Self.now
            } == [])
        #expect(
            Self.codes {
                $0.losses = 1
                $0.lastLoss = "5 lines of timetable.log are lost"
            } == [.logLost])
        #expect(Self.codes { $0.errorsOfADay = 1 } == [.logErrors])
    }

    @Test(
        arguments: [
            (0...0, nil), (-5_000...5_000, nil), (-5_000...2_000_000, nil),
            (20_000...21_000, .note), (-90_000...(-80_000), .note),
            (9_000_000...9_001_000, .warning),
        ] as [(ClosedRange<Int64>, Finding.Severity?)])
    func clocks(offset: ClosedRange<Int64>, expected: Finding.Severity?) {
        let found = Self.installation { $0.clockOffset = offset }.judge()
        #expect(found.map(\.code) == (expected == nil ? [] : [.clockSkew]))
        #expect(found.first?.severity == expected)
    }

    @Test func theClockIsToldExactly() {
        let found = Self.installation { $0.clockOffset = -1_051_000...(-1_050_000) }.judge()
        #expect(found.first?.message.contains("1.050 s ahead of the server's") == true, "\(found)")
    }
}

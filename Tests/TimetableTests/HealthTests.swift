import Testing
import Timing

@testable import Timetable

/// When the watchdog is told that all is well.
struct HealthTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let heardAt: Double
        let steppedAt: Double
        let isConnected: Bool
        /// Seconds until when it is well.
        let wellUntil: Double
    }

    static let cases = [
        Case(
            testDescription: "it hears its own notifications", heardAt: 100, steppedAt: 10,
            isConnected: true, wellUntil: 145),
        Case(
            testDescription: "just connected, and not yet heard", heardAt: 0, steppedAt: 50,
            isConnected: true, wellUntil: 95),
        Case(
            testDescription: "connecting, step by step", heardAt: 0, steppedAt: 200,
            isConnected: false, wellUntil: 275),
        Case(
            testDescription: "what it heard before counts no more when it connects", heardAt: 300,
            steppedAt: 200, isConnected: false, wellUntil: 275),
    ]

    @Test(arguments: cases)
    func itIsWellAsLongAsItMakesProgress(_ row: Case) {
        var health = Health(now: instant(0))
        health.heard(at: instant(row.heardAt))
        health.stepped(at: instant(row.steppedAt))
        let connected = row.isConnected
        #expect(health.isWell(at: instant(row.wellUntil - 0.1), isConnected: connected))
        #expect(!health.isWell(at: instant(row.wellUntil), isConnected: connected))
    }

    private func instant(_ seconds: Double) -> MonotonicInstant {
        MonotonicInstant(nanoseconds: UInt64(seconds * 1e9))
    }
}

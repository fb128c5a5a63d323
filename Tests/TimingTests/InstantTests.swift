import Testing
import Timing

struct InstantTests {
    @Test func wallArithmeticSaturates() {
        #expect(WallInstant.distantFuture.advanced(byMicroseconds: 1) == .distantFuture)
        #expect(WallInstant.distantPast.advanced(byMicroseconds: -1) == .distantPast)
        #expect(WallInstant(seconds: .max) == .distantFuture)
        #expect(WallInstant.distantFuture.microseconds(since: .distantPast) == .max)
        #expect(WallInstant(seconds: 2).microseconds(since: WallInstant(seconds: 5)) == -3_000_000)
    }

    @Test func monotonicArithmeticSaturates() {
        let start = MonotonicInstant(nanoseconds: 5)
        #expect(start.advanced(by: .nanoseconds(-9)).nanoseconds == 0)
        #expect(start.advanced(by: .seconds(1)).nanoseconds == 1_000_000_005)
        #expect(start.duration(since: start.advanced(by: .seconds(1))) == .zero)
        #expect(start.advanced(by: .seconds(1)).duration(since: start) == .seconds(1))
    }

    @Test(arguments: [
        (Duration.milliseconds(1_500), 1_500_000_000 as Int64),
        (.nanoseconds(-7), -7), (.seconds(Int64.max), .max), (.seconds(Int64.min), .min),
    ])
    func durationsBecomeNanoseconds(duration: Duration, expected: Int64) {
        #expect(duration.wholeNanoseconds == expected)
    }
}

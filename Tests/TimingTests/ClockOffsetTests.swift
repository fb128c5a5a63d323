import Testing
import Timing

struct ClockOffsetTests {
    private func at(_ microseconds: Int64) -> WallInstant {
        WallInstant(microseconds: microseconds)
    }

    @Test func isNothingWhileTheClocksMayAgree() {
        var offset = ClockOffset()
        #expect(offset.microseconds == 0)
        offset.observe(sent: at(100), received: at(300), server: at(290))
        #expect(offset.microseconds == 0)
    }

    @Test func narrowsTheIntervalInWhichTheTruthLies() {
        var offset = ClockOffset()
        offset.observe(sent: at(100), received: at(300), server: at(1_200))
        #expect(offset.microseconds == 1_000)
        offset.observe(sent: at(1_000), received: at(1_100), server: at(2_000))
        #expect(offset.microseconds == 950)
    }

    @Test func takesTheNewerOfTwoThatContradict() {
        var offset = ClockOffset()
        offset.observe(sent: at(100), received: at(300), server: at(1_200))
        offset.observe(sent: at(1_000), received: at(1_100), server: at(51_050))
        #expect(offset.microseconds == 50_000)
    }

    /// The host slept for an hour before it read the answer: the middle of that is no better.
    @Test func anAnswerThatTookAnHourCorrectsNothing() {
        var offset = ClockOffset()
        offset.observe(sent: at(100), received: at(300), server: at(1_200))
        let late = at(3_600_000_000)
        offset.observe(sent: at(1_000), received: late, server: at(2_010))
        #expect(offset.microseconds == 955)
        offset.observe(sent: at(1_000), received: late, server: at(1_500))
        #expect(offset.microseconds == 955)
        offset.observe(
            sent: late, received: late.advanced(byMicroseconds: 100),
            server: late.advanced(byMicroseconds: 2_250))
        #expect(offset.microseconds == 2_200)
    }

    /// Two hours forward here are two hours less to add.
    @Test func aStepOfOurOwnClockIsTakenBack() {
        var offset = ClockOffset()
        offset.clockStepped(by: 7_200_000_000)
        #expect(offset.microseconds == 0)
        offset.observe(sent: at(100), received: at(300), server: at(250))
        offset.clockStepped(by: 7_200_000_000)
        #expect(offset.microseconds == -7_200_000_000 + 50)
        offset.clockStepped(by: -7_200_000_000)
        #expect(offset.microseconds == 0)
        offset.clockStepped(by: .min)
        #expect(offset.microseconds == 0)
    }
}

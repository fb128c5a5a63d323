import Glibc
import Reactor
import TestSupport
import Testing

@Suite(.serialized) struct BlockingCallTests {
    @Test func theLoopGoesOnMeanwhile() async throws {
        let pipe = try TestPipe()
        let answer = try await onTestLoop {
            // Were the call made on the loop's thread, nobody could end it.
            _ = EventLoop.shared.after(.milliseconds(5)) { pipe.put() }
            return try await blockingCall(within: .seconds(60)) {
                block(on: pipe)
                return 42
            }
        }
        #expect(answer == 42)
    }

    @Test func anAnswerThatIsLateIsNone() async throws {
        let pipe = try TestPipe()
        try await onTestLoop {
            await #expect(throws: NoAnswer.inTime) {
                try await blockingCall(within: .milliseconds(5)) { block(on: pipe) }
            }
            await #expect(throws: NoAnswer.inTime) { try await blockingCall(within: .zero) {} }
            pipe.put()
        }
    }

    /// Threads that a dead server holds are bounded, and there is room again when they end.
    @Test func atMostSixtyFourBlock() async throws {
        let pipe = try TestPipe()
        try await onTestLoop {
            var refused = 0
            for _ in 0..<65 {
                do {
                    try await blockingCall(within: .nanoseconds(1)) { block(on: pipe) }
                } catch NoAnswer.noThread {
                    refused += 1
                } catch NoAnswer.inTime {}
            }
            // Other tests may have some under way at the same time.
            #expect(refused >= 1)
            pipe.put()
            try await eventually("there is room again") {
                (try? await blockingCall(within: .seconds(1)) { true }) ?? false
            }
        }
    }
}

/// poll(2) until there is something to read.
private func block(on pipe: TestPipe) {
    var entry = pollfd(fd: pipe.reading, events: Int16(POLLIN), revents: 0)
    _ = unsafe poll(&entry, 1, -1)
}

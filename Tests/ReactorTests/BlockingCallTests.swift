import Foundation
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

    /// Threads that a dead server holds are bounded; who comes next has his turn when one ends.
    @Test func atMostSixtyFourBlock() async throws {
        let pipe = try TestPipe()
        try await onTestLoop {
            let before = try threads()
            for _ in 0..<70 {
                await #expect(throws: NoAnswer.inTime) {
                    try await blockingCall(within: .milliseconds(1)) { block(on: pipe) }
                }
            }
            // Other tests may start some at the same time.
            #expect(try threads() < before + 64 + 4)
            _ = EventLoop.shared.after(.milliseconds(5)) { pipe.put() }
            #expect(try await blockingCall(within: .seconds(60)) { true })
        }
    }

    @Test func aThousandAtOnceAllHaveTheirTurn() async throws {
        let sum = try await onTestLoop {
            try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 1...1_000 {
                    group.addTask { try await blockingCall(within: .seconds(60)) { number } }
                }
                var sum = 0
                while let number = try await group.next() { sum += number }
                return sum
            }
        }
        #expect(sum == 500_500)
    }
}

/// Of this process.
private func threads() throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count
}

/// poll(2) until there is something to read.
private func block(on pipe: TestPipe) {
    var entry = pollfd(fd: pipe.reading, events: Int16(POLLIN), revents: 0)
    _ = unsafe poll(&entry, 1, -1)
}

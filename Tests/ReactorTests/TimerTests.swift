import Glibc
import TestSupport
import Testing
import Timing

@testable import Reactor

struct TimerTests {
    /// Minutes ago, so that all are due at once and their order is that of their instants.
    @LoopActor private static func past(_ offset: UInt64) -> MonotonicInstant {
        MonotonicInstant(nanoseconds: 1_000 + offset)
    }

    @Test func allDueAreCalledInTheOrderOfTheirInstants() async throws {
        try await onTestLoop {
            var generator = SystemRandomNumberGenerator()
            let log = Inbox<UInt64>()
            let offsets = (0..<10_000).map { _ in UInt64.random(in: 0..<1_000, using: &generator) }
            for offset in offsets {
                _ = EventLoop.shared.timers.add(at: Self.past(offset)) { log.send(offset) }
            }
            var called: [UInt64] = []
            while called.count < offsets.count { called.append(await log.next()) }
            #expect(called == offsets.sorted())
        }
    }

    @Test func noneIsCalledEarly() async throws {
        try await onTestLoop {
            let log = Inbox<Bool>()
            for microseconds in stride(from: 0, to: 20_000, by: 100) {
                let due = MonotonicInstant.now().advanced(by: .microseconds(microseconds))
                _ = EventLoop.shared.timers.add(at: due) { log.send(.now() >= due) }
            }
            for _ in 0..<200 { #expect(await log.next()) }
        }
    }

    @Test func aCancelledOneIsNotCalled() async throws {
        try await onTestLoop {
            let counter = Counter()
            let timers = (0..<1_000).map { _ in
                EventLoop.shared.after(.microseconds(10)) { counter.value += 1 }
            }
            for timer in timers { EventLoop.shared.cancelTimer(timer) }
            for timer in timers { EventLoop.shared.cancelTimer(timer) }
            try await rounds()
            #expect(counter.value == 0)
        }
    }

    @Test func oneMayCancelAnotherThatIsDueWithIt() async throws {
        try await onTestLoop {
            let (counter, ids) = (Counter(), Inbox<UInt64>())
            for _ in 0..<2 {
                let id = EventLoop.shared.timers.add(at: Self.past(0)) {
                    counter.value += 1
                    while let id = ids.poll() { EventLoop.shared.timers.remove(id) }
                }
                ids.send(id)
            }
            try await rounds()
            #expect(counter.value == 1)
        }
    }

    @Test func oneMayAddAnotherThatIsAlreadyDue() async throws {
        try await onTestLoop {
            let gate = Gate()
            _ = EventLoop.shared.after(.zero) {
                _ = EventLoop.shared.after(.seconds(-1)) { gate.open() }
            }
            await gate.waitUninterrupted()
        }
    }

    @Test func anEarlierOneOvertakesALaterOne() async throws {
        try await onTestLoop {
            let late = EventLoop.shared.after(.seconds(3_600)) { Issue.record("an hour passed?") }
            let longest = EventLoop.shared.after(.seconds(Int64.max)) { Issue.record("never") }
            let gate = Gate()
            _ = EventLoop.shared.after(.milliseconds(1)) { gate.open() }
            await gate.waitUninterrupted()
            EventLoop.shared.cancelTimer(late)
            EventLoop.shared.cancelTimer(longest)
        }
    }

    @Test func sleepLastsAtLeastItsTime() async throws {
        try await onTestLoop {
            let began = MonotonicInstant.now()
            try await EventLoop.shared.sleep(for: .milliseconds(3))
            #expect(MonotonicInstant.now().duration(since: began) >= .milliseconds(3))
        }
    }

    @Test(.timeLimit(.minutes(5))) func sleepEndsWhenItsTaskIsCancelled() async throws {
        try await onTestLoop {
            await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<100 { group.addTask { await sleptAnHour() } }
                group.cancelAll()
                // Cancelled before it begins to sleep.
                for _ in 0..<100 { group.addTask { await sleptAnHour() } }
                for await slept in group { #expect(!slept) }
            }
        }
    }

    @Test(.timeLimit(.minutes(5))) func sleepEndsWhenAnotherThreadCancelsIt() async throws {
        for _ in 0..<50 {
            let sleeping = Task { try await onTestLoop { await sleptAnHour() } }
            sleeping.cancel()
            #expect(try await sleeping.value == false)
        }
    }
}

@LoopActor
private func sleptAnHour() async -> Bool {
    do {
        try await EventLoop.shared.sleep(for: .seconds(3_600))
        return true
    } catch {
        return false
    }
}

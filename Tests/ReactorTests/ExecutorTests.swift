import Foundation
import Glibc
import Reactor
import TestSupport
import Testing

struct ExecutorTests {
    @Test func onLoopRunsAtOnceOnTheLoopAndLaterFromElsewhere() async throws {
        #expect(EventLoop.shared.isIsolatingCurrentContext() == false)
        try await onTestLoop {
            #expect(EventLoop.shared.isIsolatingCurrentContext() == true)
            let counter = Counter()
            onLoop { counter.value += 1 }
            #expect(counter.value == 1)
        }
        let ranOnLoop = await withCheckedContinuation { continuation in
            onLoop {
                continuation.resume(returning: EventLoop.shared.isIsolatingCurrentContext() == true)
            }
        }
        #expect(ranOnLoop)
    }

    @Test func manyThreadsReachTheLoop() async throws {
        try await onTestLoop {
            let counter = Counter()
            for _ in 0..<8 {
                Thread.detachNewThread {
                    for _ in 0..<2_000 { onLoop { counter.value += 1 } }
                }
            }
            try await eventually(within: .seconds(60), "all arrived") { counter.value == 16_000 }
        }
    }

    @Test func groupsAndAsyncLetStayOnTheLoop() async throws {
        try await onTestLoop {
            async let first = isOnLoop()
            async let second = isOnLoop()
            var all = await [first, second]
            await withTaskGroup(of: [Bool].self) { group in
                for _ in 0..<100 {
                    group.addTask {
                        async let inner = isOnLoop()
                        return await [isOnLoop(), inner]
                    }
                }
                for await answers in group { all += answers }
            }
            let started = Inbox<Bool>()
            startTask { started.send(await isOnLoop()) }
            all.append(await started.next())
            #expect(all.allSatisfy { $0 })
        }
    }

    @Test(.timeLimit(.minutes(5))) func aBusyTaskDoesNotStarveTimersOrDescriptors() async throws {
        try await onTestLoop {
            let pipe = try TestPipe()
            pipe.put()
            let (timer, descriptor) = (Gate(), Gate())
            let registration = try EventLoop.shared.register(pipe.reading, for: .readable) { _ in
                pipe.take()
                descriptor.open()
            }
            _ = EventLoop.shared.after(.milliseconds(1)) { timer.open() }
            // Never idle: there is always a job of this task in the queue.
            while !timer.isOpen || !descriptor.isOpen { await Task.yield() }
            registration.cancel()
        }
    }
}

/// Nonisolated: runs where its task's executor is.
@concurrent private func isOnLoop() async -> Bool {
    await Task.yield()
    return EventLoop.shared.isIsolatingCurrentContext() == true
}

/// In a process of its own, where no other test moves the loop: this test starts the tests once
/// more, with only the other one.
struct IdleLoopTests {
    private static let role = "CARILLON_TEST_IDLE_LOOP"
    private static let isAlone = ProcessInfo.processInfo.environment[role] != nil

    @Test(.enabled(if: isAlone)) func anIdleLoopSleepsAndStartsNoThreads() async throws {
        try await onTestLoop {
            try await rounds()
            let cancelled = EventLoop.shared.after(.seconds(3_600)) {}
            let before = EventLoop.shared.wakeUps
            try await EventLoop.shared.sleep(for: .milliseconds(300))
            // One for the timer; another thread may have had its say while the test began.
            #expect(EventLoop.shared.wakeUps - before <= 3)
            EventLoop.shared.cancelTimer(cancelled)
        }
    }

    @Test(.disabled(if: isAlone)) func anIdleLoopDoesNotWakeUp() async throws {
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let alone = try await runProgram(
            tests, ["--testing-library", "swift-testing", "--filter", "anIdleLoopSleeps"],
            environment: [Self.role: "1"])
        #expect(alone.end == .exited(0), "\(alone.stdout)\(alone.stderr)")
        #expect((alone.stdout + alone.stderr).contains("1 test"))
    }
}

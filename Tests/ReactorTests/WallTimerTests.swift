import Reactor
import TestSupport
import Testing
import Timing

struct WallTimerTests {
    @Test func itExpiresAtItsInstantAndNotBefore() async throws {
        try await onTestLoop {
            let log = Inbox<WallTimer.Event>()
            let timer = try WallTimer { log.send($0) }
            for delay in [1, 500, 20_000] as [Int64] {
                let due = WallInstant.now().advanced(byMicroseconds: delay)
                timer.arm(at: due)
                #expect(await log.next() == .expired)
                #expect(WallInstant.now() >= due)
            }
            timer.cancel()
        }
    }

    @Test(arguments: [-1, 0, 1, 1_000_000, .min] as [Int64])
    func oneInThePastExpiresAtOnce(microseconds: Int64) async throws {
        try await onTestLoop {
            let log = Inbox<WallTimer.Event>()
            let timer = try WallTimer { log.send($0) }
            timer.arm(at: WallInstant(microseconds: microseconds))
            #expect(await log.next() == .expired)
            try await rounds()
            #expect(log.poll() == nil)
            // The same instant once more is a new wish.
            timer.arm(at: WallInstant(microseconds: microseconds))
            #expect(await log.next() == .expired)
            timer.cancel()
        }
    }

    @Test func theLastInstantCounts() async throws {
        try await onTestLoop {
            let log = Inbox<WallTimer.Event>()
            let timer = try WallTimer { log.send($0) }
            timer.arm(at: .now().advanced(byMicroseconds: 3_600_000_000))
            timer.arm(at: .distantFuture)
            timer.arm(at: .now().advanced(byMicroseconds: 1_000))
            #expect(await log.next() == .expired)
            timer.arm(at: .now())
            timer.arm(at: nil)
            try await rounds()
            #expect(log.poll() == nil)
            timer.arm(at: .now())
            timer.cancel()
            timer.cancel()
            try await rounds()
            #expect(log.poll() == nil)
        }
    }

    /// Both have expired when the loop looks: the first to be called arms the other one anew, whose
    /// event is fetched already and means nothing any more.
    @Test(.timeLimit(.minutes(1))) func oneThatIsArmedAnewWhenItHasExpiredStaysArmed() async throws
    {
        try await onTestLoop {
            for _ in 0..<20 {
                let log = Inbox<Int>()
                let timers = [Holder<WallTimer>(), Holder<WallTimer>()]
                let later = WallInstant.now().advanced(byMicroseconds: 20_000)
                for number in 0...1 {
                    timers[number].value = try WallTimer { _ in
                        if WallInstant.now() < later { timers[1 - number].value?.arm(at: later) }
                        log.send(number)
                    }
                    timers[number].value?.arm(at: .distantPast)
                }
                let first = await log.next()
                #expect(await log.next() == 1 - first)
                #expect(WallInstant.now() >= later)
                for timer in timers { timer.value?.cancel() }
            }
        }
    }

    /// Its event may already have been fetched from the kernel when it goes.
    @Test func oneThatIsDroppedIsNotCalled() async throws {
        try await onTestLoop {
            let counter = Counter()
            for _ in 0..<200 {
                let pipe = try TestPipe()
                let owner = Holder<WallTimer>()
                owner.value = try WallTimer { _ in counter.value += 1 }
                let registration = try EventLoop.shared.register(pipe.reading, for: .readable) {
                    _ in
                    pipe.take()
                    owner.value = nil
                }
                pipe.put()
                owner.value?.arm(at: .distantPast)
                try await rounds(1)
                registration.cancel()
            }
            #expect(counter.value == 0)
        }
    }
}

import Glibc
import Reactor
import TestSupport
import Testing

/// The signals are sent to the loop's thread only, which blocks them: the other threads of the
/// test process do not.
@Suite(.serialized) struct SignalsTests {
    @LoopActor private static func raise(_ signals: [Int32]) {
        for signal in signals { pthread_kill(pthread_self(), signal) }
    }

    @Test func realSignalsArriveAsEvents() async throws {
        try await onTestLoop {
            Signals.block([SIGUSR1, SIGUSR2, SIGHUP])
            let log = Inbox<Int32>()
            let signals = try Signals([SIGUSR1, SIGUSR2, SIGHUP]) { log.send($0) }
            Self.raise([SIGHUP])
            #expect(await log.next() == SIGHUP)
            Self.raise([SIGUSR1, SIGUSR2])
            #expect(Set([await log.next(), await log.next()]) == [SIGUSR1, SIGUSR2])
            signals.cancel()
        }
    }

    @Test func noneIsDeliveredAfterTheHandlerCancelled() async throws {
        try await onTestLoop {
            Signals.block([SIGUSR1, SIGUSR2])
            let log = Inbox<Int32>()
            let holder = Holder<Signals>()
            holder.value = try Signals([SIGUSR1, SIGUSR2]) { signal in
                log.send(signal)
                holder.value?.cancel()
            }
            Self.raise([SIGUSR1, SIGUSR2])
            _ = await log.next()
            try await rounds()
            #expect(log.poll() == nil)
            // The other one is still pending, for whoever comes next.
            let next = try Signals([SIGUSR1, SIGUSR2]) { log.send($0) }
            _ = await log.next()
            next.cancel()
        }
    }
}

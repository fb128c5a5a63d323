import Reactor
import TestSupport
import Testing

struct GateTests {
    @Test func whoWaitsGoesOnWhenItOpens() async throws {
        let order = try await onTestLoop {
            let gate = Gate()
            let log = Inbox<Int>()
            await withTaskGroup { group in
                group.addTask { await wait(gate, log, 2) }
                log.send(1)
                gate.open()
            }
            await gate.waitUninterrupted()
            return [log.poll(), log.poll(), log.poll()]
        }
        #expect(order == [1, 2, nil])
    }

    @Test func allGoOnInTheOrderInWhichTheyCame() async throws {
        try await onTestLoop {
            let gate = Gate()
            let log = Inbox<Int>()
            for number in 0..<1_000 { _ = gate.whenOpen { log.send(number) } }
            gate.open()
            gate.open()
            #expect((0..<1_000).allSatisfy { log.poll() == $0 })
            #expect(log.poll() == nil)
            _ = gate.whenOpen { log.send(-1) }
            #expect(log.poll() == -1)
        }
    }

    @Test func whatIsForgottenDoesNotHappen() async throws {
        try await onTestLoop {
            let gate = Gate()
            let counter = Counter()
            let first = gate.whenOpen { counter.value += 1 }
            gate.forget(first)
            gate.forget(first)
            gate.open()
            #expect(counter.value == 0)
        }
    }

    @Test func anActionMayForgetALaterOne() async throws {
        try await onTestLoop {
            let gate = Gate()
            let (counter, later) = (Counter(), Inbox<UInt64>())
            _ = gate.whenOpen {
                counter.value += 1
                while let id = later.poll() { gate.forget(id) }
            }
            for _ in 0..<10 { later.send(gate.whenOpen { counter.value += 1 }) }
            gate.open()
            #expect(counter.value == 1)
        }
    }

    @Test(.timeLimit(.minutes(5))) func aCancelledWaitEndsWithTheGateClosed() async throws {
        try await onTestLoop {
            let gate = Gate()
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<100 { group.addTask { await gate.wait() } }
                group.cancelAll()
            }
            #expect(!gate.isOpen)
            let log = Inbox<Int>()
            await withTaskGroup { group in
                group.addTask { await wait(gate, log, 1) }
                gate.open()
            }
            #expect(log.poll() == 1)
        }
    }

    @Test(.timeLimit(.minutes(5))) func oneThatOpensWhileItIsCancelledEndsTheWaitOnce() async throws
    {
        for _ in 0..<200 {
            let gate = try await onTestLoop { Gate() }
            let waiting = Task { try await onTestLoop { await gate.wait() } }
            onLoop { gate.open() }
            waiting.cancel()
            try await waiting.value
        }
    }
}

@LoopActor
private func wait(_ gate: Gate, _ log: Inbox<Int>, _ number: Int) async {
    await gate.wait()
    log.send(number)
}

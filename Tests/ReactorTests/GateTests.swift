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
}

@LoopActor
private func wait(_ gate: Gate, _ log: Inbox<Int>, _ number: Int) async {
    await gate.wait()
    log.send(number)
}

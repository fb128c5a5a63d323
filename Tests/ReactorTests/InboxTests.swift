import Reactor
import TestSupport
import Testing

struct InboxTests {
    @Test func elementsComeInTheOrderInWhichTheyWereSent() async throws {
        try await onTestLoop {
            let inbox = Inbox<Int>()
            #expect(inbox.poll() == nil)
            for number in 0..<100 { inbox.send(number) }
            #expect(inbox.count == 100)
            for number in 0..<100 { #expect(await inbox.next() == number) }
            #expect(inbox.count == 0)
        }
    }

    @Test func theReaderWaitsForWhatOtherThreadsSend() async throws {
        let sum = try await onTestLoop {
            let inbox = Inbox<Int>()
            Task.detached {
                for number in 1...1_000 { onLoop { inbox.send(number) } }
            }
            var sum = 0
            for _ in 1...1_000 { sum += await inbox.next() }
            return sum
        }
        #expect(sum == 500_500)
    }
}

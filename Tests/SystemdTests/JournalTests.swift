import Foundation
import Glibc
import Systemd
import TestSupport
import Testing

struct JournalTests {
    /// The journal's own protocol: `NAME=value`, or the name, a length and the value where that
    /// holds a newline.
    @Test func anEntryIsOneDatagramWithItsFields() throws {
        let receiver = try Receiver(abstract: false)
        let journal = try #require(Journal(socket: receiver.name))
        #expect(journal.send([("MESSAGE", "hello = there"), ("RUN", "42")]))
        #expect(receiver.next() == "MESSAGE=hello = there\nRUN=42\n")
        #expect(journal.send([("MESSAGE", "two\nlines"), ("PRIORITY", "3")]))
        #expect(
            receiver.next()
                == "MESSAGE\n\u{9}\0\0\0\0\0\0\0two\nlines\nPRIORITY=3\n")
    }

    @Test func aLineThatIsTooLongIsCut() throws {
        let receiver = try Receiver(abstract: false)
        let journal = try #require(Journal(socket: receiver.name))
        #expect(journal.send([("MESSAGE", String(repeating: "x", count: 1_000_000))]))
        #expect(
            receiver.next(bound: 200_000) == "MESSAGE=\(String(repeating: "x", count: 65_536))\n")
    }

    /// Nobody reads: the call must not wait, and says that lines are lost.
    @Test func aFullJournalLosesLinesAndHoldsNobody() throws {
        let receiver = try Receiver(abstract: false)
        let journal = try #require(Journal(socket: receiver.name))
        let began = ContinuousClock.now
        let taken = (0..<2_000).count { _ in journal.send([("MESSAGE", "x")]) }
        #expect(taken < 2_000)
        #expect(ContinuousClock.now - began < .seconds(5))
        #expect(receiver.next() == "MESSAGE=x\n")
    }

    @Test func withoutAJournalThereIsNone() {
        #expect(Journal(socket: "/nonexistent/socket") == nil)
        // The tests' own output is no journal's.
        #expect(Journal() == nil)
    }
}

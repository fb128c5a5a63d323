import Systemd
import TestSupport
import Testing

struct NotifierTests {
    @Test(arguments: [false, true]) func eachStateIsOneDatagram(abstract: Bool) throws {
        let receiver = try Receiver(abstract: abstract)
        let notifier = Notifier(socket: receiver.name)
        #expect(notifier.ready(status: "3 schedules"))
        #expect(receiver.next() == "READY=1\nSTATUS=3 schedules")
        #expect(notifier.status("busy"))
        #expect(receiver.next() == "STATUS=busy")
        #expect(notifier.watchdog())
        #expect(receiver.next() == "WATCHDOG=1")
        #expect(notifier.stopping())
        #expect(receiver.next() == "STOPPING=1")
        #expect(notifier.extendTimeout(by: .milliseconds(1_500)))
        #expect(receiver.next() == "EXTEND_TIMEOUT_USEC=1500000")
        #expect(notifier.reloading())
        #expect(receiver.next()?.hasPrefix("RELOADING=1\nMONOTONIC_USEC=") == true)
        #expect(receiver.next() == nil)
    }

    @Test func aStatusIsOneLineAndNoOtherState() throws {
        let receiver = try Receiver(abstract: true)
        Notifier(socket: receiver.name).status("a\nREADY=1\r\nb\n")
        #expect(receiver.next() == "STATUS=a READY=1 b")
    }

    @Test(arguments: [
        nil, "", "@", "/", "relative", "vsock:2:1234", "/nonexistent/notify",
        "/" + String(repeating: "x", count: 300),
    ]) func whereNobodyListensNothingHappens(socket: String?) {
        let notifier = Notifier(socket: socket)
        _ = notifier.ready(status: "up")
        _ = notifier.stopping()
    }

    @Test func withoutTheVariableThereIsNobodyToTell() {
        #expect(Notifier(socket: nil).ready(status: "up"))
        #expect(!Notifier(socket: "/nonexistent/notify").ready(status: "up"))
    }

    /// sd_notify(3) would wait here for ever.
    @Test(.timeLimit(.minutes(5))) func aFullQueueDoesNotHoldTheLoop() throws {
        let receiver = try Receiver(abstract: true)
        let notifier = Notifier(socket: receiver.name)
        let sent = (0..<100_000).prefix { _ in notifier.watchdog() }.count
        #expect(sent < 100_000)
        #expect(!notifier.status("lost"))
        while receiver.next() != nil {}
        #expect(notifier.status("heard"))
        #expect(receiver.next() == "STATUS=heard")
    }
}

import Foundation
import Glibc
import Systemd
import TestSupport
import Testing

/// The service manager's end: a datagram socket at a path or an abstract name.
final class Receiver: Sendable {
    let name: String
    let socket: Int32
    private let folder: String?

    init(abstract: Bool) throws {
        folder = abstract ? nil : try makeTemporaryFolder("carillon-notify")
        name = folder.map { "\($0)/notify" } ?? "@carillon-test-\(UUID().uuidString)"
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var path = Array(name.utf8)
        if abstract { path[0] = 0 }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + path.count)
        socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        let bound = unsafe withUnsafePointer(to: &address) { address in
            unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                unsafe bind(socket, address, length)
            }
        }
        try #require(bound == 0)
    }

    deinit {
        close(socket)
        if let folder { try? FileManager.default.removeItem(atPath: folder) }
    }

    /// The next datagram; nil when none is there.
    func next(bound: Int = 65_536) -> String? {
        var bytes = [UInt8](repeating: 0, count: bound)
        let count = unsafe recv(socket, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        return count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self)
    }
}

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

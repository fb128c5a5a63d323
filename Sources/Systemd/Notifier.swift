internal import CSystemd
internal import Glibc

/// Tells the service manager how we are, as sd_notify(3) does. Does nothing where there is none.
///
/// sd_notify(3) itself waits while the receiver's queue is full, and would hold the loop as long:
/// here a datagram that finds no room is lost, and each call returns whether it went out.
public struct Notifier: Sendable {
    /// `sun_path` of unix(7): a path, or a name that begins with NUL.
    private let path: [UInt8]?

    /// The service manager that NOTIFY_SOCKET names, if there is one.
    public init() {
        self.init(socket: unsafe getenv("NOTIFY_SOCKET").map { unsafe String(cString: $0) })
    }

    /// As NOTIFY_SOCKET has it: an absolute path, or `@` and an abstract name. All else is none.
    public init(socket: String?) {
        var bytes = Array((socket ?? "").utf8)
        if bytes.first == UInt8(ascii: "@") { bytes[0] = 0 }
        let isAddress = bytes.first == 0 || bytes.first == UInt8(ascii: "/")
        let fits = 2...MemoryLayout.size(ofValue: sockaddr_un().sun_path)
        path = isAddress && fits.contains(bytes.count) ? bytes : nil
    }

    /// All schedules are read and the listener stands.
    @discardableResult
    public func ready(status: String) -> Bool {
        send("READY=1\nSTATUS=\(Self.line(status))")
    }

    /// One line for `systemctl status`.
    @discardableResult
    public func status(_ text: String) -> Bool {
        send("STATUS=\(Self.line(text))")
    }

    /// All is read anew; `ready` ends that.
    @discardableResult
    public func reloading() -> Bool {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        let microseconds = Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000
        return send("RELOADING=1\nMONOTONIC_USEC=\(microseconds)")
    }

    /// Starting or stopping may take that much longer from now on.
    @discardableResult
    public func extendTimeout(by duration: Duration) -> Bool {
        let (seconds, attoseconds) = duration.components
        return send("EXTEND_TIMEOUT_USEC=\(seconds * 1_000_000 + attoseconds / 1_000_000_000_000)")
    }

    /// We drain and end.
    @discardableResult
    public func stopping() -> Bool {
        send("STOPPING=1")
    }

    /// The loop is alive.
    @discardableResult
    public func watchdog() -> Bool {
        send("WATCHDOG=1")
    }

    /// How often the service manager wants to hear of us, in microseconds: sd_watchdog_enabled(3).
    public var watchdogInterval: UInt64? {
        var interval: UInt64 = 0
        return unsafe sd_watchdog_enabled(0, &interval) > 0 ? interval : nil
    }

    /// True also when there is nobody to tell. Any failure is the service manager's.
    private func send(_ state: String) -> Bool {
        guard let path else { return true }
        let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let socket = Glibc.socket(AF_UNIX, type, 0)
        guard socket >= 0 else { return false }
        defer { close(socket) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path) }
        let length = MemoryLayout<sa_family_t>.size + path.count
        let message = Array(state.utf8)
        let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
        let sent = unsafe withUnsafePointer(to: &address) { address in
            unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                unsafe sendto(
                    socket, message, message.count, flags, address, socklen_t(length))
            }
        }
        return sent == message.count
    }

    private static func line(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).joined(separator: " ")
    }
}

internal import Glibc

/// The journal of systemd-journald(8), by its native protocol: one datagram a line, with fields.
///
/// sd_journal_sendv(3) itself waits while the journal takes nothing, and would hold the loop as
/// long: here such a line is lost, and the call returns so.
public struct Journal: Sendable {
    /// More than that of one value would not fit into a datagram.
    private static let valueBound = 65_536
    public static let defaultSocket = "/run/systemd/journal/socket"

    private let socket: Int32
    private let path: String

    /// Nil unless standard output or standard error is the journal's, as JOURNAL_STREAM says
    /// (systemd.exec(5)): then a line written there would arrive without its fields.
    public init?() {
        let stream = unsafe getenv("JOURNAL_STREAM").map { unsafe String(cString: $0) }
        guard let stream, Self.isOurs(stream, STDOUT_FILENO) || Self.isOurs(stream, STDERR_FILENO)
        else { return nil }
        self.init(socket: Self.defaultSocket)
    }

    /// Nil when nobody listens at `path`.
    public init?(socket path: String) {
        let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard path.utf8.count < MemoryLayout.size(ofValue: sockaddr_un().sun_path) else {
            return nil
        }
        self.path = path
        socket = Glibc.socket(AF_UNIX, type, 0)
        // One that was connected would not find a journal that was started anew.
        let probe = Glibc.socket(AF_UNIX, type, 0)
        defer { close(probe) }
        let isThere = unsafe withAddress { address, length in
            unsafe connect(probe, address, length) == 0
        }
        guard socket >= 0, isThere else {
            close(socket)
            return nil
        }
    }

    /// Sends one entry; false when it is lost. A value may hold anything, a name is upper case
    /// letters, digits and underscores.
    @discardableResult
    public func send(_ fields: [(name: String, value: String)]) -> Bool {
        var message: [UInt8] = []
        for (name, value) in fields {
            let bytes = value.utf8.prefix(Self.valueBound)
            message += name.utf8
            if bytes.contains(UInt8(ascii: "\n")) {
                // Its length in 64 bits, little-endian, then the value as it is.
                message.append(UInt8(ascii: "\n"))
                let length = UInt64(bytes.count)
                message += (0..<8).map { UInt8(truncatingIfNeeded: length >> ($0 * 8)) }
            } else {
                message.append(UInt8(ascii: "="))
            }
            message += bytes
            message.append(UInt8(ascii: "\n"))
        }
        return send(message)
    }

    private func send(_ message: [UInt8]) -> Bool {
        let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
        let sent = unsafe withAddress { address, length in
            unsafe sendto(socket, message, message.count, flags, address, length)
        }
        return sent == message.count
    }

    private func withAddress<Value>(
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Value
    ) -> Value {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) {
            unsafe $0.copyBytes(from: path.utf8)
        }
        let length = MemoryLayout<sa_family_t>.size + path.utf8.count + 1
        return unsafe withUnsafePointer(to: &address) { address in
            unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                unsafe body(address, socklen_t(length))
            }
        }
    }

    private static func isOurs(_ stream: String, _ descriptor: Int32) -> Bool {
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { return false }
        return stream == "\(status.st_dev):\(status.st_ino)"
    }
}

import Foundation
import Glibc

/// The end of a service manager or a journal: a datagram socket at a path or an abstract name.
public final class Receiver: Sendable {
    public let name: String
    private let socket: Int32
    private let folder: String?

    public init(abstract: Bool) throws {
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
        guard bound == 0 else { throw CallFailed(call: "bind \(name)", code: errno) }
    }

    deinit {
        close(socket)
        if let folder { try? FileManager.default.removeItem(atPath: folder) }
    }

    /// The next datagram; nil when none is there.
    public func next(bound: Int = 65_536) -> String? {
        var bytes = [UInt8](repeating: 0, count: bound)
        let count = unsafe recv(socket, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        return count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self)
    }
}

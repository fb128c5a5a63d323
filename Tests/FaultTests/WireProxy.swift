import Foundation
import Glibc
import Synchronization
import TestSupport

/// Stands between a daemon and its server, on a socket of its own, and cuts a connection at a
/// message that is told to it: so a fault can be put at each step of the protocol in turn.
final class WireProxy: Sendable {
    /// Where a connection is cut.
    enum Fault: String, Sendable, CaseIterable {
        /// A batch that the daemon sent does not reach the server.
        case question
        /// The server did what it was asked to, and its answer does not reach the daemon.
        case answer
    }

    private struct State {
        var fault: Fault?
        /// How many more messages of its kind pass.
        var passing = 0
        var cuts = 0
        var isSilent = false
        var hasEnded = false
    }

    let folder: String
    private let server: String
    private let state = Mutex(State())

    /// Listens in a new folder, on the same port, for the server of `cluster`.
    init(for cluster: PrivateCluster) throws {
        folder = try makeTemporaryFolder("carillon-wire")
        server = "\(cluster.folder)/.s.PGSQL.5432"
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        let path = "\(folder)/.s.PGSQL.5432"
        guard unsafe withSocketAddress(path, { unsafe bind(listener, $0, $1) }) == 0,
            listen(listener, 100) == 0
        else { throw NotReached("no socket at \(path): errno \(errno)") }
        Thread.detachNewThread { [self] in
            serve(listener)
            close(listener)
        }
    }

    /// Cuts the connection on which the `number`th batch or answer from now on comes by.
    func cut(_ fault: Fault, at number: Int) {
        state.withLock {
            $0.fault = fault
            $0.passing = number - 1
        }
    }

    /// How many connections were cut.
    var cuts: Int { state.withLock { $0.cuts } }

    /// Lets nothing pass and closes nothing, as a network that drops all packets.
    func setSilent(_ isSilent: Bool) { state.withLock { $0.isSilent = isSilent } }

    func end() {
        state.withLock { $0.hasEnded = true }
        try? FileManager.default.removeItem(atPath: folder)
    }

    // MARK: Its thread

    private func serve(_ listener: Int32) {
        var pairs: [Pair] = []
        while !state.withLock({ $0.hasEnded }) {
            if state.withLock({ $0.isSilent }) {
                usleep(5_000)
                continue
            }
            var polls = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0)]
            for pair in pairs {
                polls.append(pollfd(fd: pair.client, events: Int16(POLLIN), revents: 0))
                polls.append(pollfd(fd: pair.server, events: Int16(POLLIN), revents: 0))
            }
            guard unsafe poll(&polls, nfds_t(polls.count), 20) > 0 else { continue }
            var open: [Pair] = []
            for (index, pair) in pairs.enumerated() {
                var pair = pair
                var lives = true
                if polls[1 + 2 * index].revents != 0 { lives = pass(&pair, isQuestion: true) }
                if lives, polls[2 + 2 * index].revents != 0 {
                    lives = pass(&pair, isQuestion: false)
                }
                if lives { open.append(pair) } else { pair.close() }
            }
            pairs = open
            if polls[0].revents != 0, let pair = accepted(listener) { pairs.append(pair) }
        }
        for pair in pairs { pair.close() }
    }

    private func accepted(_ listener: Int32) -> Pair? {
        let client = accept(listener, nil, nil)
        guard client >= 0 else { return nil }
        _ = fcntl(client, F_SETFD, FD_CLOEXEC)
        let upstream = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard unsafe withSocketAddress(server, { unsafe connect(upstream, $0, $1) }) == 0 else {
            close(client)
            close(upstream)
            return nil
        }
        return Pair(client: client, server: upstream)
    }

    /// Passes on what has come; false when the connection is at its end.
    private func pass(_ pair: inout Pair, isQuestion: Bool) -> Bool {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let from = isQuestion ? pair.client : pair.server
        let count = unsafe read(from, &chunk, chunk.count)
        guard count > 0 else { return false }
        let bytes = chunk[..<count]
        // Sync ends a batch, ReadyForQuery its answer: section 55.2.3 of PostgreSQL's manual.
        let ends =
            isQuestion
            ? pair.questions.count(of: "S", in: bytes) : pair.answers.count(of: "Z", in: bytes)
        guard !isCut(isQuestion ? .question : .answer, ends) else { return false }
        var rest = bytes
        while !rest.isEmpty {
            let written = unsafe rest.withUnsafeBytes {
                unsafe send(
                    isQuestion ? pair.server : pair.client, $0.baseAddress, $0.count,
                    Int32(MSG_NOSIGNAL))
            }
            guard written > 0 else { return false }
            rest = rest.dropFirst(written)
        }
        return true
    }

    private func isCut(_ kind: Fault, _ ends: Int) -> Bool {
        state.withLock { state in
            guard state.fault == kind, ends > 0 else { return false }
            guard state.passing < ends else {
                state.passing -= ends
                return false
            }
            state.fault = nil
            state.cuts += 1
            return true
        }
    }
}

/// A connection through the proxy.
private struct Pair {
    let client: Int32
    let server: Int32
    /// The first message of a client has no type.
    var questions = Messages(hasType: false)
    var answers = Messages(hasType: true)

    /// At once, also where a program that was just being started holds a copy.
    func close() {
        for end in [client, server] {
            shutdown(end, Int32(SHUT_RDWR))
            Glibc.close(end)
        }
    }
}

/// Finds the messages in one direction of a connection, however its bytes are cut.
private struct Messages {
    private var hasType: Bool
    private var head: [UInt8] = []
    private var left = 0

    init(hasType: Bool) {
        self.hasType = hasType
    }

    /// How many messages of this type begin in these bytes.
    mutating func count(of type: Unicode.Scalar, in bytes: ArraySlice<UInt8>) -> Int {
        var found = 0
        var bytes = bytes
        while let byte = bytes.first {
            if left > 0 {
                let skipped = min(left, bytes.count)
                left -= skipped
                bytes = bytes.dropFirst(skipped)
                continue
            }
            head.append(byte)
            bytes = bytes.dropFirst()
            let length = hasType ? 5 : 4
            guard head.count == length else { continue }
            left = head.suffix(4).reduce(0) { $0 << 8 | Int($1) } - 4
            if hasType, head[0] == UInt8(ascii: type) { found += 1 }
            hasType = true
            head = []
        }
        return found
    }
}

private func withSocketAddress(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
    return unsafe withUnsafePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
}

import Glibc
import Synchronization
public import Timing

/// A line that a daemon wrote, or a datagram of its readiness protocol.
public struct DaemonLine: Sendable {
    public enum Source: Sendable, Equatable {
        case stdout, stderr
    }

    public let source: Source
    public let text: String
    /// When we read it, by CLOCK_REALTIME. Lines read together share the instant.
    public let receivedAt: WallInstant
}

/// What is known about a daemon, filled by the thread that watches it.
final class DaemonRecord: Sendable {
    struct State {
        var lines: [DaemonLine] = []
        var datagrams: [String] = []
        var end: ProgramEnd?
        /// Bytes of lines that have not ended yet.
        var unfinished: [DaemonLine.Source: [UInt8]] = [:]
    }

    let state = Mutex(State())
    private let pid: pid_t

    init(pid: pid_t) {
        self.pid = pid
    }

    /// Sends a signal, unless the process is reaped and its number free for another.
    func signal(_ number: Int32) {
        state.withLock { state in
            guard state.end == nil else { return }
            kill(pid, number)
        }
    }

    /// Watches until the process has ended; closes the descriptors. Blocks its thread.
    func watch(pidfd: Int32, output: Int32, errors: Int32, notify: Int32) {
        var descriptors = [pidfd, output, errors, notify]
        defer { for descriptor in descriptors where descriptor >= 0 { close(descriptor) } }
        while true {
            var polls = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard unsafe poll(&polls, nfds_t(polls.count), -1) > 0 else { continue }
            let instant = wallNow()
            for (index, source) in [(1, DaemonLine.Source.stdout), (2, .stderr)]
            where descriptors[index] >= 0 {
                var bytes: [UInt8] = []
                let isOpen = readAvailable(descriptors[index], into: &bytes)
                append(bytes, from: source, at: instant)
                guard !isOpen else { continue }
                close(descriptors[index])
                descriptors[index] = -1
            }
            if notify >= 0 { readDatagrams(notify) }
            // Its end came with this poll: all it had written was in the pipes before it.
            if polls[0].revents != 0 { break }
        }
        reap(at: wallNow())
    }

    private func append(_ bytes: [UInt8], from source: DaemonLine.Source, at instant: WallInstant) {
        state.withLock { state in
            var pending = state.unfinished[source, default: []] + bytes
            while let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
                let text = String(decoding: pending[..<end], as: UTF8.self)
                state.lines.append(DaemonLine(source: source, text: text, receivedAt: instant))
                pending.removeSubrange(...end)
            }
            state.unfinished[source] = pending
        }
    }

    private func readDatagrams(_ socket: Int32) {
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = unsafe recv(socket, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            guard count > 0 else { return }
            let text = String(decoding: buffer[..<count], as: UTF8.self)
            state.withLock { $0.datagrams.append(text) }
        }
    }

    private func reap(at instant: WallInstant) {
        state.withLock { state in
            var status: Int32 = 0
            while unsafe waitpid(pid, &status, 0) < 0, errno == EINTR {}
            for (source, bytes) in state.unfinished where !bytes.isEmpty {
                let text = String(decoding: bytes, as: UTF8.self)
                state.lines.append(DaemonLine(source: source, text: text, receivedAt: instant))
            }
            state.end = ProgramEnd(waitStatus: status)
        }
    }
}

/// The wall clock, clock_gettime(2) with CLOCK_REALTIME.
public func wallNow() -> WallInstant {
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    return WallInstant(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000)
}

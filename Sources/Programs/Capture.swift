internal import Glibc
internal import Reactor

/// Reads one pipe to its end into a bounded buffer.
@LoopActor
final class Capture {
    /// Of one read; a pipe holds no more unless somebody enlarged it.
    private static let chunk = 65_536

    private let descriptor: Descriptor
    private var registration: Registration?
    let closed = Gate()
    private(set) var captured: CapturedOutput

    init(_ descriptor: consuming Descriptor, limit: Int) {
        self.descriptor = descriptor
        captured = CapturedOutput(limit: limit)
    }

    isolated deinit {
        registration?.cancel()
    }

    /// The number by which proc_pid_fd(5) names the pipe; nil when it can't be told.
    var pipe: UInt64? { pipeNumber(descriptor.number) }

    func start() throws(SystemError) {
        registration = try EventLoop.shared.register(descriptor.number, for: .readable) {
            [unowned self] _ in read()
        }
    }

    /// Takes what lies in the pipe, and nothing after it.
    func cutOff() {
        read()
        close()
    }

    private func read() {
        guard !closed.isOpen else { return }
        // One read a turn, so that a flood does not keep the loop from its timers.
        var isAtEnd = false
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: Self.chunk) { buffer, count in
            let result = unsafe Glibc.read(descriptor.number, buffer.baseAddress, Self.chunk)
            isAtEnd = result == 0 || (result < 0 && errno != EAGAIN && errno != EINTR)
            count = max(0, result)
        }
        captured.append(bytes)
        if isAtEnd { close() }
    }

    private func close() {
        registration?.cancel()
        registration = nil
        closed.open()
    }
}

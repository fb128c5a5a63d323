internal import CLinux
internal import Glibc

/// Signals as events of the loop, signalfd(2).
@LoopActor
public final class Signals {
    private let descriptor: Descriptor
    private let handler: @LoopActor (Int32) -> Void
    private var registration: Registration?

    /// Blocks `signals` for this thread and all it starts; to be called first in `main`.
    public nonisolated static func block(_ signals: [Int32]) {
        var set = mask(signals)
        unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Calls `handler` with the number of each of `signals` that arrives; they must be blocked.
    public init(
        _ signals: [Int32], handler: @escaping @LoopActor (Int32) -> Void
    ) throws(SystemError) {
        var set = Self.mask(signals)
        descriptor = Descriptor(
            owning: try systemCall("signalfd") { unsafe clinux_signalfd(&set) })
        self.handler = handler
        registration = try EventLoop.shared.register(descriptor.number, for: .readable) {
            [unowned self] _ in drain()
        }
    }

    isolated deinit {
        registration?.cancel()
    }

    private func drain() {
        var record = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        // The handler may cancel: what is pending then stays pending.
        while registration != nil, unsafe read(descriptor.number, &record, size) == size {
            handler(Int32(record.ssi_signo))
        }
    }

    /// No handler is called afterwards.
    public func cancel() {
        registration?.cancel()
        registration = nil
    }

    private nonisolated static func mask(_ signals: [Int32]) -> sigset_t {
        var set = sigset_t()
        unsafe sigemptyset(&set)
        for signal in signals { unsafe sigaddset(&set, signal) }
        return set
    }
}

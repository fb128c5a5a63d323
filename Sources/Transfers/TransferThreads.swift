internal import Glibc
internal import Reactor

/// The threads that transfers run on: as many as run at once, up to a bound.
@LoopActor
final class TransferThreads {
    /// More transfers than this wait for the first of them to end, in their order.
    static let limit = 32

    static let shared = TransferThreads()

    private struct Waiting {
        let body: @Sendable () -> Void
        let onFailure: @LoopActor (TransferError) -> Void
    }

    private var running = 0
    private var waiting: [Waiting] = []

    /// Runs `body` on a thread of its own, now or when there is a place; `onFailure` is called when
    /// there is no thread to be had.
    func start(
        _ body: @escaping @Sendable () -> Void,
        onFailure: @escaping @LoopActor (TransferError) -> Void
    ) {
        waiting.append(Waiting(body: body, onFailure: onFailure))
        startWaiting()
    }

    private func startWaiting() {
        while running < Self.limit, !waiting.isEmpty {
            let next = waiting.removeFirst()
            let job = unsafe Unmanaged.passRetained(Job(next.body)).toOpaque()
            var thread = pthread_t()
            let code = unsafe pthread_create(&thread, nil, Self.body, job)
            guard code == 0 else {
                unsafe Unmanaged<Job>.fromOpaque(job).release()
                let reason = unsafe String(cString: strerror(code))
                next.onFailure(TransferError(.connection, "no thread to be had: \(reason)"))
                continue
            }
            pthread_detach(thread)
            running += 1
        }
    }

    private func ended() {
        running -= 1
        startWaiting()
    }

    private final class Job: Sendable {
        let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) {
            self.body = body
        }
    }

    private nonisolated static let body:
        @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
            guard let context = unsafe context else { return nil }
            // Signals are for the loop; a write to a closed connection is an error, not SIGPIPE.
            var all = sigset_t()
            unsafe sigfillset(&all)
            unsafe pthread_sigmask(SIG_BLOCK, &all, nil)
            let job = unsafe Unmanaged<Job>.fromOpaque(context).takeRetainedValue()
            job.body()
            onLoop { TransferThreads.shared.ended() }
            return nil
        }
}

internal import Glibc
internal import Reactor

/// The threads that transfers run on: as many as run at once, up to a bound.
@LoopActor
final class TransferThreads {
    /// More transfers than this wait for the first of them to end, in their order.
    static let limit = 32

    static let shared = TransferThreads()

    private struct Waiting: Sendable {
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
            let isStarted = startThread {
                // Signals are for the loop; writing to a closed connection is an error, no SIGPIPE.
                var all = sigset_t()
                unsafe sigfillset(&all)
                unsafe pthread_sigmask(SIG_BLOCK, &all, nil)
                next.body()
                onLoop { TransferThreads.shared.ended() }
            }
            guard isStarted else {
                next.onFailure(TransferError(.connection, "no thread to be had"))
                continue
            }
            running += 1
        }
    }

    private func ended() {
        running -= 1
        startWaiting()
    }
}

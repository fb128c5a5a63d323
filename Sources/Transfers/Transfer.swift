public import Reactor
internal import Timing

/// A transfer under way, on a thread of its own.
///
/// Not on the loop, though libcurl could share it (its multi-socket interface): libcurl 7.88 waits
/// inside one call for the answer to a mail, for the end of an FTP transfer and for the answer to
/// QUIT, as long as the server likes; and files are written and synchronised here.
@LoopActor
public final class Transfer<Value: Sendable> {
    /// How long after `cancel` the thread is waited for: a disk may hold it in a system call.
    private static var patience: Duration { .milliseconds(500) }

    private let control = TransferControl()
    private let ended = Gate()
    private var outcome: Result<Value, TransferError>?

    /// Starts `work`, as soon as one of the threads is free.
    init(_ work: @escaping @Sendable (TransferControl) throws(TransferError) -> Value) {
        TransferThreads.shared.start { [self, control] in
            let outcome: Result<Value, TransferError>
            do throws(TransferError) {
                if control.isCancelled { throw .cancelled }
                outcome = .success(try work(control))
            } catch {
                outcome = .failure(error)
            }
            onLoop { self.finish(outcome) }
        } onFailure: { [weak self] error in
            self?.finish(.failure(error))
        }
    }

    /// Waits for its end, also when the task is cancelled: whoever cancels also calls `cancel`.
    public func result() async throws(TransferError) -> Value {
        await ended.waitUninterrupted()
        guard let outcome else { throw .cancelled }
        return try outcome.get()
    }

    /// Ends it within milliseconds; nothing when it has ended, or when only the last step of a
    /// download is left, which takes its name.
    public func cancel() {
        guard outcome == nil, control.cancel() else { return }
        _ = EventLoop.shared.after(Self.patience) { [self] in
            finish(.failure(TransferError(.cancelled, "cancelled, and still held by the system")))
        }
    }

    private func finish(_ outcome: Result<Value, TransferError>) {
        guard self.outcome == nil else { return }
        self.outcome = outcome
        ended.open()
    }
}

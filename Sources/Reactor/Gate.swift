/// A one-shot condition that tasks on the loop can wait for, until it opens or they are cancelled.
@LoopActor
public final class Gate {
    public private(set) var isOpen = false
    private var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    private var lastID: UInt64 = 0

    public init() {}

    /// Lets all who wait go on, now and later.
    public func open() {
        guard !isOpen else { return }
        isOpen = true
        let all = waiters
        waiters.removeAll()
        for waiter in all.values { waiter.resume() }
    }

    /// Returns when the gate is open, even if the task is cancelled meanwhile.
    public func waitUninterrupted() async {
        guard !isOpen else { return }
        lastID += 1
        await withCheckedContinuation { waiters[lastID] = $0 }
    }

    /// Returns when the gate is open or the task is cancelled; `isOpen` tells which.
    public func wait() async {
        guard !isOpen, !Task.isCancelled else { return }
        lastID += 1
        let id = lastID
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled {
                    continuation.resume()
                } else {
                    waiters[id] = continuation
                }
            }
        } onCancel: {
            onLoop { self.waiters.removeValue(forKey: id)?.resume() }
        }
    }
}

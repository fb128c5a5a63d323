/// A one-shot condition that tasks on the loop can wait for, until it opens or they are cancelled.
@LoopActor
public final class Gate {
    public private(set) var isOpen = false
    private var actions: [UInt64: @LoopActor () -> Void] = [:]
    private var lastID: UInt64 = 0

    public init() {}

    /// Lets all who wait go on, now and later, in the order in which they came.
    public func open() {
        guard !isOpen else { return }
        isOpen = true
        // Taken out one by one: an action may forget a later one.
        for id in actions.keys.sorted() { actions.removeValue(forKey: id)?() }
    }

    /// Calls `action` when the gate opens, at once when it is open; `forget` takes that back.
    public func whenOpen(_ action: @escaping @LoopActor () -> Void) -> UInt64 {
        lastID += 1
        if isOpen { action() } else { actions[lastID] = action }
        return lastID
    }

    /// Takes back what `whenOpen` was given, if it has not happened.
    public func forget(_ id: UInt64) {
        actions[id] = nil
    }

    /// Returns when the gate is open, even if the task is cancelled meanwhile.
    public func waitUninterrupted() async {
        guard !isOpen else { return }
        await withCheckedContinuation { continuation in
            _ = whenOpen { continuation.resume() }
        }
    }

    /// Returns when the gate is open or the task is cancelled; `isOpen` tells which.
    public func wait() async {
        guard !isOpen, !Task.isCancelled else { return }
        let cancelled = Gate()
        let id = whenOpen { cancelled.open() }
        await withTaskCancellationHandler {
            await cancelled.waitUninterrupted()
        } onCancel: {
            onLoop { cancelled.open() }
        }
        forget(id)
    }

    /// Returns when this gate or `other` is open.
    public func wait(orFor other: Gate) async {
        let done = Gate()
        let ids = (whenOpen { done.open() }, other.whenOpen { done.open() })
        await done.waitUninterrupted()
        forget(ids.0)
        other.forget(ids.1)
    }

    /// Returns when the gate is open, or when `limit` has passed; `isOpen` tells which.
    public func wait(atMost limit: Duration) async {
        let late = Gate()
        let timer = EventLoop.shared.after(limit) { late.open() }
        await wait(orFor: late)
        EventLoop.shared.cancelTimer(timer)
    }
}

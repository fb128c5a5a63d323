public import Postgres
internal import Reactor

/// What whoever runs a daemon in its own process may do beside it.
extension Daemon {
    /// Does `body` once all schedules have been read, or not at all when that never comes. `serve`
    /// returns after it.
    public func whenServing(_ body: @escaping @Sendable @LoopActor () async -> Void) {
        start {
            await self.serving.wait(orFor: self.stopping)
            if self.serving.isOpen { await body() }
        }
    }

    /// Waits; returns false as soon as the daemon is told to stop.
    public func wait(for duration: Duration) async -> Bool {
        await stopping.wait(atMost: duration)
        return !stopping.isOpen
    }

    /// Waits until the daemon is told to stop.
    public func waitForStop() async {
        await stopping.wait()
    }

    /// The database of the private server, where there is one.
    public var privateDatabase: ConnectionParameters? { embedded?.connection }
}

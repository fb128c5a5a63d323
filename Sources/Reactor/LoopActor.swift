/// The one thread's actor: everything annotated with it runs on the event loop.
@globalActor
public actor LoopActor {
    public static let shared = LoopActor()

    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe EventLoop.shared.asUnownedSerialExecutor()
    }

    /// Runs `body` at once; the caller must already be on the loop's thread.
    ///
    /// Callbacks from the kernel arrive outside any task, where the compiler can't see the thread.
    public nonisolated static func assumeIsolated<Value>(
        _ body: @LoopActor () throws -> Value
    ) rethrows -> Value {
        EventLoop.shared.checkIsolated()
        return try withoutActuallyEscaping(body) { escaping in
            // The same function without the actor in its type: we just checked that we are on it.
            try unsafe unsafeBitCast(escaping, to: (() throws -> Value).self)()
        }
    }
}

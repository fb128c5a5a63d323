import Foundation
import Reactor

/// Starts the event loop of the test process, on a thread of its own, at the first use.
private let isLoopRunning: Bool = {
    let thread = Thread {
        _ = EventLoop.shared.run { await forever() }
    }
    thread.name = "loop"
    thread.start()
    return true
}()

private func forever() async -> Int32 {
    await Gate().waitUninterrupted()
    return 0
}

/// Runs `body` and all tasks below it on the event loop, as the daemon does.
public func onTestLoop<Value: Sendable>(
    _ body: @escaping @Sendable @LoopActor () async throws -> Value
) async throws -> Value {
    precondition(isLoopRunning)
    return try await withTaskExecutorPreference(EventLoop.shared) { try await body() }
}

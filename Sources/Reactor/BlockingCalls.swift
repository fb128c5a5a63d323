internal import Glibc

/// Why a call that blocks gave no answer.
public enum NoAnswer: Error, Sendable, Equatable {
    /// It still blocks; its thread ends whenever the call does.
    case inTime
    /// There is no thread to be had, or too many calls block already.
    case noThread
}

/// How many calls may block at once: each holds a thread, for as long as a dead server of names
/// or files lets it wait.
private let mostBlockingCalls = 64
@LoopActor private var blockingCalls = 0

/// Runs `call` on a thread of its own and returns what it returned: for calls of the C library
/// that may block, such as look-ups of names, which would hold the loop.
///
/// At most 64 are under way at once; the next one fails.
@LoopActor
public func blockingCall<Value: Sendable>(
    within limit: Duration, _ call: @escaping @Sendable () -> Value
) async throws(NoAnswer) -> Value {
    guard limit > .zero else { throw .inTime }
    guard blockingCalls < mostBlockingCalls else { throw .noThread }
    let answer = Answer<Value>()
    let isStarted = startThread {
        let value = call()
        onLoop {
            blockingCalls -= 1
            answer.value = value
            answer.done.open()
        }
    }
    guard isStarted else { throw .noThread }
    blockingCalls += 1
    let timer = EventLoop.shared.after(limit) { [done = answer.done] in done.open() }
    await answer.done.waitUninterrupted()
    EventLoop.shared.cancelTimer(timer)
    guard let value = answer.value else { throw .inTime }
    return value
}

@LoopActor
private final class Answer<Value: Sendable> {
    let done = Gate()
    var value: Value?
}

/// Runs `body` on a thread of its own, which nobody waits for. False when there is none to be had.
public func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
    let context = unsafe Unmanaged.passRetained(ThreadBody(body)).toOpaque()
    var thread = pthread_t()
    let code = unsafe pthread_create(
        &thread, nil,
        { context in
            guard let context = unsafe context else { return nil }
            unsafe Unmanaged<ThreadBody>.fromOpaque(context).takeRetainedValue().run()
            return nil
        }, context)
    guard code == 0 else {
        unsafe Unmanaged<ThreadBody>.fromOpaque(context).release()
        return false
    }
    pthread_detach(thread)
    return true
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) {
        self.run = run
    }
}

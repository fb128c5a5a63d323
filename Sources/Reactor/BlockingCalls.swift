internal import DequeModule
internal import Glibc
internal import Timing

/// Why a call that blocks gave no answer.
public enum NoAnswer: Error, Sendable, Equatable {
    /// It still blocks, and its thread ends whenever the call does; or too many others block, and
    /// it had no turn.
    case inTime
    /// There is no thread to be had.
    case noThread
}

/// Runs `call` on a thread of its own and returns what it returned: for calls of the C library
/// that may block, such as look-ups of names, which would hold the loop.
///
/// At most 64 are under way at once, the next ones wait for their turn; `limit` is for both.
@LoopActor
public func blockingCall<Value: Sendable>(
    within limit: Duration, _ call: @escaping @Sendable () -> Value
) async throws(NoAnswer) -> Value {
    let deadline = MonotonicInstant.now().advanced(by: limit)
    guard limit > .zero, await Turns.take(within: limit) else { throw .inTime }
    let answer = Answer<Value>()
    let isStarted = startThread {
        let value = call()
        onLoop {
            Turns.giveBack()
            answer.value = value
            answer.done.open()
        }
    }
    guard isStarted else {
        Turns.giveBack()
        throw .noThread
    }
    await answer.done.wait(atMost: deadline.duration(since: .now()))
    guard let value = answer.value else { throw .inTime }
    return value
}

/// How many calls may block at once: each holds a thread, for as long as a dead server of names
/// or files lets it wait.
@LoopActor
private enum Turns {
    private static let most = 64
    private static var taken = 0
    private static var waiting = Deque<Gate>()

    /// False when there was no turn in time.
    static func take(within limit: Duration) async -> Bool {
        guard taken == most else {
            taken += 1
            return true
        }
        let turn = Gate()
        waiting.append(turn)
        await turn.wait(atMost: limit)
        if !turn.isOpen { waiting.removeAll { $0 === turn } }
        return turn.isOpen
    }

    static func giveBack() {
        // To the next who waits, so that none who comes later is before him.
        if let next = waiting.popFirst() { next.open() } else { taken -= 1 }
    }
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

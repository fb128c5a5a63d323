internal import CLinux
internal import Glibc
internal import Timing

/// Delays and deadlines by CLOCK_MONOTONIC: one heap behind one timerfd(2).
@LoopActor
final class Timers {
    private var queue = FireQueue<UInt64, MonotonicInstant>()
    private var actions: [UInt64: @LoopActor () -> Void] = [:]
    private var lastID: UInt64 = 0
    private var armed: MonotonicInstant?
    private let descriptor: Int32

    init() {
        descriptor = clinux_timerfd_create(Int32(CLOCK_MONOTONIC))
        precondition(descriptor >= 0, "no timerfd to start with")
        do {
            _ = try EventLoop.shared.register(descriptor, for: .readable) { [unowned self] _ in
                expire()
            }
        } catch {
            preconditionFailure("the first timerfd can't be watched: \(error)")
        }
    }

    func add(at instant: MonotonicInstant, _ action: @escaping @LoopActor () -> Void) -> UInt64 {
        lastID += 1
        queue.set(lastID, at: instant)
        actions[lastID] = action
        arm()
        return lastID
    }

    func remove(_ id: UInt64) {
        // The timerfd is left armed: one early wake-up is cheaper than a system call per deadline.
        queue.remove(id)
        actions[id] = nil
    }

    private func arm() {
        guard let next = queue.next else { return }
        if let armed, armed <= next { return }
        armed = next
        // The zero instant would disarm; anything in the past expires at once.
        let nanoseconds = max(1, Int64(clamping: next.nanoseconds))
        let result = clinux_timerfd_settime(
            descriptor, nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000, 0)
        precondition(result == 0, "timerfd_settime failed: \(errno)")
    }

    private func expire() {
        var expirations: UInt64 = 0
        _ = unsafe read(descriptor, &expirations, MemoryLayout<UInt64>.size)
        armed = nil
        for (id, _) in queue.popDue(.now()) {
            actions.removeValue(forKey: id)?()
        }
        arm()
    }
}

extension EventLoop {
    /// A delay under way, to be cancelled by `cancelTimer`.
    public struct TimerID: Sendable {
        fileprivate let id: UInt64
    }

    /// Calls `action` on the loop when `delay` has passed.
    @LoopActor
    public func after(_ delay: Duration, _ action: @escaping @LoopActor () -> Void) -> TimerID {
        TimerID(id: timers.add(at: .now().advanced(by: delay), action))
    }

    /// Takes a delay back; nothing happens when it has already passed.
    @LoopActor
    public func cancelTimer(_ timer: TimerID) {
        timers.remove(timer.id)
    }

    /// Waits for `delay`, or until the task is cancelled.
    @LoopActor
    public func sleep(for delay: Duration) async throws(CancellationError) {
        guard delay > .zero else { return }
        let gate = Gate()
        let timer = after(delay) { gate.open() }
        await gate.wait()
        if !gate.isOpen {
            cancelTimer(timer)
            throw CancellationError()
        }
    }
}

/// Calls an action again and again, until it is cancelled.
@LoopActor
public final class Repeating {
    private let interval: Duration
    private let action: @LoopActor () -> Void
    private var timer: EventLoop.TimerID?

    /// The first time after one interval.
    public init(every interval: Duration, _ action: @escaping @LoopActor () -> Void) {
        self.interval = interval
        self.action = action
        arm()
    }

    public func cancel() {
        if let timer { EventLoop.shared.cancelTimer(timer) }
        timer = nil
    }

    private func arm() {
        timer = EventLoop.shared.after(interval) { [weak self] in
            guard let self else { return }
            arm()
            action()
        }
    }
}

/// Runs `body` on the loop: at once when already there, else as soon as the loop gets to it.
public func onLoop(_ body: @escaping @Sendable @LoopActor () -> Void) {
    if EventLoop.shared.isIsolatingCurrentContext() == true {
        LoopActor.assumeIsolated(body)
    } else {
        startTask(body)
    }
}

/// Starts a task of its own on the loop, child of none. Its executor is named, so that no thread
/// is started. For what serves nobody in particular; all else belongs into a task group.
public func startTask(_ body: @escaping @Sendable @LoopActor () async -> Void) {
    Task(executorPreference: EventLoop.shared) { await body() }
}

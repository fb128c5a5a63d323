internal import CLinux
internal import DequeModule
internal import Glibc
internal import Synchronization
internal import Timing

/// What a registered descriptor waits for.
public struct Interest: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let readable = Interest(rawValue: 1)
    public static let writable = Interest(rawValue: 2)

    fileprivate var events: UInt32 {
        (contains(.readable) ? clinux_EPOLLIN : 0) | (contains(.writable) ? clinux_EPOLLOUT : 0)
    }
}

/// The process's one event loop: epoll(7) and, at the same time, the executor of all Swift tasks.
///
/// Jobs that the loop's own thread enqueues wait in a plain queue; other threads use a locked one
/// and wake the loop by an eventfd(2). Between jobs the loop looks at the kernel at least once in
/// `jobsBetweenPolls` jobs, so that a busy task never starves a due timer.
// Unchecked: every mutable member but `foreign` is touched on the loop's thread only.
public final class EventLoop: SerialExecutor, TaskExecutor, @unchecked Sendable {
    public static let shared = EventLoop()

    private static let jobsBetweenPolls = 256
    private static let wakeUpToken = UInt64.max

    private struct Slot {
        var generation: UInt32
        var handler: (@LoopActor (Interest) -> Void)?
    }

    private let epoll: Int32
    private let wakeUp: Int32
    private let thread = Atomic<UInt>(0)
    private let foreign = Mutex<[UnownedJob]>([])
    private var local = Deque<UnownedJob>()
    private var slots: [Slot] = []
    private var freeSlots: [Int] = []
    private var exitCode: Int32?

    /// Timers by CLOCK_MONOTONIC; see Timers.swift.
    @LoopActor lazy var timers = Timers()

    /// How often epoll_wait(2) returned: a busy loop shows here.
    public private(set) var wakeUps: UInt64 = 0

    private init() {
        epoll = clinux_epoll_create()
        wakeUp = clinux_eventfd()
        let added = clinux_epoll_ctl(
            epoll, EPOLL_CTL_ADD, wakeUp, clinux_EPOLLIN, Self.wakeUpToken)
        // Without these three there is no process to report an error from.
        precondition(epoll >= 0 && wakeUp >= 0 && added == 0, "no epoll or eventfd to start with")
    }

    // MARK: Executor

    public func enqueue(_ job: consuming ExecutorJob) {
        let unowned = UnownedJob(job)
        if isOnThread {
            local.append(unowned)
            return
        }
        let first = foreign.withLock { jobs in
            jobs.append(unowned)
            return jobs.count == 1
        }
        if first { wake() }
    }

    public func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        unsafe UnownedSerialExecutor(ordinary: self)
    }

    public func checkIsolated() {
        precondition(isOnThread, "not on the event loop's thread")
    }

    public func isIsolatingCurrentContext() -> Bool? {
        isOnThread
    }

    private var isOnThread: Bool {
        thread.load(ordering: .relaxed) == UInt(pthread_self())
    }

    private func wake() {
        var one: UInt64 = 1
        // A full counter already wakes the loop: EAGAIN is as good as success.
        _ = unsafe write(wakeUp, &one, MemoryLayout<UInt64>.size)
    }

    // MARK: Running

    /// Runs `root` and every task below it on the calling thread; returns what `root` returns.
    ///
    /// To be called once in a process.
    public func run(_ root: @escaping @Sendable () async -> Int32) -> Int32 {
        thread.store(UInt(pthread_self()), ordering: .relaxed)
        Task(executorPreference: self) {
            let code = await root()
            await self.stop(code)
        }
        var events = unsafe [epoll_event](repeating: epoll_event(), count: 256)
        while true {
            runJobs()
            if let exitCode { return exitCode }
            let patience: Int32 = local.isEmpty ? -1 : 0
            let count = unsafe epoll_wait(epoll, &events, Int32(events.count), patience)
            wakeUps += 1
            if count < 0 {
                precondition(errno == EINTR, "epoll_wait failed: \(errno)")
                continue
            }
            for index in 0..<Int(count) {
                let token = unsafe withUnsafePointer(to: events[index]) {
                    unsafe clinux_epoll_token($0)
                }
                deliver(token, unsafe events[index].events)
            }
        }
    }

    @LoopActor private func stop(_ code: Int32) {
        exitCode = code
    }

    private func runJobs() {
        var left = Self.jobsBetweenPolls
        while left > 0 {
            if local.isEmpty { takeForeign() }
            guard let job = local.popFirst() else { return }
            unsafe job.runSynchronously(
                isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
            left -= 1
        }
        takeForeign()
    }

    private func takeForeign() {
        let jobs = foreign.withLock { jobs -> [UnownedJob] in
            // Given away whole: to keep the capacity would copy it every time.
            guard !jobs.isEmpty else { return [] }
            let taken = jobs
            jobs = []
            return taken
        }
        local.append(contentsOf: jobs)
    }

    private func deliver(_ token: UInt64, _ events: UInt32) {
        guard token != Self.wakeUpToken else {
            var counter: UInt64 = 0
            _ = unsafe read(wakeUp, &counter, MemoryLayout<UInt64>.size)
            return
        }
        let index = Int(token & 0xFFFF_FFFF)
        guard slots.indices.contains(index), slots[index].generation == UInt32(token >> 32),
            let handler = slots[index].handler
        else { return }  // an event for a descriptor that is no longer registered
        var ready: Interest = []
        let broken = events & (clinux_EPOLLERR | clinux_EPOLLHUP) != 0
        if events & clinux_EPOLLIN != 0 || broken { ready.insert(.readable) }
        if events & clinux_EPOLLOUT != 0 || broken { ready.insert(.writable) }
        LoopActor.assumeIsolated { handler(ready) }
    }

    // MARK: Descriptors

    /// Calls `handler` on the loop whenever `descriptor` is ready for `interest` (level-triggered).
    ///
    /// The registration must be cancelled before the descriptor is closed.
    @LoopActor public func register(
        _ descriptor: Int32, for interest: Interest,
        handler: @escaping @LoopActor (Interest) -> Void
    ) throws(SystemError) -> Registration {
        let index: Int
        if let free = freeSlots.popLast() {
            index = free
            slots[index].generation &+= 1
            slots[index].handler = handler
        } else {
            index = slots.count
            slots.append(Slot(generation: 0, handler: handler))
        }
        let token = UInt64(slots[index].generation) << 32 | UInt64(index)
        do {
            try systemCall("epoll_ctl(ADD)") {
                clinux_epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, interest.events, token)
            }
        } catch {
            release(index)
            throw error
        }
        return Registration(descriptor, interest, token, index)
    }

    @LoopActor fileprivate func modify(
        _ descriptor: Int32, _ interest: Interest, _ token: UInt64
    ) {
        // Fails only for a descriptor that is closed or never was added: our own bug.
        let result = clinux_epoll_ctl(
            epoll, EPOLL_CTL_MOD, descriptor, interest.events, token)
        precondition(result == 0, "epoll_ctl(MOD) of a descriptor that is not registered")
    }

    @LoopActor fileprivate func remove(_ descriptor: Int32, _ index: Int) {
        _ = clinux_epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, 0, 0)
        release(index)
    }

    private func release(_ index: Int) {
        slots[index].handler = nil
        freeSlots.append(index)
    }
}

/// One descriptor's place in the loop.
@LoopActor
public final class Registration {
    private let descriptor: Int32
    private let token: UInt64
    private var slot: Int?

    /// What the descriptor waits for now.
    public private(set) var interest: Interest

    fileprivate init(_ descriptor: Int32, _ interest: Interest, _ token: UInt64, _ slot: Int) {
        self.descriptor = descriptor
        self.interest = interest
        self.token = token
        self.slot = slot
    }

    /// Changes what the descriptor waits for; nothing happens after `cancel`.
    public func wait(for interest: Interest) {
        guard slot != nil, interest != self.interest else { return }
        self.interest = interest
        EventLoop.shared.modify(descriptor, interest, token)
    }

    /// Ends the registration; no handler is called afterwards. May be called again.
    public func cancel() {
        guard let slot else { return }
        self.slot = nil
        EventLoop.shared.remove(descriptor, slot)
    }
}

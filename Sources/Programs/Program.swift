internal import CLinux
internal import Glibc
public import Reactor

/// How a program ended: wait(2).
public enum Ending: Sendable, Equatable {
    case exited(code: Int32)
    case signalled(Int32)

    /// The exit code, when it ended by itself.
    public var code: Int32? {
        if case .exited(let code) = self { code } else { nil }
    }
}

/// What a program left behind.
public struct Completion: Sendable, Equatable {
    public let ending: Ending
    public let output: CapturedOutput
    public let error: CapturedOutput
}

/// A running program: its whole process group, its output, its end.
@LoopActor
public final class Program {
    /// How long output is still read after the program itself has ended, since a child of it may
    /// hold the pipe open for ever.
    public static let outputGrace: Duration = .seconds(5)

    /// The process, and the number of its group.
    public let pid: Int32

    private let pidfd: Descriptor
    private let grace: Duration
    private let output: Capture
    private let error: Capture
    private var watch: Registration?
    private var ending: Ending?
    /// Open when the program has ended; some of its output may still be on its way.
    public let ended = Gate()
    private var killTimer: EventLoop.TimerID?
    private var graceTimer: EventLoop.TimerID?

    /// Starts a program; throws when it can't be.
    ///
    /// `outputGrace` is how long its output is read after its own end.
    public static func start(
        _ invocation: Invocation, outputGrace: Duration = outputGrace
    ) throws(SpawnError) -> Program {
        let child = try spawn(invocation)
        let pid = child.pid
        do throws(SystemError) {
            return try Program(child, invocation.outputLimit, outputGrace)
        } catch {
            // Its end could not be seen: it must not run on unwatched.
            killAndReap(pid)
            throw SpawnError(program: invocation.program, cause: error)
        }
    }

    private init(
        _ child: consuming Child, _ limit: Int, _ grace: Duration
    ) throws(SystemError) {
        self.grace = grace
        pid = child.pid
        pidfd = Descriptor(owning: child.pidfd)
        output = Capture(Descriptor(owning: child.output), limit: limit)
        error = Capture(Descriptor(owning: child.error), limit: limit)
        try output.start()
        try error.start()
        // Keeps itself until its end: also who is not waited for is reaped.
        watch = try EventLoop.shared.register(pidfd.number, for: .readable) { [self] _ in reap() }
    }

    /// Waits for the end of the program and of its output.
    public func completion() async -> Completion {
        // Not cut short by a cancelled task: whoever cancels also stops the program.
        await ended.waitUninterrupted()
        await output.closed.waitUninterrupted()
        await error.closed.waitUninterrupted()
        if let graceTimer { EventLoop.shared.cancelTimer(graceTimer) }
        return Completion(
            ending: ending ?? .exited(code: -1), output: output.captured, error: error.captured)
    }

    /// SIGTERM to the whole group, and SIGKILL when it is not gone after `grace`.
    public func stop(grace: Duration) {
        guard ending == nil else { return }
        kill(-pid, SIGTERM)
        // A stopped process would never see it.
        kill(-pid, SIGCONT)
        if killTimer == nil {
            killTimer = EventLoop.shared.after(grace) { [weak self] in self?.killNow() }
        }
    }

    /// A signal to the program alone, not to its group; nothing when it has ended.
    public func send(_ signal: Int32) {
        guard ending == nil else { return }
        kill(pid, signal)
    }

    /// SIGKILL to the whole group at once.
    public func killNow() {
        guard ending == nil else { return }
        kill(-pid, SIGKILL)
    }

    private func reap() {
        if let killTimer {
            // It was told to stop: what is left of its group goes with it. Before it is reaped,
            // since afterwards the number may be another group's.
            kill(-pid, SIGKILL)
            EventLoop.shared.cancelTimer(killTimer)
        }
        var status: Int32 = 0
        guard unsafe waitpid(pid, &status, WNOHANG) == pid else { return }
        watch?.cancel()
        watch = nil
        ending =
            clinux_exited(status) != 0
            ? .exited(code: clinux_exit_code(status)) : .signalled(clinux_term_signal(status))
        graceTimer = EventLoop.shared.after(grace) { [output, error] in
            output.cutOff()
            error.cutOff()
        }
        ended.open()
    }
}

/// Reads one pipe to its end into a bounded buffer.
@LoopActor
private final class Capture {
    /// Of one read; a pipe holds no more unless somebody enlarged it.
    private static let chunk = 65_536

    private let descriptor: Descriptor
    private var registration: Registration?
    let closed = Gate()
    private(set) var captured: CapturedOutput

    init(_ descriptor: consuming Descriptor, limit: Int) {
        self.descriptor = descriptor
        captured = CapturedOutput(limit: limit)
    }

    isolated deinit {
        registration?.cancel()
    }

    func start() throws(SystemError) {
        registration = try EventLoop.shared.register(descriptor.number, for: .readable) {
            [unowned self] _ in read()
        }
    }

    /// Takes what lies in the pipe, and nothing after it.
    func cutOff() {
        read()
        close()
    }

    private func read() {
        guard !closed.isOpen else { return }
        // One read a turn, so that a flood does not keep the loop from its timers.
        var isAtEnd = false
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: Self.chunk) { buffer, count in
            let result = unsafe Glibc.read(descriptor.number, buffer.baseAddress, Self.chunk)
            isAtEnd = result == 0 || (result < 0 && errno != EAGAIN && errno != EINTR)
            count = max(0, result)
        }
        captured.append(bytes)
        if isAtEnd { close() }
    }

    private func close() {
        registration?.cancel()
        registration = nil
        closed.open()
    }
}

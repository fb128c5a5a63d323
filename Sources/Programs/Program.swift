internal import CLinux
internal import Glibc
public import Reactor

/// How a program ended: wait(2).
public enum Ending: Sendable, Equatable {
    case exited(code: Int32)
    case signalled(Int32)
    /// Somebody else waited for it: how it ended is not known.
    case lost

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

    /// All that run, by their process; each keeps itself here until its end, so that also who is
    /// not waited for is reaped.
    static var running: [Int32: Program] = [:]

    private let pidfd: Descriptor
    private let grace: Duration
    /// Its standard input, when it is streamed.
    public let input: InputStream?
    /// Its standard output, when it is streamed: to be read to its end or closed, else the program
    /// waits for ever.
    public let output: OutputStream?
    private let captured: Capture?
    private let error: Capture
    private let family: Family
    private var watch: Registration?
    private var ending: Ending?
    /// Open when the program has ended; some of its output may still be on its way.
    public let ended = Gate()
    private var graceTimer: EventLoop.TimerID?
    private var stop: Stop?

    /// Starts a program; throws when it can't be.
    ///
    /// `outputGrace` is how long its output is read after its own end.
    public static func start(
        _ invocation: Invocation, outputGrace: Duration = outputGrace
    ) throws(SpawnError) -> Program {
        let child = try spawn(invocation)
        let pid = child.pid
        do throws(SystemError) {
            let program = try Program(child, invocation, outputGrace)
            running[pid] = program
            return program
        } catch {
            // Its end could not be seen: it must not run on unwatched.
            killAndReap(pid)
            throw SpawnError(program: invocation.program, cause: error)
        }
    }

    private init(
        _ child: consuming Child, _ invocation: Invocation, _ grace: Duration
    ) throws(SystemError) {
        self.grace = grace
        pid = child.pid
        pidfd = Descriptor(owning: child.pidfd)
        input = child.input < 0 ? nil : InputStream(Descriptor(owning: child.input))
        let descriptor = Descriptor(owning: child.output)
        if invocation.output == .streamed {
            output = OutputStream(descriptor)
            captured = nil
        } else {
            output = nil
            captured = Capture(descriptor, limit: invocation.outputLimit)
        }
        error = Capture(Descriptor(owning: child.error), limit: invocation.outputLimit)
        let pipes = [input?.end.pipe, output?.end.pipe, captured?.pipe, error.pipe]
        family = Family(
            program: pid, mark: invocation.mark, pipes: Set(pipes.compactMap(\.self)))
        try captured?.start()
        try error.start()
        watch = try EventLoop.shared.register(pidfd.number, for: .readable) {
            [unowned self] _ in reap()
        }
    }

    /// The numbers of its pipes, as proc_pid_fd(5) shows them.
    var pipes: Set<UInt64> { family.pipes }

    /// Waits for the end of the program and of its captured output; when it was told to stop, also
    /// for the end of all that came of it.
    public func completion() async -> Completion {
        // Not cut short by a cancelled task: whoever cancels also stops the program.
        await ended.waitUninterrupted()
        await stop?.done.waitUninterrupted()
        await captured?.closed.waitUninterrupted()
        await error.closed.waitUninterrupted()
        // A stream may be in use still.
        if let graceTimer, input == nil, output == nil {
            EventLoop.shared.cancelTimer(graceTimer)
        }
        return Completion(
            ending: ending ?? .lost, output: captured?.captured ?? CapturedOutput(limit: 0),
            error: error.captured)
    }

    /// A signal to the program alone, not to its group; nothing when it has ended.
    public func send(_ signal: Int32) {
        guard ending == nil else { return }
        kill(pid, signal)
    }

    /// Waits for it, if it has ended.
    func reap() {
        guard ending == nil else { return }
        var status: Int32 = 0
        let result = unsafe waitpid(pid, &status, WNOHANG)
        if result == pid {
            ending =
                clinux_exited(status) != 0
                ? .exited(code: clinux_exit_code(status)) : .signalled(clinux_term_signal(status))
        } else if result < 0, errno == ECHILD {
            ending = .lost
        } else {
            return
        }
        watch?.cancel()
        watch = nil
        Self.running[pid] = nil
        graceTimer = EventLoop.shared.after(grace) { [input, output, captured, error] in
            input?.end.cut()
            output?.cutOff()
            captured?.cutOff()
            error.cutOff()
        }
        ended.open()
    }

    // MARK: Stopping

    /// SIGTERM to the program and all that came of it, and SIGKILL to what is left after `grace`.
    ///
    /// `Family` says who is found. Nothing when it has ended; a second call can but shorten the
    /// grace.
    public func stop(grace: Duration) {
        guard ending == nil else { return }
        if let stop { return stop.shorten(to: grace) }
        let stop = Stop(family, ended: ended, grace: grace)
        self.stop = stop
        startTask { await stop.run() }
    }
}

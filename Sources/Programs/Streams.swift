internal import CLinux
internal import Glibc
public import Reactor

/// Why bytes do not go on from or to a program.
public enum StreamError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The program has ended, and what it left behind still holds its output open after the grace:
    /// whether all has come is not known.
    case heldOpen
    /// The program takes no more input: it has closed it or has ended (EPIPE). How it ended tells
    /// whether that is a failure.
    case closed
    case failed(SystemError)

    public var description: String {
        switch self {
        case .heldOpen:
            "the program has ended, but a process that it left behind holds its output open: "
                + "whether this was all is not known"
        case .closed: "the program has closed its input"
        case .failed(let error): "\(error)"
        }
    }
}

/// One end of a pipe, used by one task at a time and closed by anybody.
@LoopActor
final class PipeEnd {
    private var descriptor: Descriptor?
    /// For calls while `isOpen`.
    let number: Int32
    private let interest: Interest
    private(set) var isOpen = true
    private var isInUse = false
    /// The program has ended and the grace is over.
    private(set) var isCut = false
    /// Opened to wake who waits: by a close or by the cut.
    private let interruption = Gate()

    init(_ descriptor: consuming Descriptor, for interest: Interest) {
        number = descriptor.number
        self.descriptor = consume descriptor
        self.interest = interest
    }

    /// The number by which proc_pid_fd(5) names the pipe; nil when it can't be told.
    var pipe: UInt64? { isOpen ? pipeNumber(number) : nil }

    /// Begins a use; two at once would mix their bytes.
    func begin() {
        precondition(!isInUse, "a stream of a program has one user at a time")
        isInUse = true
    }

    func end() {
        isInUse = false
        if !isOpen { descriptor = nil }
    }

    func close() {
        guard isOpen else { return }
        isOpen = false
        interruption.open()
        if !isInUse { descriptor = nil }
    }

    func cut() {
        isCut = true
        interruption.open()
    }

    /// Returns when the end is ready, was closed, or was cut. Only while somebody waits is it
    /// registered: epoll(7) reports a hang-up whether asked or not.
    func wait() async throws(StreamError) {
        let ready = Gate()
        let registration: Registration
        do throws(SystemError) {
            registration = try EventLoop.shared.register(number, for: interest) { _ in
                ready.open()
            }
        } catch {
            throw .failed(error)
        }
        await ready.wait(orFor: interruption)
        registration.cancel()
    }
}

/// The output of a program, taken piece by piece: while nobody pulls nothing is read, and the
/// program waits for room in the pipe (64 KiB, pipe(7)).
@LoopActor
public final class OutputStream {
    private static let chunk = 65_536

    let end: PipeEnd
    /// What lay in the pipe at the cut: no more is taken.
    private var leftAtCut = 0

    init(_ descriptor: consuming Descriptor) {
        end = PipeEnd(descriptor, for: .readable)
    }

    /// The next bytes, 64 KiB at most; nil at the end, and after `close`. One pull at a time.
    ///
    /// The end also comes when the program was killed: its `completion` tells.
    public func next() async throws(StreamError) -> [UInt8]? {
        end.begin()
        defer { end.end() }
        // A fast program must not keep the loop from all others.
        await Task.yield()
        while end.isOpen {
            let isLast = end.isCut && leftAtCut == 0
            let wanted = isLast ? 1 : end.isCut ? min(leftAtCut, Self.chunk) : Self.chunk
            var code: Int32 = 0
            var isAtEnd = false
            let bytes = unsafe [UInt8](unsafeUninitializedCapacity: wanted) { buffer, count in
                let result = unsafe read(end.number, buffer.baseAddress, wanted)
                if result < 0 { code = errno }
                isAtEnd = result == 0
                count = max(0, result)
            }
            if isAtEnd {
                end.close()
            } else if isLast, code != EINTR {
                end.close()
                throw .heldOpen
            } else if code == 0 {
                leftAtCut -= end.isCut ? bytes.count : 0
                return bytes
            } else if code == EAGAIN, end.isCut {
                leftAtCut = 0
            } else if code == EAGAIN {
                try await end.wait()
            } else if code != EINTR {
                end.close()
                throw .failed(SystemError(call: "read", code: code))
            }
        }
        return nil
    }

    /// Wants no more: the program gets SIGPIPE when it writes on.
    public func close() {
        end.close()
    }

    /// What lies in the pipe may still be taken, and nothing after it.
    func cutOff() {
        guard end.isOpen else { return }
        leftAtCut = max(0, Int(clinux_bytes_in_pipe(end.number)))
        end.cut()
    }
}

/// The input of a program, given piece by piece.
@LoopActor
public final class InputStream {
    private static let chunk = 65_536
    /// A write to a program that reads no more has to be an error, and no signal, signal(7).
    /// Programs have their defaults back.
    private static let ignoringSignal: Void = { _ = signal(SIGPIPE, SIG_IGN) }()

    let end: PipeEnd

    init(_ descriptor: consuming Descriptor) {
        Self.ignoringSignal
        end = PipeEnd(descriptor, for: .writable)
    }

    /// Returns when all of `bytes` are in the pipe, 64 KiB of which may wait there to be read.
    /// Throws `closed` when the program takes no more, or after `finish`. One write at a time.
    public func write(_ bytes: some Collection<UInt8> & Sendable) async throws(StreamError) {
        end.begin()
        defer { end.end() }
        var rest = Array(bytes)[...]
        while !rest.isEmpty {
            await Task.yield()
            guard end.isOpen else { throw .closed }
            let count = unsafe rest.withUnsafeBytes { buffer in
                unsafe Glibc.write(end.number, buffer.baseAddress, min(buffer.count, Self.chunk))
            }
            let code = count < 0 ? errno : 0
            switch code {
            case 0:
                rest = rest.dropFirst(count)
            case EINTR:
                continue
            case EAGAIN where !end.isCut:
                try await end.wait()
            case EAGAIN, EPIPE:
                end.close()
                throw .closed
            default:
                end.close()
                throw .failed(SystemError(call: "write", code: code))
            }
        }
    }

    /// The program reads its end of input once all was read. May be called again.
    public func finish() {
        end.close()
    }
}

/// The number by which proc_pid_fd(5) names a pipe.
func pipeNumber(_ descriptor: Int32) -> UInt64? {
    var status = stat()
    return unsafe fstat(descriptor, &status) == 0 ? UInt64(status.st_ino) : nil
}

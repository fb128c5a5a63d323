internal import CLinux
internal import Glibc
public import Reactor

/// What to start and how.
public struct Invocation: Sendable, Equatable {
    /// A path, or a name that is looked up in PATH. No shell is involved.
    public var program: String
    /// What follows argv[0].
    public var arguments: [String]
    /// `NAME=value`; nothing else is passed on.
    public var environment: [String]
    /// How many bytes of each captured output are kept.
    public var outputLimit: Int
    /// Where its standard input comes from.
    public var input = Input.nothing
    /// Where its standard output goes; standard error is always captured.
    public var output = Output.captured
    /// Where it is and as whom it runs; without, it is looked up by posix_spawnp(3), and runs as
    /// our user in our folder.
    public var footing: Footing?
    /// An entry of `environment` that no other invocation has: by it `Program.stop` knows again
    /// what the program has left behind.
    private(set) var mark: String?

    public enum Input: Sendable, Equatable {
        /// /dev/null
        case nothing
        /// From `Program.input`.
        case streamed
    }

    public enum Output: Sendable, Equatable {
        case captured
        /// To `Program.output`, as fast as that is read.
        case streamed
    }

    public init(
        program: String, arguments: [String] = [], environment: [String] = [],
        outputLimit: Int = 65_536, footing: Footing? = nil
    ) {
        self.program = program
        self.arguments = arguments
        self.environment = environment
        self.outputLimit = outputLimit
        self.footing = footing
    }

    @LoopActor private static var marks: UInt64 = 0

    /// Adds TIMETABLE_INVOCATION to the environment: our process and a number of this invocation.
    @LoopActor
    public mutating func markAsOne() {
        Self.marks += 1
        let entry = "TIMETABLE_INVOCATION=\(getpid()).\(Self.marks)"
        environment.append(entry)
        mark = entry
    }

    /// What is executed, and its arguments from argv[0] on.
    ///
    /// setpriv(1) takes the user's number, group and supplementary groups. It keeps root's
    /// capabilities up to its own exec, and could so start what the user may not: therefore it
    /// first becomes itself once more. The program's argv[0] is its path then.
    fileprivate var command: (file: String, arguments: [String]) {
        guard let footing else { return (program, [program] + arguments) }
        guard let setpriv = footing.setpriv, let account = footing.account else {
            return (footing.file, [program] + arguments)
        }
        let asUser = ["--reuid=\(account.uid)", "--regid=\(account.gid)", "--init-groups"]
        let bare = "--inh-caps=-all"
        return (
            setpriv,
            ["setpriv"] + asUser + [bare, "--", setpriv, bare, "--", footing.file] + arguments
        )
    }
}

/// A program that could not be started.
public struct SpawnError: Error, Sendable, Equatable, CustomStringConvertible {
    public let program: String
    public let cause: SystemError

    public var description: String {
        switch cause.code {
        case ENOENT:
            "program '\(program)' does not exist (or its interpreter); no shell is used: "
                + "give the path of a program, and its arguments as parameters"
        case EACCES:
            "program '\(program)' may not be run: \(cause)"
        case ENOEXEC:
            "program '\(program)' has no format that can be run; a script needs a first line "
                + "such as #!/bin/sh"
        case EINVAL:
            "program '\(program)': its arguments and environment can't hold a NUL"
        case E2BIG:
            "program '\(program)': its arguments and environment are too long"
        default:
            "program '\(program)' can't be started: \(cause)"
        }
    }
}

/// A child process with our ends of its pipes.
struct Child: ~Copyable {
    let pid: pid_t
    let pidfd: Int32
    /// −1 when its input is /dev/null.
    let input: Int32
    let output: Int32
    let error: Int32
}

/// What a program has as one of its standard descriptors, and our end of it.
private struct Channel: ~Copyable {
    let theirs: Descriptor
    /// Nil for /dev/null.
    private var ours: Descriptor?

    /// A pipe(7), both ends close-on-exec; only ours does not block.
    init(weRead: Bool) throws(SystemError) {
        var ends: [Int32] = [-1, -1]
        try systemCall("pipe2") { unsafe clinux_pipe(&ends) }
        let reading = Descriptor(owning: ends[0])
        let writing = Descriptor(owning: ends[1])
        if weRead {
            ours = consume reading
            theirs = consume writing
        } else {
            try systemCall("fcntl") { fcntl(reading.number, F_SETFL, 0) }
            try systemCall("fcntl") { fcntl(writing.number, F_SETFL, O_NONBLOCK) }
            ours = consume writing
            theirs = consume reading
        }
    }

    /// /dev/null, to be read.
    init() throws(SystemError) {
        theirs = Descriptor(
            owning: try systemCall("open") { unsafe open("/dev/null", O_RDONLY | O_CLOEXEC) })
        ours = nil
    }

    /// Gives our end away and closes the other; −1 when there is none.
    consuming func release() -> Int32 {
        let end = ours.take()
        return end?.release() ?? -1
    }
}

/// Starts a program in a process group of its own: posix_spawn(3), pidfd_open(2).
///
/// Standard input is /dev/null unless it is streamed, no other descriptor is inherited, all signals
/// are at their defaults and none is blocked.
func spawn(_ invocation: Invocation) throws(SpawnError) -> Child {
    let texts = invocation.command.arguments + invocation.environment
    guard !texts.contains(where: { $0.utf8.contains(0) }) else {
        // A C string would end there, silently.
        throw SpawnError(
            program: invocation.program, cause: SystemError(call: "posix_spawn", code: EINVAL))
    }
    do throws(SystemError) {
        let input = invocation.input == .streamed ? try Channel(weRead: false) : try Channel()
        let output = try Channel(weRead: true)
        let error = try Channel(weRead: true)
        let pid = try launch(
            invocation, input.theirs.number, output.theirs.number, error.theirs.number)
        let pidfd: Int32
        do throws(SystemError) {
            pidfd = try systemCall("pidfd_open") { clinux_pidfd_open(pid) }
        } catch {
            // Without a pidfd its end could not be seen: it must not run on unwatched.
            killAndReap(pid)
            throw error
        }
        return Child(
            pid: pid, pidfd: pidfd, input: input.release(), output: output.release(),
            error: error.release())
    } catch {
        throw SpawnError(program: invocation.program, cause: error)
    }
}

/// Ends a child at once: SIGKILL can't be ignored, so the wait is short.
func killAndReap(_ pid: pid_t) {
    kill(-pid, SIGKILL)
    var status: Int32 = 0
    while unsafe waitpid(pid, &status, 0) < 0, errno == EINTR {}
}

private func launch(
    _ invocation: Invocation, _ input: Int32, _ output: Int32, _ error: Int32
) throws(SystemError) -> pid_t {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_adddup2(&actions, input, 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, output, 1)
    unsafe posix_spawn_file_actions_adddup2(&actions, error, 2)
    // Not all that is open in the daemon is close-on-exec: libraries forget it.
    _ = unsafe clinux_spawn_closes_from(&actions, 3)
    if let folder = invocation.footing?.folder {
        _ = unsafe clinux_spawn_changes_folder(&actions, folder)
    }

    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    var all = sigset_t()
    unsafe sigfillset(&all)
    var none = sigset_t()
    unsafe sigemptyset(&none)
    unsafe posix_spawnattr_setsigdefault(&attributes, &all)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setpgroup(&attributes, 0)
    let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK
    unsafe posix_spawnattr_setflags(&attributes, Int16(flags))

    let command = invocation.command
    let arguments = CStrings(command.arguments)
    let environment = CStrings(invocation.environment)
    var pid: pid_t = 0
    // The error is the result, not errno.
    let code = unsafe posix_spawnp(
        &pid, command.file, &actions, &attributes, arguments.list, environment.list)
    guard code == 0 else { throw SystemError(call: "posix_spawn", code: code) }
    return pid
}

/// A NULL-ended list of C strings, as execve(2) takes it; freed with its owner.
@safe
private struct CStrings: ~Copyable {
    let list: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ strings: [String]) {
        count = strings.count
        unsafe list = .allocate(capacity: strings.count + 1)
        for (index, string) in strings.enumerated() {
            unsafe list[index] = strdup(string)
        }
        unsafe list[strings.count] = nil
    }

    deinit {
        for index in 0..<count { unsafe free(list[index]) }
        unsafe list.deallocate()
    }
}

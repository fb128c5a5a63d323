import CLinux
import Glibc

/// A call of the C library that failed, with its name and errno.
public struct CallFailed: Error, CustomStringConvertible {
    public let call: String
    public let code: Int32

    public var description: String {
        "\(call): \(unsafe String(cString: strerror(code)))"
    }
}

/// How a program ended.
public enum ProgramEnd: Equatable, Sendable {
    case exited(Int32)
    case signalled(Int32)

    init(waitStatus: Int32) {
        self =
            clinux_exited(waitStatus) != 0
            ? .exited(clinux_exit_code(waitStatus)) : .signalled(clinux_term_signal(waitStatus))
    }
}

/// Both ends of a pipe(2), close-on-exec, so that no other program holds one open by accident.
struct Pipe {
    let reading: Int32
    let writing: Int32

    enum NonBlocking { case reading, writing }

    /// Our end does not block; the end that a program gets does.
    init(nonBlocking end: NonBlocking) throws(CallFailed) {
        var ends: [Int32] = [-1, -1]
        guard unsafe clinux_pipe(&ends) == 0 else { throw CallFailed(call: "pipe2", code: errno) }
        reading = ends[0]
        writing = ends[1]
        guard end == .writing else { return }
        _ = fcntl(reading, F_SETFL, 0)
        _ = fcntl(writing, F_SETFL, O_NONBLOCK)
    }
}

/// What a program is started with. Descriptors stay open on our side.
struct Spawn {
    var path: String
    var arguments: [String]
    var environment: [String: String]
    var input: Int32
    var output: Int32
    var errors: Int32
    /// Its own process group: Ctrl-C at the terminal then reaches the tests only.
    var ownGroup = true

    /// Starts the program by posix_spawnp(3) with an empty signal mask and default handlers.
    func start() throws(CallFailed) -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        for (ours, theirs) in [(input, STDIN_FILENO), (output, STDOUT_FILENO)] {
            unsafe posix_spawn_file_actions_adddup2(&actions, ours, theirs)
        }
        unsafe posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO)

        var attributes = posix_spawnattr_t()
        unsafe posix_spawnattr_init(&attributes)
        defer { unsafe posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        unsafe sigemptyset(&none)
        var all = sigset_t()
        unsafe sigfillset(&all)
        unsafe posix_spawnattr_setsigmask(&attributes, &none)
        unsafe posix_spawnattr_setsigdefault(&attributes, &all)
        var flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        if ownGroup { flags |= POSIX_SPAWN_SETPGROUP }
        unsafe posix_spawnattr_setflags(&attributes, Int16(flags))

        let variables = environment.map { "\($0.key)=\($0.value)" }
        var pid: pid_t = 0
        let code = unsafe withCStrings([path] + arguments) { argv in
            unsafe withCStrings(variables) { envp in
                unsafe posix_spawnp(&pid, path, &actions, &attributes, argv, envp)
            }
        }
        guard code == 0 else { throw CallFailed(call: "posix_spawnp \(path)", code: code) }
        return pid
    }
}

/// Runs `body` with a null-terminated array of C strings.
private func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var pointers = unsafe strings.map { unsafe strdup($0) }
    unsafe pointers.append(nil)
    defer { while let pointer = unsafe pointers.popLast() { unsafe free(pointer) } }
    return unsafe pointers.withUnsafeMutableBufferPointer { buffer in
        guard let start = buffer.baseAddress else { preconditionFailure("the array has a nil") }
        return unsafe body(start)
    }
}

/// Appends all that can be read now; false at the end of the file.
func readAvailable(_ descriptor: Int32, into bytes: inout [UInt8]) -> Bool {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = unsafe read(descriptor, &chunk, chunk.count)
        if count > 0 {
            bytes.append(contentsOf: chunk[..<count])
        } else if count == 0 {
            return false
        } else if errno != EINTR {
            return errno == EAGAIN
        }
    }
}

/// The environment of the tests without what would lead a program to another database or to
/// our own service manager.
func cleanEnvironment(adding extra: [String: String]) -> [String: String] {
    var result: [String: String] = [:]
    var position = unsafe environ
    while let entry = unsafe position.pointee {
        let text = unsafe String(cString: entry)
        unsafe position += 1
        guard let equals = text.firstIndex(of: "=") else { continue }
        let name = String(text[..<equals])
        let strays = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS"]
        if name.hasPrefix("PG") || strays.contains(name) { continue }
        result[name] = String(text[text.index(after: equals)...])
    }
    return result.merging(extra) { $1 }
}

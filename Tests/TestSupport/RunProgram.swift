import CLinux
import Dispatch
import Foundation
import Glibc

/// What a program left behind.
public struct ProgramResult: Sendable {
    public let end: ProgramEnd
    public let stdout: String
    public let stderr: String
}

/// A program that was still running at its limit, and was killed.
public struct ProgramTimedOut: Error, CustomStringConvertible {
    public let path: String
    public let limit: Duration
    public let stdout: String
    public let stderr: String

    public var description: String {
        "\(path) still ran after \(limit)\nstdout: \(stdout)\nstderr: \(stderr)"
    }
}

/// Runs a program to its end and returns what it wrote, blocking the thread.
///
/// `path` without a slash is looked up on PATH. Output of children that outlive the program is
/// kept up to the program's end, and not waited for.
///
/// - Throws: `CallFailed` when it can't be started, `ProgramTimedOut` after `limit`.
public func runProgram(
    _ path: String, _ arguments: [String] = [], environment: [String: String] = [:],
    stdin: String = "", limit: Duration = .seconds(60)
) throws -> ProgramResult {
    var run = try RunningProgram(path, arguments, environment: environment, stdin: stdin)
    return try run.finish(path: path, limit: limit)
}

/// The same on a thread of its own: Swift's pool has one thread a core, and a program that waits
/// for another test must not hold one of them.
public func runProgram(
    _ path: String, _ arguments: [String] = [], environment: [String: String] = [:],
    stdin: String = "", limit: Duration = .seconds(60)
) async throws -> ProgramResult {
    try await onOwnThread {
        try runProgram(
            path, arguments, environment: environment, stdin: stdin, limit: limit)
    }
}

/// Runs blocking work, such as the start of a server, on a new thread.
public func onOwnThread<Result: Sendable>(
    _ body: @escaping @Sendable () throws -> Result
) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread {
            continuation.resume(with: Swift.Result { try body() })
        }
    }
}

/// The state of one `runProgram`: the pipes, and what went through them so far.
private struct RunningProgram {
    private let pid: pid_t
    private let pidfd: Int32
    private var output: Int32
    private var errors: Int32
    private var input: Int32
    private var unwritten: ArraySlice<UInt8>
    private var stdout: [UInt8] = []
    private var stderr: [UInt8] = []

    init(
        _ path: String, _ arguments: [String], environment: [String: String], stdin: String
    ) throws {
        // A program that does not read its stdin must not end the tests.
        signal(SIGPIPE, SIG_IGN)
        let toProgram = try Pipe(nonBlocking: .writing)
        let fromProgram = try Pipe(nonBlocking: .reading)
        let fromErrors = try Pipe(nonBlocking: .reading)
        defer {
            close(toProgram.reading)
            close(fromProgram.writing)
            close(fromErrors.writing)
        }
        do {
            pid = try Spawn(
                path: path, arguments: arguments,
                environment: cleanEnvironment(adding: environment), input: toProgram.reading,
                output: fromProgram.writing, errors: fromErrors.writing
            ).start()
        } catch {
            close(toProgram.writing)
            close(fromProgram.reading)
            close(fromErrors.reading)
            throw error
        }
        pidfd = clinux_pidfd_open(pid)
        (input, output, errors) = (toProgram.writing, fromProgram.reading, fromErrors.reading)
        unwritten = Array(stdin.utf8)[...]
    }

    mutating func finish(path: String, limit: Duration) throws -> ProgramResult {
        defer {
            for descriptor in [pidfd, output, errors, input] where descriptor >= 0 {
                close(descriptor)
            }
        }
        let deadline = ContinuousClock.now + limit
        while true {
            writeInput()
            let left = (deadline - .now) / .milliseconds(1)
            var polls = [
                pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0),
                pollfd(fd: output, events: Int16(POLLIN), revents: 0),
                pollfd(fd: errors, events: Int16(POLLIN), revents: 0),
                pollfd(fd: input, events: Int16(POLLOUT), revents: 0),
            ]
            let ready = unsafe poll(&polls, nfds_t(polls.count), Int32(max(0, left)))
            readOrClose(&output, into: &stdout)
            readOrClose(&errors, into: &stderr)
            if polls[0].revents != 0 { break }
            if ready == 0 {
                kill(-pid, SIGKILL)
                _ = reap()
                throw ProgramTimedOut(
                    path: path, limit: limit, stdout: String(decoding: stdout, as: UTF8.self),
                    stderr: String(decoding: stderr, as: UTF8.self))
            }
        }
        return ProgramResult(
            end: reap(), stdout: String(decoding: stdout, as: UTF8.self),
            stderr: String(decoding: stderr, as: UTF8.self))
    }

    /// Reads what is there. A pipe at its end is closed: poll(2) would report it for ever.
    private func readOrClose(_ descriptor: inout Int32, into bytes: inout [UInt8]) {
        guard descriptor >= 0, !readAvailable(descriptor, into: &bytes) else { return }
        close(descriptor)
        descriptor = -1
    }

    private mutating func writeInput() {
        while input >= 0 {
            if unwritten.isEmpty {
                close(input)
                input = -1
                return
            }
            let count = unsafe unwritten.withUnsafeBytes { bytes in
                unsafe write(input, bytes.baseAddress, bytes.count)
            }
            if count > 0 {
                unwritten = unwritten.dropFirst(count)
            } else if errno == EPIPE {
                unwritten = []
            } else if errno != EINTR {
                return
            }
        }
    }

    private func reap() -> ProgramEnd {
        var status: Int32 = 0
        while unsafe waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return ProgramEnd(waitStatus: status)
    }
}

import CLinux
import Foundation
import Glibc
import Synchronization

/// A running `carillon`, or another program to be watched like one.
///
/// It is killed when the last reference goes, and by the kernel when the tests end in any way.
public final class DaemonProcess: Sendable {
    public let pid: Int32
    private let record: DaemonRecord
    private let notifyFolder: String?

    /// Starts the program.
    ///
    /// - Parameters:
    ///   - environment: added to that of the tests, less PG* and NOTIFY_SOCKET.
    ///   - notify: gives it a NOTIFY_SOCKET whose datagrams are collected, as systemd does.
    ///   - program: the built `carillon` if nil.
    public init(
        _ arguments: [String], environment: [String: String] = [:], notify: Bool = false,
        program: String? = nil
    ) throws {
        let program = try program ?? Self.builtCarillon()
        var environment = cleanEnvironment(adding: environment)
        notifyFolder = notify ? try makeTemporaryFolder("carillon-notify") : nil
        let notifyPath = notifyFolder.map { "\($0)/s" }
        environment["NOTIFY_SOCKET"] = notifyPath
        let notifySocket = try notifyPath.map(Self.bindDatagramSocket) ?? -1
        let stdout = try Pipe(nonBlocking: .reading)
        let stderr = try Pipe(nonBlocking: .reading)
        let nothing = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer { for end in [stdout.writing, stderr.writing, nothing] { close(end) } }
        // setpriv(1) becomes the program: the process id stays.
        let spawn = Spawn(
            path: "setpriv", arguments: ["--pdeathsig", "KILL", program] + arguments,
            environment: environment, input: nothing, output: stdout.writing,
            errors: stderr.writing)
        let pid = try SpawnThread.shared.run { try spawn.start() }
        let pidfd = clinux_pidfd_open(pid)
        let record = DaemonRecord(pid: pid)
        self.pid = pid
        self.record = record
        Thread.detachNewThread {
            record.watch(
                pidfd: pidfd, output: stdout.reading, errors: stderr.reading,
                notify: notifySocket)
        }
    }

    deinit {
        record.signal(SIGKILL)
        while record.state.withLock({ $0.end == nil }) { usleep(1_000) }
        if let notifyFolder { try? FileManager.default.removeItem(atPath: notifyFolder) }
    }

    /// All lines so far, in the order in which they were read.
    public var lines: [DaemonLine] { record.state.withLock { $0.lines } }

    /// All readiness datagrams so far, each as it was sent.
    public var datagrams: [String] { record.state.withLock { $0.datagrams } }

    /// How it ended; nil while it runs.
    public var end: ProgramEnd? { record.state.withLock { $0.end } }

    /// SIGTERM: it is asked to end.
    public func terminate() { record.signal(SIGTERM) }

    /// SIGKILL: it ends at once, with nothing tidied.
    public func kill() { record.signal(SIGKILL) }

    /// SIGSTOP: it is frozen until `resume`.
    public func suspend() { record.signal(SIGSTOP) }

    /// SIGCONT.
    public func resume() { record.signal(SIGCONT) }

    /// Any other signal, such as SIGHUP.
    public func send(_ signal: Int32) { record.signal(signal) }

    /// Waits for a line containing `text`, looking from line number `first` on.
    @discardableResult
    public func waitForLine(
        containing text: String, from first: Int = 0, within limit: Duration = .seconds(30),
        file: String = #fileID, line: Int = #line
    ) async throws -> DaemonLine {
        try await wait("a line with \"\(text)\"", limit, file: file, line: line) { state in
            state.lines.dropFirst(first).first { $0.text.contains(text) }
        }
    }

    /// Waits for a readiness datagram with the line `message`, such as `READY=1`.
    public func waitForNotify(
        _ message: String, within limit: Duration = .seconds(30),
        file: String = #fileID, line: Int = #line
    ) async throws {
        _ = try await wait("the datagram \(message)", limit, file: file, line: line) { state in
            state.datagrams.first { $0.split(separator: "\n").contains(message[...]) }
        }
    }

    /// Waits for its end.
    @discardableResult
    public func waitForExit(
        within limit: Duration = .seconds(30), file: String = #fileID, line: Int = #line
    ) async throws -> ProgramEnd {
        try await wait("its end", limit, file: file, line: line) { $0.end }
    }

    /// Waits until `look` finds something; a program that ended without it fails the wait at once.
    private func wait<Found>(
        _ what: String, _ limit: Duration, file: String, line: Int,
        _ look: (DaemonRecord.State) -> Found?
    ) async throws -> Found {
        let deadline = ContinuousClock.now + limit
        while true {
            let (found, end) = record.state.withLock { (look($0), $0.end) }
            if let found { return found }
            guard end == nil, ContinuousClock.now < deadline else {
                let state = end.map { "it ended, \($0)" } ?? "it still runs"
                let said = lines.suffix(20).map(\.text).joined(separator: "\n")
                throw NotReached(
                    "waited \(limit) for \(what) (\(file):\(line)); \(state). It said:\n\(said)")
            }
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    /// `carillon` beside the running test bundle, or what CARILLON_BINARY names.
    public static func builtCarillon() throws -> String {
        if let named = ProcessInfo.processInfo.environment["CARILLON_BINARY"] { return named }
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let folder = own.prefix(upTo: own.lastIndex(of: "/") ?? own.startIndex)
        let path = "\(folder)/carillon"
        guard unsafe access(path, X_OK) == 0 else {
            throw CallFailed(call: "access \(path)", code: errno)
        }
        return path
    }

    private static func bindDatagramSocket(_ path: String) throws -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) {
            unsafe $0.copyBytes(from: path.utf8)
        }
        let result = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw CallFailed(call: "bind \(path)", code: errno) }
        return descriptor
    }
}

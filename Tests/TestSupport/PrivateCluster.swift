import Foundation
import Glibc
import Synchronization
public import Timing

/// One PostgreSQL cluster of the test process: unix socket only, in a folder of its own.
///
/// A keeper process owns the server. It ends the server and removes the folder when the pipe
/// from the test process closes, which the kernel does however that process ends.
public final class PrivateCluster: Sendable {
    /// The cluster that most tests share, started by the first who asks.
    public static var shared: PrivateCluster {
        get throws { try sharedResult.get() }
    }
    private static let sharedResult = Result { try PrivateCluster() }

    /// How to end the server: the signals of pg_ctl(1)'s modes.
    public enum StopMode: String, Sendable {
        case fast, immediate
    }

    /// Folder of the socket, and of everything else of this cluster; mode 0700.
    public let folder: String
    /// `bin` folder of the PostgreSQL in use.
    public let programs: String
    private let keeper: Mutex<ClusterKeeper>
    private let databases = Mutex(0)

    /// Makes and starts a cluster of its own, for tests that restart the server.
    ///
    /// - Parameters:
    ///   - durable: whether commits reach the disk (`fsync`); off, tests are much faster.
    ///   - settings: `name=value` lines as in postgresql.conf.
    ///   - clock: what the server's clock shows at its start; it goes on from there. Its processes
    ///     alone see that time, by faketime(1). Nil is the true time.
    ///   - wrapper: a script that runs its arguments in place of itself, to start the server in.
    ///   - primary: makes a hot standby of this cluster, with all that it has.
    public init(
        durable: Bool = false, settings: [String] = [], clock: WallInstant? = nil,
        wrapper: String? = nil, standbyOf primary: PrivateCluster? = nil
    ) throws {
        programs = try Self.findPrograms()
        // Its keeper removes it, when the server is gone.
        folder = try makeFolder("carillon-pg")
        var all = [
            "listen_addresses=", "unix_socket_directories=\(folder)", "max_connections=600",
            "log_line_prefix=%m [%p] %u@%d ", "log_timezone=UTC", "timezone=UTC",
        ]
        if !durable { all += ["fsync=off", "full_page_writes=off"] }
        var server = ClusterKeeper.Server(
            folder: folder, programs: programs, settings: all + settings)
        server.wrapper = wrapper
        server.primary = primary?.folder
        if let clock {
            server.environment = try Self.fakeTime("\(folder)/clock")
            try Self.write(clock, to: "\(folder)/clock")
        }
        keeper = Mutex(try ClusterKeeper(server))
        ClusterKeeper.endAllAtExit(adding: try keeper.withLock { try $0.start() })
    }

    deinit {
        keeper.withLock { $0.end() }
    }

    /// Starts the server after `stop`, and returns when it takes connections.
    public func start() throws {
        _ = try keeper.withLock { try $0.start() }
    }

    /// Ends the server, and returns when it is gone. The data stays.
    public func stop(_ mode: StopMode = .fast) throws {
        _ = try keeper.withLock { try $0.order("stop-\(mode.rawValue)") }
    }

    /// Sets the clock of a server that has one of its own, at once for all its processes.
    public func setClock(_ instant: WallInstant) throws {
        try Self.write(instant, to: "\(folder)/clock")
    }

    /// The offset to the true time, in a file that each look at the clock reads.
    private static func write(_ instant: WallInstant, to path: String) throws {
        let offset = Double(instant.microseconds(since: wallNow())) / 1_000_000
        // By rename(2): no process may read half of it.
        let text = (offset < 0 ? "" : "+") + String(format: "%.6f", offset)
        try Foundation.Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: path)
    }

    /// Monotonic time stays true, for the server's waits.
    private static func fakeTime(_ file: String) throws -> [String: String] {
        let libraries = "/usr/lib"
        let folders = try FileManager.default.contentsOfDirectory(atPath: libraries)
        let candidates = folders.map { "\(libraries)/\($0)/faketime/libfaketime.so.1" }
        guard let library = candidates.first(where: FileManager.default.fileExists) else {
            throw NotReached("no libfaketime in \(libraries): .ci/deps installs it")
        }
        return [
            "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": file, "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        ]
    }

    /// The server's log so far.
    public var log: String {
        let bytes =
            FileManager.default.contents(atPath: "\(folder)/server.log") ?? Foundation.Data()
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Creates a database in the shared cluster, without holding a thread of Swift's pool while
    /// the server starts: what most tests begin with.
    public static func database(_ prefix: String) async throws -> TestDatabase {
        try await onOwnThread { try shared.createDatabase(prefix) }
    }

    /// Creates an empty database with a name of its own that begins with `prefix`.
    public func createDatabase(_ prefix: String) throws -> TestDatabase {
        let number = databases.withLock { count in
            count += 1
            return count
        }
        let database = TestDatabase(cluster: self, name: "\(prefix)_\(number)")
        try TestDatabase(cluster: self, name: "postgres").psql(
            #"CREATE DATABASE "\#(database.name)" TEMPLATE template0"#)
        return database
    }

    /// The same, without holding a thread of Swift's pool.
    public func createDatabase(_ prefix: String) async throws -> TestDatabase {
        try await onOwnThread { try self.createDatabase(prefix) }
    }

    /// The `bin` folder that a cluster would use; empty where no server is installed.
    public static var installedPrograms: String { (try? findPrograms()) ?? "" }

    /// The newest installed PostgreSQL: Debian's place first, then PATH.
    private static func findPrograms() throws -> String {
        let versions = "/usr/lib/postgresql"
        let files = FileManager.default
        let installed = (try? files.contentsOfDirectory(atPath: versions)) ?? []
        let newestFirst = installed.sorted { (Int($0) ?? 0) > (Int($1) ?? 0) }
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let folders =
            newestFirst.map { "\(versions)/\($0)/bin" }
            + path.split(separator: ":").map(String.init)
        for folder in folders where files.isExecutableFile(atPath: "\(folder)/initdb") {
            return folder
        }
        throw NotReached("no PostgreSQL server is installed: no initdb in \(folders)")
    }
}

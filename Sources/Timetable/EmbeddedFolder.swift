internal import Glibc
internal import Reactor

/// The directory of a private cluster: `data` is the cluster, `socket` holds the server's socket.
///
/// Whoever has it open has it alone: a lock of the kernel's, which ends with the process however
/// that ends. Root keeps the directory and gives only the two folders to the server's user, who
/// reaches them through descriptors that root opened (see `EmbeddedScripts.enter`): no directory
/// above has to be open to that user, and no path has to be short.
@LoopActor
final class EmbeddedFolder {
    /// How long another carillon may take to let go of it: one that is just ending.
    private static let lockPatience: Duration = .seconds(5)
    /// sun_path of unix(7), without its NUL.
    private static let longestSocketPath = 107

    /// Absolute, without links.
    let path: String
    let user: ServerUser
    /// The major version of the cluster in it; nil when there is none yet.
    let major: Int?
    private let directory: Descriptor

    var data: String { "\(path)/data" }
    /// The cluster while it is made: it gets its name when it is complete.
    var unfinished: String { "\(path)/data.new" }
    var socket: String { "\(path)/socket" }

    /// The folder of the socket as libpq can take it.
    ///
    /// A path that is too long for a socket, or that libpq or a shell would read otherwise, is
    /// replaced by one through our own descriptor, proc_pid_fd(5): it serves every process of our
    /// user, and is gone when we are.
    var socketHost: String {
        let length = socket.utf8.count + "/.s.PGSQL.5432".utf8.count
        let isPlain = socket.unicodeScalars.allSatisfy { scalar in
            scalar.value > 32 && scalar.value != 127 && !"'\\,\"$`".unicodeScalars.contains(scalar)
        }
        if isPlain, length <= Self.longestSocketPath { return socket }
        return "/proc/\(ProcessID.current)/fd/\(directory.number)/socket"
    }

    private init(
        path: String, user: ServerUser, major: Int?, directory: consuming Descriptor
    ) {
        self.path = path
        self.user = user
        self.major = major
        self.directory = directory
    }

    /// Makes the directory if need be, locks it, and looks at what is in it.
    static func open(_ name: String, until stopping: Gate) async throws(StartFailure)
        -> EmbeddedFolder
    {
        if unsafe mkdir(name, 0o700) != 0, errno != EEXIST {
            throw failure("\(name) can't be made", errno)
        }
        let number = unsafe Glibc.open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else { throw failure("\(name) can't be opened", errno) }
        let directory = Descriptor(owning: number)
        try await lock(number, name, until: stopping)
        guard let path = canonicalPath(name) else {
            throw failure("\(name) can't be found", errno)
        }
        let names = try entries(of: path)
        var major: Int?
        if names.contains("data") {
            major = try version(of: "\(path)/data")
        } else if let other = names.first(where: { !ownNames.contains($0) }) {
            throw StartFailure(
                .other,
                "\(path) holds other things (\"\(other)\") and no cluster of Carillon's: give a new "
                    + "or an empty directory")
        }
        let user = try ServerUser.choose(forClusterIn: major == nil ? nil : "\(path)/data")
        return EmbeddedFolder(path: path, user: user, major: major, directory: directory)
    }

    /// What we leave there, and what a new file system comes with.
    private static let ownNames: Set<String> = ["data.new", "socket", "lost+found"]

    private static func lock(
        _ directory: Int32, _ name: String, until stopping: Gate
    ) async throws(StartFailure) {
        let patience = Gate()
        let timer = EventLoop.shared.after(lockPatience) { patience.open() }
        defer { EventLoop.shared.cancelTimer(timer) }
        while flock(directory, LOCK_EX | LOCK_NB) != 0 {
            let code = errno
            guard code == EWOULDBLOCK || code == EINTR else {
                throw failure("\(name) can't be locked", code)
            }
            if stopping.isOpen { throw .stopped }
            if patience.isOpen {
                throw StartFailure(.nameInUse, "\(name) is served by another carillon already")
            }
            await stopping.wait(atMost: .milliseconds(100))
        }
    }

    /// The names in a directory but `.` and `..`: readdir(3).
    private static func entries(of path: String) throws(StartFailure) -> Set<String> {
        guard let stream = unsafe opendir(path) else {
            throw failure("\(path) can't be read", errno)
        }
        defer { unsafe closedir(stream) }
        var names: Set<String> = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) {
                    unsafe String(cString: $0)
                }
            }
            if name != ".", name != ".." { names.insert(name) }
        }
        return names
    }

    private static func version(of data: String) throws(StartFailure) -> Int {
        let file = "\(data)/PG_VERSION"
        let text: String
        do throws(SystemError) {
            text = try smallFile(file)
        } catch {
            throw failure("\(file) can't be read", error.code)
        }
        // Never shown: the server's user may have put a link to something else there.
        guard let line = text.split(separator: "\n").first, let major = Int(line), major > 0 else {
            throw StartFailure(
                .other,
                "\(data) is no cluster of a known version: its file PG_VERSION holds no number")
        }
        return major
    }

    /// Makes an empty folder that only the server's user may enter, or leaves one that is there.
    func makeFolder(_ path: String) throws(StartFailure) {
        if unsafe mkdir(path, 0o700) != 0, errno != EEXIST {
            throw Self.failure("\(path) can't be made", errno)
        }
        guard ServerUser.weAreRoot else { return }
        if unsafe lchown(path, user.uid, user.gid) != 0 {
            throw Self.failure("\(path) can't be given to user \(user.name)", errno)
        }
    }

    /// A text of the server's, with the directory where the server only knows its descriptors.
    func named(_ text: String) -> String {
        var named = text
        for (descriptor, path) in [("/proc/self/fd/8", socket), ("/proc/self/fd/9", data)] {
            named = named.split(separator: descriptor, omittingEmptySubsequences: false)
                .joined(separator: path)
        }
        return named
    }

    /// The new cluster is complete.
    func finish() throws(StartFailure) {
        if unsafe rename(unfinished, data) != 0 {
            throw Self.failure("\(unfinished) can't be renamed", errno)
        }
    }

    /// Whether the server that is process `pid` says that it takes connections: line 1 and line 8
    /// of postmaster.pid.
    func isReady(_ pid: Int32) -> Bool {
        guard let text = try? Self.smallFile("\(data)/postmaster.pid") else { return false }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        return lines.count >= 8 && lines[0] == "\(pid)" && lines[7].hasPrefix("ready")
    }

    /// The first 4 KiB of a file that is no link.
    private static func smallFile(_ path: String) throws(SystemError) -> String {
        let file = Descriptor(
            owning: try systemCall("open") {
                unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
            })
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = try systemCall("read") {
            Int32(unsafe read(file.number, &bytes, bytes.count))
        }
        return String(decoding: bytes.prefix(Int(count)), as: UTF8.self)
    }

    private static func failure(_ what: String, _ code: Int32) -> StartFailure {
        let isRight = [EACCES, EPERM, EROFS].contains(code)
        return StartFailure(
            isRight ? .noPrivilege : .other, "\(what): \(unsafe String(cString: strerror(code)))")
    }
}

/// The operating system's user that a private server runs as: PostgreSQL refuses root.
struct ServerUser: Sendable, Equatable {
    let uid: uid_t
    let gid: gid_t
    let name: String

    static var weAreRoot: Bool { geteuid() == 0 }

    /// The options of setpriv(1) that make a program run as this user.
    var privileges: [String] {
        guard Self.weAreRoot else { return [] }
        return ["--reuid=\(uid)", "--regid=\(gid)", "--clear-groups"]
    }

    /// Who started us.
    static var ourselves: ServerUser? { unsafe read(getpwuid(geteuid())) }

    /// Us, or if we are root: the owner of the cluster that is there, else `postgres`, else
    /// `nobody`.
    static func choose(forClusterIn data: String?) throws(StartFailure) -> ServerUser {
        let owner = try data.map { data throws(StartFailure) in try self.owner(of: data) }
        guard weAreRoot else {
            guard let user = ourselves else {
                throw StartFailure(
                    .other, "user \(geteuid()) has no name: PostgreSQL needs one (passwd(5))")
            }
            if let data, let owner, owner.uid != user.uid {
                throw StartFailure(
                    .noPrivilege,
                    "\(data) belongs to user \(owner.name): start carillon as that user, or as root"
                )
            }
            return user
        }
        if let data, owner?.uid == 0 {
            throw StartFailure(
                .other,
                "\(data) belongs to root, and PostgreSQL does not run as root: give the "
                    + "directory to the user that it was made for, such as postgres")
        }
        let candidates = unsafe [owner, read(getpwnam("postgres")), read(getpwnam("nobody"))]
        guard let user = candidates.lazy.compactMap(\.self).first(where: { $0.uid != 0 }) else {
            throw StartFailure(
                .other,
                "PostgreSQL does not run as root, and there is no user postgres or nobody "
                    + "that it could run as")
        }
        return user
    }

    private static func owner(of path: String) throws(StartFailure) -> ServerUser {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else {
            throw StartFailure(.other, "\(path): \(unsafe String(cString: strerror(errno)))")
        }
        return unsafe read(getpwuid(status.st_uid))
            ?? ServerUser(uid: status.st_uid, gid: status.st_gid, name: "\(status.st_uid)")
    }

    private static func read(_ entry: UnsafeMutablePointer<passwd>?) -> ServerUser? {
        guard let entry = unsafe entry, let name = unsafe entry.pointee.pw_name else { return nil }
        return unsafe ServerUser(
            uid: entry.pointee.pw_uid, gid: entry.pointee.pw_gid, name: String(cString: name))
    }
}

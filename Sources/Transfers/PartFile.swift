internal import Glibc
internal import Reactor

/// The file in which a download grows, beside its destination: `.NAME.part`.
///
/// Beside it, `.NAME.part.from` keeps of which entity its bytes are, so that a later attempt can go
/// on from there. One download at a time: it is locked by flock(2).
final class PartFile {
    let path: String
    let destination: String
    private let folder: String
    private let descriptor: Int32
    private(set) var size: Int64
    private var originPath: String { path + ".from" }

    /// Opens or makes it, and locks it.
    init(folder: String, name: String) throws(TransferError) {
        self.folder = folder.isEmpty ? "." : folder
        destination = "\(self.folder)/\(name)"
        path = "\(self.folder)/.\(name).part"
        var there = stat()
        // A link is replaced, whatever it leads to.
        if unsafe lstat(destination, &there) == 0, there.st_mode & S_IFMT != S_IFLNK {
            let code = there.st_mode & S_IFMT == S_IFDIR ? EISDIR : EEXIST
            guard there.st_mode & S_IFMT == S_IFREG else {
                throw TransferError(
                    .file(code: code), "\(destination) is in the way: it is no regular file")
            }
        }
        (descriptor, size) = try Self.openLocked(path, for: destination)
    }

    deinit {
        // A program that is being started on another thread has the descriptor until its exec, and
        // with it the lock: close alone would leave it locked for so long.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    private static func openLocked(
        _ path: String, for destination: String
    ) throws(TransferError) -> (Int32, Int64) {
        // A download before ours may take its name between our opening and our lock.
        for _ in 0..<10 {
            let number = unsafe open(
                path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0o666)
            guard number >= 0 else { throw .file("write", path, code: errno) }
            let descriptor = Descriptor(owning: number)
            guard flock(number, LOCK_EX | LOCK_NB) == 0 else {
                let code = errno
                if code == EWOULDBLOCK {
                    throw TransferError(
                        .file(code: code), "another download to \(destination) is under way")
                }
                throw .file("lock", path, code: code)
            }
            var ours = stat()
            var named = stat()
            guard unsafe fstat(number, &ours) == 0 else { throw .file("read", path, code: errno) }
            guard unsafe lstat(path, &named) == 0, named.st_ino == ours.st_ino,
                named.st_dev == ours.st_dev
            else { continue }
            // In a folder like /tmp somebody else may have put it there for us.
            guard ours.st_mode & S_IFMT == S_IFREG, ours.st_uid == geteuid(), ours.st_nlink == 1
            else {
                throw TransferError(
                    .file(code: EEXIST), "\(path) is in the way: it is no file of ours")
            }
            return (descriptor.release(), Int64(ours.st_size))
        }
        throw .file("lock", path, code: EAGAIN)
    }

    /// Of which entity the bytes in it are; nil when that is not known.
    func readOrigin() -> Origin? {
        guard size > 0 else { return nil }
        let number = unsafe open(originPath, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard number >= 0 else { return nil }
        let descriptor = Descriptor(owning: number)
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: Origin.lengthLimit) {
            unsafe $1 = max(0, read(descriptor.number, $0.baseAddress, Origin.lengthLimit))
        }
        return Origin(written: String(decoding: bytes, as: UTF8.self))
    }

    /// Empties it, for the bytes of another entity; nil is one that could not be told from others.
    func begin(_ origin: Origin?) throws(TransferError) {
        // In this order: at no time are bytes of one entity said to be of another.
        guard ftruncate(descriptor, 0) == 0 else { throw .file("empty", path, code: errno) }
        size = 0
        unsafe unlink(originPath)
        guard let origin else { return }
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let number = unsafe open(originPath, flags, 0o600)
        guard number >= 0 else { throw .file("write", originPath, code: errno) }
        let written = Descriptor(owning: number)
        let bytes = Array(origin.written.utf8)
        let count = unsafe write(written.number, bytes, bytes.count)
        guard count == bytes.count else {
            throw .file("write", originPath, code: count < 0 ? errno : ENOSPC)
        }
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws(TransferError) {
        var rest = unsafe bytes[...]
        while unsafe !rest.isEmpty {
            let part = unsafe UnsafeRawBufferPointer(rebasing: rest)
            let count = unsafe pwrite(descriptor, part.baseAddress, part.count, off_t(size))
            if count < 0 {
                let code = errno
                if code == EINTR { continue }
                throw .file("write", path, code: code)
            }
            size += Int64(count)
            unsafe rest = unsafe rest.dropFirst(count)
        }
    }

    /// Makes it durable and gives it the name of the destination, in one step for all who look.
    func take(_ control: TransferControl) throws(TransferError) {
        guard fsync(descriptor) == 0 else { throw .file("write", path, code: errno) }
        guard control.commit() else { throw .cancelled }
        guard unsafe rename(path, destination) == 0 else {
            throw .file("replace", destination, code: errno)
        }
        unsafe unlink(originPath)
        let number = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else { return }  // a folder that may be written and not be read
        let directory = Descriptor(owning: number)
        guard fsync(directory.number) == 0 else { throw .file("write", folder, code: errno) }
    }

    /// Removes what nothing can go on from.
    func discard() {
        unsafe unlink(originPath)
        unsafe unlink(path)
    }
}

/// Of which entity some bytes are: the URL, and what the server calls this state of it.
struct Origin: Equatable {
    static let lengthLimit = 8_192

    let url: String
    /// A strong validator for If-Range: an entity tag or a date (RFC 9110, section 13.1.5).
    let validator: String

    init?(url: String, validator: String?) {
        guard let validator, url.utf8.count + validator.utf8.count < Self.lengthLimit - 2 else {
            return nil
        }
        self.url = url
        self.validator = validator
    }

    var written: String { "\(url)\n\(validator)\n" }

    init?(written: String) {
        let lines = written.split(separator: "\n", omittingEmptySubsequences: false)
        // The last line end is the sign that all of it was written.
        guard lines.count == 3, lines[2].isEmpty, !lines[1].isEmpty else { return nil }
        url = String(lines[0])
        validator = String(lines[1])
    }
}

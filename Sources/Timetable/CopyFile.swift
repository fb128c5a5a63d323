internal import Glibc
internal import Postgres
internal import Reactor

/// A file that a COPY reads or writes, in calls that do not hold the loop.
@LoopActor
final class CopyFile {
    private nonisolated static let chunk = 1 << 20
    /// A file system that does not answer for so long has failed.
    private static let patience: Duration = .seconds(60)

    /// In place of an errno: what is there is no regular file.
    private nonisolated static let isNoFile: Int32 = -1

    private let path: String
    /// Under which it is written until it is whole.
    private let temporaryPath: String?
    private let descriptor: Descriptor
    private var isInPlace = false

    private init(_ path: String, temporaryPath: String?, _ descriptor: consuming Descriptor) {
        self.path = path
        self.temporaryPath = temporaryPath
        self.descriptor = descriptor
    }

    /// Opens a file to be read from its beginning.
    static func reading(_ path: String) async throws(PostgresError) -> CopyFile {
        let (number, code) = try await answer(path) { () -> (Int32, Int32) in
            // Not to wait for the other end of a named pipe: open(2).
            let number = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
            guard number >= 0 else { return (number, errno) }
            var status = stat()
            guard unsafe fstat(number, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
                close(number)
                return (-1, isNoFile)
            }
            return (number, 0)
        }
        if number < 0 { throw failure(path, code) }
        return CopyFile(path, temporaryPath: nil, Descriptor(owning: number))
    }

    /// Makes a file beside `path`, or beside what that links to, which takes its place with
    /// `finish`. A pipe or a device is not replaced.
    static func writing(_ named: String) async throws(PostgresError) -> CopyFile {
        let (path, code) = try await answer(named) { () -> (String, Int32) in
            var status = stat()
            guard unsafe stat(named, &status) == 0 else { return (named, 0) }
            guard status.st_mode & S_IFMT == S_IFREG else { return (named, isNoFile) }
            guard let real = unsafe realpath(named, nil) else { return (named, errno) }
            defer { unsafe free(real) }
            return (unsafe String(cString: real), 0)
        }
        if code != 0 { throw failure(named, code) }
        let slash = path.lastIndex(of: "/") ?? path.startIndex
        let name = path[slash...].dropFirst()
        let number = UInt64.random(in: 0...UInt64.max)
        let temporary = "\(path[..<slash])/.\(name).\(String(number, radix: 36)).part"
        let descriptor = try await call(path) {
            unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        }
        return CopyFile(path, temporaryPath: temporary, Descriptor(owning: descriptor))
    }

    /// The next bytes; nil at the end.
    func next() async throws(PostgresError) -> [UInt8]? {
        let number = descriptor.number
        let (bytes, code) = try await Self.answer(path) { () -> ([UInt8], Int32) in
            var code: Int32 = 0
            let bytes = unsafe [UInt8](unsafeUninitializedCapacity: Self.chunk) { buffer, count in
                let result = unsafe read(number, buffer.baseAddress, Self.chunk)
                code = result < 0 ? errno : 0
                count = max(0, result)
            }
            return (bytes, code)
        }
        if code != 0 { throw Self.failure(path, code) }
        return bytes.isEmpty ? nil : bytes
    }

    func write(_ bytes: [UInt8]) async throws(PostgresError) {
        let number = descriptor.number
        _ = try await Self.call(path) {
            var rest = bytes[...]
            while !rest.isEmpty {
                let result = unsafe rest.withUnsafeBytes {
                    unsafe Glibc.write(number, $0.baseAddress, $0.count)
                }
                if result < 0 {
                    if errno == EINTR { continue }
                    return -1
                }
                rest = rest.dropFirst(result)
            }
            return 0
        }
    }

    /// Puts the file in its place, on the disk.
    func finish() async throws(PostgresError) {
        guard let temporaryPath else { return }
        let number = descriptor.number
        let path = self.path
        _ = try await Self.call(path) {
            fsync(number) == 0 ? unsafe rename(temporaryPath, path) : -1
        }
        isInPlace = true
    }

    /// Takes away what is not whole.
    func discard() async {
        guard let temporaryPath, !isInPlace else { return }
        // Where even that fails, the reason of the COPY's own failure tells more.
        _ = try? await Self.call(path) { unsafe unlink(temporaryPath) }
    }

    private static func call(
        _ path: String, _ body: @escaping @Sendable () -> Int32
    ) async throws(PostgresError) -> Int32 {
        let (result, code) = try await answer(path) {
            let result = body()
            return (result, result < 0 ? errno : 0)
        }
        if result < 0 { throw failure(path, code) }
        return result
    }

    private static func answer<Value: Sendable>(
        _ path: String, _ body: @escaping @Sendable () -> Value
    ) async throws(PostgresError) -> Value {
        do throws(NoAnswer) {
            return try await blockingCall(within: patience, body)
        } catch {
            throw PostgresError(
                .aborted,
                error == .inTime
                    ? "file '\(path)': no answer within \(patience)"
                    : "file '\(path)': no thread to use it with")
        }
    }

    private static func failure(_ path: String, _ code: Int32) -> PostgresError {
        let reason =
            code == isNoFile ? "it is no regular file" : unsafe String(cString: strerror(code))
        return PostgresError(.aborted, "file '\(path)': \(reason)")
    }
}

internal import Glibc
internal import Postgres
internal import Reactor

/// A file that a COPY reads or writes, in calls that do not hold the loop.
@LoopActor
final class CopyFile {
    private nonisolated static let chunk = 1 << 20
    /// A file system that does not answer for so long has failed.
    private static let patience: Duration = .seconds(60)

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
        let number = try await call(path) { unsafe open(path, O_RDONLY | O_CLOEXEC) }
        return CopyFile(path, temporaryPath: nil, Descriptor(owning: number))
    }

    /// Makes a file beside `path`, which takes its place with `finish`.
    static func writing(_ path: String) async throws(PostgresError) -> CopyFile {
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
        let reason = unsafe String(cString: strerror(code))
        return PostgresError(.aborted, "file '\(path)': \(reason)")
    }
}

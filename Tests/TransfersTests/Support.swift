import Foundation
import Reactor
import TestSupport
import Transfers

/// A folder for downloads, which goes with the last reference.
final class TestFolder: Sendable {
    let path: String

    init() throws {
        path = try makeTemporaryFolder("carillon-transfers")
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// All names in it, in order.
    func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path).sorted()
    }

    func bytes(_ name: String) throws -> Data {
        try Data(contentsOf: URL(filePath: "\(path)/\(name)"))
    }

    func write(_ text: String, to name: String) throws {
        try Data(text.utf8).write(to: URL(filePath: "\(path)/\(name)"))
    }
}

/// Runs a download on the test's loop; `adjust` changes its limits.
func fetch(
    _ url: String, to folder: TestFolder,
    _ adjust: @escaping @Sendable (inout Download) -> Void = { _ in }
) async throws -> DownloadedFile {
    var download = Download(url: url, folder: folder.path)
    adjust(&download)
    let final = download
    return try await onTestLoop { try await final.start().result() }
}

/// The error of a download that must fail.
func failure(
    _ url: String, to folder: TestFolder,
    _ adjust: @escaping @Sendable (inout Download) -> Void = { _ in }
) async throws -> TransferError {
    do {
        let file = try await fetch(url, to: folder, adjust)
        throw NotReached("\(url) was downloaded: \(file)")
    } catch let error as TransferError {
        return error
    }
}

func openDescriptors() throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
}

/// What the web server sends for a size and a version of the entity.
func webBody(_ size: Int, version: Int = 1) async throws -> Data {
    let script = """
        import base64, hashlib
        seed = hashlib.sha256(b'\(size) \(version)').digest()
        print(base64.b64encode((seed * (\(size) // 32 + 1))[:\(size)]).decode(), end='')
        """
    let result = try await runProgram(TestServer.python, ["-c", script])
    guard let bytes = Data(base64Encoded: result.stdout) else { throw NotReached(result.stderr) }
    return bytes
}

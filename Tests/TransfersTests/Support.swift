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

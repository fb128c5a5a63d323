import Foundation
import Reactor
import TestSupport
import Testing
import Transfers

/// What the web server sends for a size and a version of the entity.
private func webBody(_ size: Int, version: Int = 1) async throws -> Data {
    let script = """
        import base64, hashlib
        seed = hashlib.sha256(b'\(size) \(version)').digest()
        print(base64.b64encode((seed * (\(size) // 32 + 1))[:\(size)]).decode(), end='')
        """
    let result = try await runProgram("python3", ["-c", script])
    return try #require(Data(base64Encoded: result.stdout))
}

struct DownloadTests {
    @Test func aFileIsFetchedWhole() async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        let url = "http://127.0.0.1:\(web.port)/file/a%20b%C3%A9.txt?size=100000"
        let file = try await fetch(url, to: folder)
        #expect(file.path == "\(folder.path)/a bé.txt")
        #expect(file.size == 100_000)
        #expect(file.resumedFrom == 0)
        #expect(try folder.names() == ["a bé.txt"])
        #expect(try folder.bytes("a bé.txt") == (try await webBody(100_000)))
    }
}

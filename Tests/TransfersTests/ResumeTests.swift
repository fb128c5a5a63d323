import Foundation
import Reactor
import TestSupport
import Testing
import Transfers

struct ResumeTests {
    /// How a server behaves that ends its first answer in the middle, what we then ask for, and
    /// which entity is there in the end.
    struct Case: Sendable, CustomTestStringConvertible {
        let mode: String
        let resumedFrom: Int64
        let asked: [String]
        var version = 1
        var size = ResumeTests.size

        var testDescription: String { mode }
    }

    static let size = 100_000

    @Test(arguments: [
        Case(mode: "cut", resumedFrom: 50_000, asked: ["-", "bytes=50000-"]),
        Case(mode: "cut-by-date", resumedFrom: 50_000, asked: ["-", "bytes=50000-"]),
        Case(mode: "cut-by-fresh-date", resumedFrom: 0, asked: ["-", "-"]),
        Case(mode: "cut-weak", resumedFrom: 0, asked: ["-", "-"]),
        Case(mode: "cut-whole", resumedFrom: 0, asked: ["-", "bytes=50000-"]),
        Case(mode: "cut-changed", resumedFrom: 0, asked: ["-", "bytes=50000-"], version: 2),
        Case(
            mode: "cut-shrunk", resumedFrom: 0, asked: ["-", "bytes=50000-"], version: 2,
            size: 25_000),
        Case(mode: "cut-lying", resumedFrom: 0, asked: ["-", "bytes=50000-", "-"]),
        Case(mode: "cut-refusing", resumedFrom: 0, asked: ["-", "bytes=50000-", "-"]),
    ])
    func afterACutTheFileIsRight(_ row: Case) async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        let path = "/\(row.mode)/a?size=\(Self.size)"
        let url = "http://127.0.0.1:\(web.port)\(path)"
        let cut = try await failure(url, to: folder)
        #expect(cut.kind == .connection)
        let kept = row.asked[1] == "-" ? [] : [".a.part", ".a.part.from"]
        #expect(try folder.names() == kept)

        let file = try await fetch(url, to: folder)
        #expect(file.resumedFrom == row.resumedFrom)
        #expect(file.size == Int64(row.size))
        #expect(try folder.bytes("a") == (try await webBody(row.size, version: row.version)))
        #expect(try folder.names() == ["a"])
        #expect(web.lines("GET") == row.asked.map { "GET \(path) \($0)" })
    }

    @Test func aFailureBetweenKeepsWhatIsThere() async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        let url = "http://127.0.0.1:\(web.port)/cut-failing/a?size=1000"
        _ = try await failure(url, to: folder)
        #expect(try await failure(url, to: folder).kind == .refused(code: 503))
        #expect(try folder.names() == [".a.part", ".a.part.from"])
        #expect(try folder.bytes(".a.part").count == 500)
    }

    @Test func anotherURLDoesNotGoOnWithIt() async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        let url = "http://127.0.0.1:\(web.port)/cut/a?size=1000"
        _ = try await failure(url, to: folder)
        let other = "http://127.0.0.1:\(web.port)/file/a?size=2000"
        #expect(try await fetch(other, to: folder).resumedFrom == 0)
        #expect(try folder.bytes("a") == (try await webBody(2_000)))
    }

    @Test func theLimitCountsWhatWasThere() async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        let url = "http://127.0.0.1:\(web.port)/cut/a?size=1000"
        _ = try await failure(url, to: folder)
        let error = try await failure(url, to: folder) { $0.sizeLimit = 999 }
        #expect(error.kind == .tooLarge)
        #expect(try folder.names() == [])
    }

    @Test func noCredentialIsKeptBesideIt() async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        let url = "http://user:secret@127.0.0.1:\(web.port)/cut/a?size=1000"
        _ = try await failure(url, to: folder)
        let origin = String(decoding: try folder.bytes(".a.part.from"), as: UTF8.self)
        #expect(origin == "http://127.0.0.1:\(web.port)/cut/a?size=1000\n\"v1\"\n")
        #expect(try await fetch(url, to: folder).resumedFrom == 500)
    }

    @Test(arguments: ["", "http://127.0.0.1/cut/a", "x\ny\nz\n", "\n\n"])
    func aBrokenOriginMeansAnew(text: String) async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        try folder.write("wrong", to: ".a.part")
        try folder.write(text, to: ".a.part.from")
        let file = try await fetch("http://127.0.0.1:\(web.port)/file/a?size=1000", to: folder)
        #expect(file.resumedFrom == 0)
        #expect(try folder.bytes("a") == (try await webBody(1_000)))
        #expect(try folder.names() == ["a"])
    }
}

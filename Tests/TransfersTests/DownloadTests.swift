import Foundation
import Glibc
import Reactor
import TestSupport
import Testing
import Transfers

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

    @Test func anEmptyFileIsAFile() async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        let file = try await fetch("http://127.0.0.1:\(web.port)/file/none?size=0", to: folder)
        #expect(file.size == 0)
        #expect(try folder.names() == ["none"])
    }

    @Test(arguments: ["http://127.0.0.1:%/hops/10/a", "http://user:secret@127.0.0.1:%/auth/a"])
    func redirectsAndLoginsAreFollowed(url: String) async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        _ = try await fetch(url.replacing("%", with: "\(web.port)"), to: folder)
        #expect(try folder.bytes("a") == (try await webBody(1_000)))
    }

    @Test(arguments: [
        ("status/404/a", TransferError.Kind.refused(code: 404), "status 404"),
        ("status/500/a", .refused(code: 500), "status 500"),
        ("status/204/a", .refused(code: 204), "status 204"),
        ("auth/a", .refused(code: 401), "status 401"),
        ("loop/a", .refused(code: 302), "Maximum (10) redirects followed"),
        ("hops/11/a", .refused(code: 302), "Maximum (10) redirects followed"),
        ("to/file%3A%2F%2F%2Fetc%2Fpasswd/a", .invalid, "Protocol \"file\" not supported"),
        ("to/dict%3A%2F%2F127.0.0.1%2F/a", .invalid, "Protocol \"dict\" not supported"),
    ])
    func aRefusalIsSaidAndLeavesTheOldFile(
        path: String, kind: TransferError.Kind, reason: String
    ) async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        try folder.write("old", to: "a")
        let url = "http://127.0.0.1:\(web.port)/\(path)"
        let error = try await failure(url, to: folder)
        #expect(error.kind == kind)
        #expect(error.message.hasPrefix("\(url): "))
        #expect(error.message.contains(reason))
        #expect(try folder.names() == ["a"])
        #expect(try folder.bytes("a") == Data("old".utf8))
    }

    @Test(arguments: ["flood", "huge", "file"])
    func theSizeIsLimited(mode: String) async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        let url = "http://127.0.0.1:\(web.port)/\(mode)/a?size=200001"
        let error = try await failure(url, to: folder) { $0.sizeLimit = 200_000 }
        #expect(error.kind == .tooLarge)
        #expect(error.message.hasSuffix("larger than the limit of 200000 bytes"))
        #expect(try folder.names() == [])
        let last = try await fetch(url.replacing(mode, with: "file"), to: folder) {
            $0.sizeLimit = 200_001
        }
        #expect(last.size == 200_001)
    }

    @Test(arguments: ["silent", "huge", "cut-stuck"])
    func whoIsSilentIsLeft(mode: String) async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        let began = ContinuousClock.now
        let error = try await failure("http://127.0.0.1:\(web.port)/\(mode)/a", to: folder) {
            $0.stallTimeout = .seconds(1)
        }
        #expect(error.kind == .timedOut)
        #expect(ContinuousClock.now - began >= .seconds(1))
    }

    @Test func allOfItHasALimitOfTimeToo() async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        let error = try await failure("http://127.0.0.1:\(web.port)/drip/a", to: folder) {
            $0.timeout = .milliseconds(300)
        }
        #expect(error.kind == .timedOut)
    }

    @Test(arguments: [
        ("http://user:secret@127.0.0.1:1/a", "http://127.0.0.1:1/a: "),
        ("http://user:secret@127.0.0.1:notaport/a", "an URL that can't be read: "),
        ("http://user:secret@127.0.0.1/..", "it names no file"),
        ("http://user:secret@127.0.0.1/a/", "it names no file"),
        ("http://user:secret@127.0.0.1", "it names no file"),
        ("http://user:secret@127.0.0.1/%2e%2e", "can't be the name of a file"),
        ("http://user:secret@127.0.0.1/a%2Fb", "can't be the name of a file"),
        ("http://user:secret@127.0.0.1/a%00b", "can't be the name of a file"),
        ("http://user:secret@127.0.0.1/a%FFb", "is not UTF-8"),
        ("ftp://user:secret@127.0.0.1:1/a", "ftp://127.0.0.1:1/a: "),
        ("gopher://user:secret@127.0.0.1/a", "only http, https, ftp and file"),
        ("http://user:secret@127.0.0.1/a\r\nb", "control characters"),
        ("user:secret", "can't be read"), ("", "can't be read"),
    ])
    func noMessageHoldsACredential(url: String, reason: String) async throws {
        let folder = try TestFolder()
        let error = try await failure(url, to: folder)
        #expect(error.message.contains(reason))
        #expect(!error.message.contains("secret"))
        #expect(try folder.names() == [])
    }

    @Test func aFileURLIsCopied() async throws {
        let source = try TestFolder()
        let folder = try TestFolder()
        try source.write("text", to: "a b")
        let file = try await fetch("file://\(source.path)/a%20b", to: folder)
        #expect(file.size == 4)
        #expect(try folder.bytes("a b") == Data("text".utf8))
        unsafe mkfifo("\(source.path)/pipe", 0o600)
        let pipe = try await failure("file://\(source.path)/pipe", to: folder)
        #expect(pipe.message.hasSuffix("/pipe is no regular file"))
        let missing = try await failure("file://\(source.path)/none", to: folder)
        #expect(missing.kind == .file(code: ENOENT))
    }

    @Test func ftpIsRead() async throws {
        let source = try TestFolder()
        let text = String(repeating: "0123456789", count: 100_000)
        try source.write(text, to: "a")
        let ftp = try await TestServer("ftp", [source.path])
        for login in ["", "user:secret@"] {
            let folder = try TestFolder()
            let url = "ftp://\(login)127.0.0.1:\(ftp.port)/a"
            #expect(try await fetch(url, to: folder).size == 1_000_000)
            #expect(try folder.bytes("a") == Data(text.utf8))
        }
        let folder = try TestFolder()
        let wrong = try await failure("ftp://user:wrong1@127.0.0.1:\(ftp.port)/a", to: folder)
        #expect(wrong.kind == .refused(code: 530))
        #expect(!wrong.message.contains("wrong1"))
        let missing = try await failure("ftp://127.0.0.1:\(ftp.port)/none", to: folder)
        #expect(missing.kind == .refused(code: 550))
        #expect(try folder.names() == [])
    }

    @Test func certificatesAreVerified() async throws {
        let own = try TestCertificate.shared()
        let web = try await TestServer("web", [own.certificate, own.key])
        let folder = try TestFolder()
        let url = "https://localhost:\(web.port)/file/a"
        let distrust = try await failure(url, to: folder)
        #expect(distrust.kind == .connection)
        #expect(distrust.message.contains("certificate"))
        let authorities = own.certificate
        #expect(try await fetch(url, to: folder) { $0.authorities = authorities }.size == 1_000)
        let wrongName = try await failure(
            url.replacing("localhost", with: "127.0.0.2"), to: folder
        ) { $0.authorities = authorities }
        #expect(wrongName.kind == .connection)
    }

    @Test func eightRunAtOnce() async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        try await onTestLoop {
            // The server answers when all eight have asked.
            let transfers = (0..<8).map { index in
                let url = "http://127.0.0.1:\(web.port)/gate/\(index)?size=8"
                return Download(url: url, folder: folder.path).start()
            }
            for transfer in transfers {
                let size = try await transfer.result().size
                #expect(size == 8)
            }
        }
        #expect(try folder.names() == (0..<8).map(String.init))
    }

    @Test func whatCanNotBeWrittenIsSaid() async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        let url = "http://127.0.0.1:\(web.port)/file/a?size=200000"
        let none = try await failure(url, to: folder) { $0.folder += "/none" }
        #expect(none.kind == .file(code: ENOENT))
        #expect(none.message.contains(".a.part: No such file"))
        let long = String(repeating: "x", count: 253)
        let tooLong = try await failure("http://127.0.0.1:\(web.port)/file/\(long)", to: folder)
        #expect(tooLong.kind == .file(code: ENAMETOOLONG))
        // A destination that can't be replaced.
        try FileManager.default.createDirectory(
            atPath: "\(folder.path)/a", withIntermediateDirectories: false)
        let isFolder = try await failure(url, to: folder)
        #expect(isFolder.kind == .file(code: EISDIR))
        #expect(unsafe mkfifo("\(folder.path)/f", 0o600) == 0)
        let isPipe = try await failure(url.replacing("/a?", with: "/f?"), to: folder)
        #expect(isPipe.kind == .file(code: EEXIST))
        #expect(isPipe.message.contains("/f is in the way: it is no regular file"))
        #expect(try folder.names() == ["a", "f"])
        // What somebody else put in our way.
        unsafe symlink("/tmp/nothing-at-all", "\(folder.path)/.b.part")
        let planted = try await failure(url.replacing("/a?", with: "/b?"), to: folder)
        #expect(planted.kind == .file(code: ELOOP))
        #expect(try await fetch(url.replacing("/a?", with: "/c?"), to: folder).size == 200_000)
    }

    private static let canMount: Bool = {
        guard let folder = try? TestFolder() else { return false }
        let mount = try? runProgram("mount", ["-t", "tmpfs", "none", folder.path])
        _ = try? runProgram("umount", [folder.path])
        return mount?.end == .exited(0)
    }()

    /// /dev/full is no regular file: a real full disk is a small file system of its own.
    @Test(.enabled(if: canMount, "mounting takes a right that root has, and not everywhere"))
    func aFullDiskIsSaid() async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        let mount = try await runProgram(
            "mount", ["-t", "tmpfs", "-o", "size=64k", "none", folder.path])
        try #require(mount.end == .exited(0), "\(mount.stderr)")
        let result = await Result.of {
            try await failure("http://127.0.0.1:\(web.port)/file/a?size=200000", to: folder)
        }
        let names = try folder.names()
        _ = try await runProgram("umount", [folder.path])
        #expect(try result.get().kind == .file(code: ENOSPC))
        #expect(names == [])
    }
}

extension Result where Failure == any Error {
    fileprivate static func of(_ body: () async throws -> Success) async -> Self {
        do { return .success(try await body()) } catch { return .failure(error) }
    }
}

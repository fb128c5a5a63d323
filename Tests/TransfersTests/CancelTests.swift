import Foundation
import Reactor
import TestSupport
import Testing
import Transfers

struct CancelTests {
    /// Waits on the loop until the server has seen a request, then cancels; says how long the end
    /// took, and how late a timer of the loop was meanwhile.
    @Test(arguments: ["silent", "huge", "flood", "cut-stuck"])
    func aCancelEndsADownload(mode: String) async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        let (error, took) = try await onTestLoop {
            let url = "http://127.0.0.1:\(web.port)/\(mode)/a"
            let transfer = Download(url: url, folder: folder.path).start()
            try await web.process.waitForLine(containing: "GET /\(mode)/a")
            let began = ContinuousClock.now
            transfer.cancel()
            do throws(TransferError) {
                _ = try await transfer.result()
                return (TransferError?.none, Duration.zero)
            } catch {
                return (error, ContinuousClock.now - began)
            }
        }
        #expect(error?.kind == .cancelled)
        #expect(took < .seconds(2))
        // The server too sees the end of its connection.
        if mode != "flood", mode != "cut-stuck" {
            try await web.process.waitForLine(containing: "GONE /\(mode)/a")
        }
    }

    @Test func theLoopGoesOnWhileAServerIsSilent() async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        try await onTestLoop {
            var download = Download(
                url: "http://127.0.0.1:\(web.port)/silent/a", folder: folder.path)
            download.stallTimeout = .seconds(3)
            let transfer = download.start()
            var worst = Duration.zero
            let first = ContinuousClock.now
            while ContinuousClock.now - first < .seconds(2) {
                let began = ContinuousClock.now
                try await EventLoop.shared.sleep(for: .milliseconds(20))
                worst = max(worst, ContinuousClock.now - began - .milliseconds(20))
            }
            // Far less than what the server takes; other tests have the processor too.
            #expect(worst < .milliseconds(1_500))
            await #expect(throws: TransferError.self) { try await transfer.result() }
        }
    }

    @Test func aCancelBeforeItBeganAndOneAfterItsEnd() async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        let url = "http://127.0.0.1:\(web.port)/file/a"
        try await onTestLoop {
            let never = Download(url: url, folder: folder.path).start()
            never.cancel()
            await #expect(throws: TransferError.self) { try await never.result() }
            let done = Download(url: url, folder: folder.path).start()
            let size = try await done.result().size
            done.cancel()
            let after = try await done.result().size
            #expect(after == size)
        }
    }

    @Test func oneFileIsFetchedByOneAtATime() async throws {
        let web = try await TestServer("web")
        let folder = try TestFolder()
        try await onTestLoop {
            let url = "http://127.0.0.1:\(web.port)/cut-stuck/a"
            let first = Download(url: url, folder: folder.path).start()
            try await web.process.waitForLine(containing: "GET")
            let second = Download(url: url, folder: folder.path).start()
            do throws(TransferError) {
                _ = try await second.result()
                Issue.record("both had the file")
            } catch {
                #expect(error.message.contains("/a is under way"))
            }
            first.cancel()
            await #expect(throws: TransferError.self) { try await first.result() }
        }
    }

    /// In a process of its own: others would open and close descriptors at the same time.
    @Test func twoHundredTransfersLeaveNoDescriptors() async {
        await #expect(processExitsWith: .success) {
            let web = try await TestServer("web")
            let base = "http://127.0.0.1:\(web.port)"
            try await onTestLoop {
                // What is opened once for all of them is there from then on.
                let first = try await fetchAll(0..<4, base)
                #expect(first == 2)
                let before = try openDescriptors()
                let fetched = try await fetchAll(4..<204, base)
                #expect(fetched == 100)
                try await eventually("as few descriptors as before") {
                    try openDescriptors() <= before
                }
            }
        }
    }
}

/// Starts downloads of four kinds at once, two of which fail, and returns how many files came. The
/// server cuts a file off once only: so each number is for one time.
@LoopActor
private func fetchAll(_ range: Range<Int>, _ base: String) async throws -> Int {
    let folder = try TestFolder()
    let transfers = range.map { index in
        let mode = ["file", "status/404", "hops/3", "cut"][index % 4]
        return Download(url: "\(base)/\(mode)/\(index)", folder: folder.path).start()
    }
    var fetched = 0
    for transfer in transfers {
        do throws(TransferError) {
            fetched += try await transfer.result().size == 1_000 ? 1 : 0
        } catch {
            #expect(error.kind == .refused(code: 404) || error.kind == .connection)
        }
    }
    return fetched
}

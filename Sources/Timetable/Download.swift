internal import Reactor
internal import Transfers

extension ChainRunner {
    /// Fetches files, some at a time. All are tried; the failure lists each that could not be had.
    func download(
        _ parameter: Parameter?, _ execution: inout Execution
    ) async throws(TaskFailure) {
        let batch = try DownloadBatch(parameter)
        canStop { batch.cancel() }
        defer { stopCurrent = nil }
        await batch.run()
        execution.output = batch.output
        if isStopping { throw TaskFailure("cancelled") }
        if let failure = batch.failure { throw failure }
    }
}

/// The downloads of one invocation, in the order of their URLs.
@LoopActor
final class DownloadBatch {
    private let downloads: [Download]
    private let width: Int
    private var outcomes: [Result<DownloadedFile, TransferError>?]
    private var underWay: [Int: Transfer<DownloadedFile>] = [:]
    private var next = 0
    private var isStopping = false

    init(_ parameter: Parameter?) throws(TaskFailure) {
        var keys = try NamedParameters(parameter, of: "Download")
        width = Int(try keys.integer("workersnum", in: 1...16) ?? 1)
        let urls = try keys.requiredTexts("fileurls")
        let folder = try keys.requiredText("destpath")
        let sizeLimit = try keys.integer("sizelimit", in: 1...Int64.max)
        let timeout = try keys.seconds("timeout")
        try keys.finish()
        downloads = urls.map { url in
            var download = Download(url: url, folder: folder)
            if let sizeLimit { download.sizeLimit = sizeLimit }
            download.timeout = timeout
            download.authorities = ProcessID.variable("SSL_CERT_FILE")
            return download
        }
        outcomes = Array(repeating: nil, count: urls.count)
        refuseEqualNames()
    }

    /// Of two files with one name the later would replace the earlier.
    private func refuseEqualNames() {
        var first: [String: Int] = [:]
        for (index, download) in downloads.enumerated() {
            guard let name = try? download.fileName() else { continue }  // said when it is tried
            if let earlier = first[name] {
                outcomes[index] = .failure(
                    TransferError(
                        .invalid,
                        "its file would be \(name), as that of URL \(earlier + 1)"))
            } else {
                first[name] = index
            }
        }
    }

    /// Throws what is wrong with its URLs, without asking for any.
    func check() throws(TaskFailure) {
        for (index, download) in downloads.enumerated() where outcomes[index] == nil {
            do throws(TransferError) {
                _ = try download.fileName()
            } catch {
                outcomes[index] = .failure(error)
            }
        }
        if let failure { throw failure }
    }

    func run() async {
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<min(width, downloads.count) {
                group.addTask { await self.work() }
            }
        }
    }

    private func work() async {
        while next < downloads.count, !isStopping {
            let index = next
            next += 1
            guard outcomes[index] == nil else { continue }
            let transfer = downloads[index].start()
            underWay[index] = transfer
            do throws(TransferError) {
                outcomes[index] = .success(try await transfer.result())
            } catch {
                outcomes[index] = .failure(error)
            }
            underWay[index] = nil
        }
    }

    func cancel() {
        isStopping = true
        for transfer in underWay.values { transfer.cancel() }
    }

    /// One line a file.
    var output: String {
        outcomes.map { outcome in
            guard case .success(let file) = outcome else { return "" }
            let resumed = file.resumedFrom > 0 ? ", resumed at \(file.resumedFrom)" : ""
            return "\(file.path): \(file.size) bytes\(resumed)\n"
        }.joined()
    }

    var failure: TaskFailure? {
        let reasons = outcomes.enumerated().compactMap { index, outcome -> String? in
            guard case .failure(let error) = outcome else { return nil }
            return "URL \(index + 1): \(error)"
        }
        guard !reasons.isEmpty else { return nil }
        let count = "\(reasons.count) of \(downloads.count) files could not be downloaded"
        return TaskFailure("\(count)\n\(reasons.joined(separator: "\n"))")
    }
}

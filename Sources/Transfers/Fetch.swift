internal import CCurl
internal import Glibc

/// One download under way, on its thread.
final class Fetch {
    private static let redirectLimit = 10
    /// Bytes a second; less for the stall timeout is a stall.
    private static let slowest = 1

    private let download: Download
    private let remote: RemoteFile
    private let control: TransferControl
    private let part: PartFile
    private var session: CurlSession
    /// What the server was asked for: the bytes after these.
    private var offset: Int64 = 0
    private var asked: Origin?
    private var hasBegun = false
    private var canResume = false
    /// The bytes that we have can't be continued: all of it must be fetched.
    private var mustStartAnew = false

    init(
        _ download: Download, _ remote: RemoteFile, _ control: TransferControl
    ) throws(TransferError) {
        if let path = remote.localPath { try Self.checkIsFile(path) }
        self.download = download
        self.remote = remote
        self.control = control
        part = try PartFile(folder: download.folder, name: remote.name)
        session = try CurlSession(control)
    }

    /// A pipe or a device would hold us, or have no end.
    private static func checkIsFile(_ path: String) throws(TransferError) {
        var found = stat()
        guard unsafe stat(path, &found) == 0 else { throw .file("read", path, code: errno) }
        guard found.st_mode & S_IFMT == S_IFREG else {
            throw TransferError(.invalid, "\(path) is no regular file")
        }
    }

    func run() throws(TransferError) -> DownloadedFile {
        do throws(TransferError) {
            let origin = part.readOrigin()
            if let origin, origin.url == remote.shown, remote.scheme.isHTTP {
                (asked, offset, canResume) = (origin, part.size, true)
            }
            do throws(TransferError) {
                try attempt()
            } catch {
                guard mustStartAnew, !control.isCancelled else { throw error }
                (asked, offset, hasBegun, mustStartAnew) = (nil, 0, false, false)
                session = try CurlSession(control)
                try attempt()
            }
            try part.take(control)
        } catch {
            // Kept only for what may end better the next time, and only if that can tell whether
            // it goes on with the same file. A full disk and a size over the limit won't.
            if !canResume || part.size == 0 || error.isFinal { part.discard() }
            throw error
        }
        return DownloadedFile(
            path: part.destination, size: part.size, resumedFrom: offset)
    }

    private func attempt() throws(TransferError) {
        setOptions()
        unsafe session.onBody = { [unowned self] bytes throws(TransferError) in
            if !hasBegun { try begin() }
            guard Int64(bytes.count) <= download.sizeLimit - part.size else { throw tooLarge }
            unsafe try part.append(bytes)
        }
        defer { unsafe session.onBody = nil }
        do throws(TransferError) {
            try session.perform()
        } catch {
            throw error.kind == .tooLarge ? tooLarge : error
        }
        // An empty body is never handed over.
        if !hasBegun { try begin() }
    }

    private func setOptions() {
        session.set(CURLOPT_URL, remote.url)
        session.set(CURLOPT_PROTOCOLS_STR, remote.scheme.rawValue)
        session.set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https,ftp")
        session.set(CURLOPT_FOLLOWLOCATION, 1)
        session.set(CURLOPT_MAXREDIRS, Self.redirectLimit)
        session.set(CURLOPT_USERAGENT, "carillon")
        session.set(CURLOPT_CONNECTTIMEOUT_MS, download.connectTimeout.milliseconds)
        session.set(CURLOPT_SERVER_RESPONSE_TIMEOUT, download.stallTimeout.wholeSeconds)
        session.set(CURLOPT_LOW_SPEED_LIMIT, Self.slowest)
        session.set(CURLOPT_LOW_SPEED_TIME, download.stallTimeout.wholeSeconds)
        if let timeout = download.timeout {
            session.set(CURLOPT_TIMEOUT_MS, timeout.milliseconds)
        }
        if let authorities = download.authorities { session.set(CURLOPT_CAINFO, authorities) }
        if !remote.scheme.isHTTP { session.set(CURLOPT_VERBOSE, 1) }
        if let asked {
            // What is announced may be the rest, or all: `begin` can tell.
            session.set(
                CURLOPT_HTTPHEADER,
                ["Range: bytes=\(offset)-", "If-Range: \(asked.validator)"])
        } else {
            session.set(CURLOPT_MAXFILESIZE_LARGE, size: download.sizeLimit)
        }
    }

    /// The answer is there, and its first bytes: what are they?
    private func begin() throws(TransferError) {
        hasBegun = true
        if remote.scheme.isHTTP { try checkStatus() }
        if let length = session.announcedLength, length > download.sizeLimit - offset {
            throw tooLarge
        }
        if asked != nil, offset > 0 { return }
        let origin = Origin(url: remote.shown, validator: session.validator)
        canResume = origin != nil && remote.scheme.isHTTP
        try part.begin(canResume ? origin : nil)
    }

    private func checkStatus() throws(TransferError) {
        let status = session.responseCode
        switch status {
        case 200, 203:
            // All of it: the server knows no ranges, or the entity is another now.
            (asked, offset) = (nil, 0)
        case 206 where asked != nil:
            let range = session.header("Content-Range") ?? ""
            let isSame = session.header("ETag").map { $0 == asked?.validator } ?? true
            guard range.hasPrefix("bytes \(offset)-"), isSame || asked?.isDate == true else {
                mustStartAnew = true
                throw TransferError(.refused(code: status), "another range than was asked for")
            }
        case 416 where asked != nil:
            mustStartAnew = true
            throw TransferError(.refused(code: status), "the server has no such range")
        case 0:
            break  // after a redirect to FTP
        default:
            throw TransferError(
                .refused(code: status), "the server answered with status \(status)")
        }
    }

    private var tooLarge: TransferError {
        TransferError(.tooLarge, "larger than the limit of \(download.sizeLimit) bytes")
    }
}

extension RemoteFile.Scheme {
    var isHTTP: Bool { self == .http || self == .https }
}

extension CurlSession {
    /// A strong validator of the entity in the answer (RFC 9110, section 8.8).
    fileprivate var validator: String? {
        if let tag = header("ETag") {
            return tag.hasPrefix("W/") || !tag.hasPrefix("\"") ? nil : tag
        }
        guard let modified = header("Last-Modified"), let date = header("Date") else { return nil }
        // Two states within one second have one date: strong only when it is older.
        let first = unsafe curl_getdate(modified, nil)
        let second = unsafe curl_getdate(date, nil)
        return first > 0 && second > first ? modified : nil
    }
}

extension Origin {
    fileprivate var isDate: Bool { !validator.hasPrefix("\"") }
}

extension TransferError {
    /// Trying again would take as much, and fail again.
    fileprivate var isFinal: Bool {
        switch kind {
        case .tooLarge, .file: true
        default: false
        }
    }
}

extension Duration {
    /// Rounded up, 1 at least: 0 would mean a default.
    var milliseconds: Int {
        let (seconds, attoseconds) = components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000)
        guard !overflow, whole < Int64(Int32.max) else { return Int(Int32.max) }
        return max(1, Int(whole) + Int((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000))
    }

    /// Rounded up, 1 at least.
    var wholeSeconds: Int { (milliseconds + 999) / 1_000 }
}

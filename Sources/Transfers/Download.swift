internal import Reactor

/// A file to be fetched from an URL into a folder, under the last component of the URL's path.
public struct Download: Equatable, Sendable {
    /// http, https, ftp or file.
    public var url: String
    public var folder: String
    /// In bytes; more is an error.
    public var sizeLimit: Int64 = 16 << 30
    public var connectTimeout: Duration = .seconds(30)
    /// How long no byte may come.
    public var stallTimeout: Duration = .seconds(60)
    /// Of all of it; nil is none.
    public var timeout: Duration?
    /// A file of the certificates to trust, in PEM; nil for those of the system.
    public var authorities: String?

    public init(url: String, folder: String) {
        self.url = url
        self.folder = folder
    }

    /// Under which name the file will be there.
    public func fileName() throws(TransferError) -> String {
        try RemoteFile(url).name
    }

    /// Starts it. An existing file of that name is replaced in the end, in one step, or untouched.
    @LoopActor public func start() -> Transfer<DownloadedFile> {
        Transfer { [self] control throws(TransferError) in try fetch(control) }
    }

    private func fetch(_ control: TransferControl) throws(TransferError) -> DownloadedFile {
        let remote = try RemoteFile(url)
        guard !folder.utf8.contains(0), authorities?.utf8.contains(0) != true else {
            throw TransferError(.invalid, "a path can't hold a NUL")
        }
        do throws(TransferError) {
            return try Fetch(self, remote, control).run()
        } catch {
            if error == .cancelled { throw error }
            throw error.told(of: remote.shown)
        }
    }
}

/// What a download left.
public struct DownloadedFile: Equatable, Sendable {
    public let path: String
    /// Of the whole file, in bytes.
    public let size: Int64
    /// How many of them were there from an attempt before.
    public let resumedFrom: Int64
}

internal import Glibc

/// Why a transfer did not succeed.
///
/// The texts hold no passwords: a URL in them has lost its user and password.
public struct TransferError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Kind: Equatable, Sendable {
        /// What was asked for can't be done as it is written; nothing was sent.
        case invalid
        case cancelled
        /// One of its own limits of time has passed.
        case timedOut
        /// The limit of the size was exceeded.
        case tooLarge
        /// The server answered, and refused: the status of HTTP, the reply code of FTP or SMTP.
        case refused(code: Int)
        /// The connection could not be made or was lost, or TLS failed.
        case connection
        /// A local file can't be read or written: errno(3).
        case file(code: Int32)
    }

    public let kind: Kind
    public let message: String

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    public var description: String { message }

    static let cancelled = TransferError(.cancelled, "cancelled")

    /// A call that failed on a file, with errno(3), to be read on the next line.
    static func file(_ doing: String, _ path: String, code: Int32) -> TransferError {
        TransferError(
            .file(code: code), "can't \(doing) \(path): \(unsafe String(cString: strerror(code)))")
    }

    /// The same error, told of `subject`.
    func told(of subject: String) -> TransferError {
        TransferError(kind, "\(subject): \(message)")
    }
}

internal import Glibc
internal import Reactor

/// A mail to be handed to an SMTP server.
public struct Mail: Equatable, Sendable {
    public enum Security: String, Sendable {
        /// STARTTLS where it is offered; required when there is a password.
        case automatic = "auto"
        case none
        /// Required.
        case startTLS = "starttls"
        /// TLS from the first byte.
        case implicitTLS = "tls"
    }

    public enum Attachment: Equatable, Sendable {
        /// A file, read while it is sent.
        case file(String)
        case bytes(name: String, [UInt8])
    }

    public var host: String
    /// Nil: 465 for implicit TLS, else 587 with a password and 25 without.
    public var port: Int?
    public var security = Security.automatic
    /// Empty: no login.
    public var user = ""
    public var password = ""
    /// In place of `password`: a file of which the first line is it.
    public var passwordFile: String?

    public var from: MailAddress
    public var replyTo: MailAddress?
    public var to: [MailAddress] = []
    public var cc: [MailAddress] = []
    /// Only in the envelope.
    public var bcc: [MailAddress] = []
    public var subject = ""
    public var body = ""
    /// Of the body; UTF-8 is added.
    public var contentType = "text/plain"
    public var attachments: [Attachment] = []

    /// Of all attachments, in bytes.
    public var attachmentLimit: Int64 = 50 << 20
    public var connectTimeout: Duration = .seconds(30)
    /// How long the server may take for an answer. RFC 5321 has up to ten minutes for the last.
    public var responseTimeout: Duration = .seconds(300)
    /// A file of the certificates to trust, in PEM; nil for those of the system.
    public var authorities: String?

    public init(host: String, from: MailAddress) {
        self.host = host
        self.from = from
    }

    /// Starts it. It is sent to all recipients, or to none.
    @LoopActor public func start() -> Transfer<MailReceipt> {
        Transfer { [self] control throws(TransferError) in
            var mail = self
            if let passwordFile { mail.password = try Self.firstLine(of: passwordFile) }
            try mail.check()
            return try Delivery(mail, control).run()
        }
    }

    private static func firstLine(of path: String) throws(TransferError) -> String {
        guard !path.utf8.contains(0) else {
            throw TransferError(.invalid, "a path can't hold a NUL")
        }
        // Not blocking: a pipe without a writer is no reason to wait for ever.
        let number = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard number >= 0 else { throw .file("read", path, code: errno) }
        let file = Descriptor(owning: number)
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = unsafe read(file.number, &bytes, bytes.count)
        guard count >= 0 else { throw .file("read", path, code: errno) }
        let line = bytes[..<count].prefix { $0 != 0x0A && $0 != 0x0D }
        guard !line.isEmpty else {
            throw TransferError(.invalid, "no password in the first line of \(path)")
        }
        return String(decoding: line, as: UTF8.self)
    }

    private func check() throws(TransferError) {
        let forbidden = "/@?#\\%<>\"'[]{}|^` "
        guard !host.isEmpty,
            host.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F && !forbidden.utf8.contains($0) })
        else { throw TransferError(.invalid, "\"\(host)\" is no name of a mail server") }
        if let port, !(1...65_535).contains(port) {
            throw TransferError(.invalid, "\(port) is no port")
        }
        guard !(to + cc + bcc).isEmpty else {
            throw TransferError(.invalid, "the mail has no recipient")
        }
        try MailHeader.check(user, "the user name")
        try MailHeader.check(password, "the password")
        try MailHeader.check(subject, "the subject")
        try MailHeader.check(contentType, "the content type")
        let type = contentType.split(separator: ";").first ?? ""
        guard contentType.utf8.allSatisfy({ 0x20...0x7E ~= $0 }),
            type.split(separator: "/", omittingEmptySubsequences: false).count == 2,
            type.lowercased().hasPrefix("text/")
        else {
            throw TransferError(
                .invalid, "the body can't be of the type \"\(contentType)\": it is a text")
        }
    }

    /// The server as an URL of libcurl.
    var url: String {
        let scheme = security == .implicitTLS ? "smtps" : "smtp"
        let usual = security == .implicitTLS ? 465 : password.isEmpty ? 25 : 587
        // An IPv6 address.
        let name = host.contains(":") ? "[\(host)]" : host
        return "\(scheme)://\(name):\(port ?? usual)/"
    }
}

/// What the server said when it took a mail.
public struct MailReceipt: Equatable, Sendable {
    /// Such as `250 2.0.0 Ok: queued as 4F1A`.
    public let reply: String
}

internal import CCurl
internal import Glibc

/// The message of a mail, built by libcurl's MIME interface: it encodes, folds and reads files.
@safe final class MimeMessage {
    private let mime: OpaquePointer
    private var lists: [UnsafeMutablePointer<curl_slist>] = unsafe []

    /// Builds it, and has the session send it; it must live until the session has ended.
    init(_ mail: Mail, _ session: CurlSession) throws(TransferError) {
        let made = unsafe session.withHandle { unsafe curl_mime_init($0) }
        guard let made = unsafe made else { throw Self.noMemory }
        unsafe mime = unsafe made
        session.set(CURLOPT_HTTPHEADER, Self.header(mail))
        try addText(mail)
        var left = mail.attachmentLimit
        for attachment in mail.attachments {
            let size = try add(attachment)
            guard size <= left else {
                throw TransferError(
                    .tooLarge,
                    "the attachments are larger than the limit of \(mail.attachmentLimit) bytes")
            }
            left -= size
        }
        unsafe session.set(CURLOPT_MIMEPOST, pointer: UnsafeMutableRawPointer(mime))
    }

    deinit {
        unsafe curl_mime_free(mime)
        while let list = unsafe lists.popLast() { unsafe curl_slist_free_all(list) }
    }

    private static let noMemory = TransferError(.invalid, "no memory to build a mail")

    // MARK: The header

    private static func header(_ mail: Mail) -> [String] {
        var now = time_t()
        unsafe time(&now)
        var generator = SystemRandomNumberGenerator()
        let unique = "\(String(generator.next(), radix: 36)).\(String(generator.next(), radix: 36))"
        var fields = [
            "Date: \(MailHeader.date(secondsSince1970: now))",
            "From: \(mail.from.written)",
            // A mail with hidden recipients only still has this field.
            field("To", mail.to) ?? (mail.cc.isEmpty ? "To: undisclosed-recipients:;" : nil),
            field("Cc", mail.cc),
            mail.replyTo.map { "Reply-To: \($0.written)" },
            "Subject: \(MailHeader.unstructured(mail.subject))",
            "Message-ID: <\(unique)@\(mail.from.domain)>",
            // RFC 3834: no answers of machines to a machine.
            "Auto-Submitted: auto-generated",
        ]
        // An empty one would be left out by libcurl.
        if mail.subject.isEmpty { fields.removeAll { $0 == "Subject: " } }
        return fields.compactMap(\.self)
    }

    private static func field(_ name: String, _ addresses: [MailAddress]) -> String? {
        guard !addresses.isEmpty else { return nil }
        return "\(name): " + addresses.map(\.written).joined(separator: ",\r\n ")
    }

    // MARK: The parts

    private func addText(_ mail: Mail) throws(TransferError) {
        let part = try unsafe addPart()
        let text = mail.body.withCarriageReturns
        unsafe try check(curl_mime_data(part, text, text.utf8.count))
        let type = mail.contentType
        let hasCharset = type.lowercased().contains("charset=")
        unsafe try check(curl_mime_type(part, hasCharset ? type : "\(type); charset=UTF-8"))
        unsafe try check(curl_mime_encoder(part, "quoted-printable"))
    }

    /// Returns the size in bytes.
    private func add(_ attachment: Mail.Attachment) throws(TransferError) -> Int64 {
        let part = try unsafe addPart()
        let name: String
        let size: Int64
        switch attachment {
        case .file(let path):
            size = try Self.size(ofFile: path)
            name = path.split(separator: "/").last.map(String.init) ?? path
            // "-" alone would be the standard input.
            unsafe try check(curl_mime_filedata(part, path.hasPrefix("/") ? path : "./\(path)"))
        case .bytes(let given, let bytes):
            (name, size) = (given, Int64(bytes.count))
            // No address at all would take the content away.
            let code = unsafe bytes.withUnsafeBytes { bytes in
                let start = unsafe bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
                guard let start = unsafe start else { return unsafe curl_mime_data(part, "", 0) }
                return unsafe curl_mime_data(part, start, bytes.count)
            }
            try check(code)
            // For the type, which follows from its end.
            try MailHeader.check(name, "the name of an attachment")
            unsafe try check(curl_mime_filename(part, name))
        }
        try MailHeader.check(name, "the name of an attachment")
        guard !name.isEmpty, !name.contains("/") else {
            throw TransferError(.invalid, "\"\(name)\" is no name of an attachment")
        }
        unsafe try check(curl_mime_encoder(part, "base64"))
        let list = unsafe curl_slist_append(nil, MailHeader.disposition(name))
        guard let list = unsafe list else { throw Self.noMemory }
        unsafe lists.append(list)
        unsafe try check(curl_mime_headers(part, list, 0))
        return size
    }

    private func addPart() throws(TransferError) -> OpaquePointer {
        guard let part = unsafe curl_mime_addpart(mime) else { throw Self.noMemory }
        return unsafe part
    }

    private func check(_ code: CURLcode) throws(TransferError) {
        guard code == CURLE_OK else {
            let reason = unsafe String(cString: curl_easy_strerror(code))
            throw TransferError(.invalid, "the mail can't be built: \(reason)")
        }
    }

    private static func size(ofFile path: String) throws(TransferError) -> Int64 {
        guard !path.utf8.contains(0) else {
            throw TransferError(.invalid, "the path of an attachment can't hold a NUL")
        }
        var found = stat()
        guard unsafe stat(path, &found) == 0 else { throw .file("read", path, code: errno) }
        guard found.st_mode & S_IFMT == S_IFREG else {
            throw TransferError(.invalid, "\(path) is no regular file")
        }
        guard unsafe access(path, R_OK) == 0 else { throw .file("read", path, code: errno) }
        return Int64(found.st_size)
    }
}

extension String {
    /// Every kind of line end as RFC 5322 has it.
    fileprivate var withCarriageReturns: String {
        // In scalars: Swift takes CR LF for one character.
        var bytes: [UInt8] = []
        bytes.reserveCapacity(utf8.count + 64)
        var last: UInt8 = 0
        for byte in utf8 {
            switch byte {
            case 0x0D: bytes += [0x0D, 0x0A]
            case 0x0A where last == 0x0D: break
            case 0x0A: bytes += [0x0D, 0x0A]
            default: bytes.append(byte)
            }
            last = byte
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

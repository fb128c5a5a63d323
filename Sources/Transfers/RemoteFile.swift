internal import CCurl
internal import Glibc

/// What an URL names, checked, and how it may be shown.
struct RemoteFile: Equatable {
    enum Scheme: String {
        case http, https, ftp, file
    }

    let url: String
    let scheme: Scheme
    /// The URL without user and password.
    let shown: String
    /// The last component of its path, decoded.
    let name: String

    init(_ url: String) throws(TransferError) {
        let parsed = try ParsedURL(url)
        self.url = url
        guard let scheme = Scheme(rawValue: parsed.part(CURLUPART_SCHEME) ?? "") else {
            throw TransferError(
                .invalid, "\(parsed.shown): only http, https, ftp and file can be downloaded")
        }
        self.scheme = scheme
        shown = parsed.shown
        do throws(TransferError) {
            name = try Self.name(inPath: parsed.part(CURLUPART_PATH) ?? "")
        } catch {
            throw error.told(of: parsed.shown)
        }
    }

    /// The path of a file: URL, decoded.
    var localPath: String? {
        guard scheme == .file, let parsed = try? ParsedURL(url),
            let path = parsed.part(CURLUPART_PATH)
        else { return nil }
        return Self.decode(path[...])
    }

    static func name(inPath path: String) throws(TransferError) -> String {
        let last = path.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        guard let name = decode(last) else {
            throw TransferError(.invalid, "the file name in it is not UTF-8")
        }
        guard !name.isEmpty else {
            throw TransferError(.invalid, "it names no file: its path ends with a slash")
        }
        guard name != ".", name != "..", !name.utf8.contains(0), !name.utf8.contains(0x2F) else {
            throw TransferError(.invalid, "its last component can't be the name of a file")
        }
        return name
    }

    /// RFC 3986, section 2.1; nil when the bytes are not UTF-8. What is no escape stays as it is.
    private static func decode(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

/// An URL in libcurl's own reading, so that we check what it will use: libcurl-url(3).
@safe final class ParsedURL {
    private let handle: OpaquePointer

    /// Refuses what libcurl can't read; the error does not repeat it, as it may hold a password.
    init(_ url: String) throws(TransferError) {
        guard !url.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
            throw TransferError(.invalid, "an URL can't hold control characters")
        }
        guard let handle = unsafe curl_url() else {
            throw TransferError(.invalid, "no memory to read an URL")
        }
        unsafe self.handle = unsafe handle
        // A blank in the path is common, and has one meaning.
        let flags = UInt32(CURLU_NON_SUPPORT_SCHEME) | UInt32(CURLU_ALLOW_SPACE)
        let code = unsafe curl_url_set(handle, CURLUPART_URL, url, flags)
        guard code == CURLUE_OK else {
            let reason = unsafe String(cString: curl_url_strerror(code))
            throw TransferError(.invalid, "an URL that can't be read: \(reason)")
        }
    }

    deinit {
        unsafe curl_url_cleanup(handle)
    }

    func part(_ part: CURLUPart) -> String? {
        var text: UnsafeMutablePointer<CChar>?
        guard unsafe curl_url_get(handle, part, &text, 0) == CURLUE_OK, let text = unsafe text
        else { return nil }
        defer { unsafe curl_free(text) }
        return unsafe String(cString: text)
    }

    /// The URL without user and password.
    var shown: String {
        guard let copy = unsafe curl_url_dup(handle) else { return "an URL" }
        defer { unsafe curl_url_cleanup(copy) }
        for part in [CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS] {
            unsafe _ = curl_url_set(copy, part, nil, 0)
        }
        var text: UnsafeMutablePointer<CChar>?
        guard unsafe curl_url_get(copy, CURLUPART_URL, &text, 0) == CURLUE_OK,
            let text = unsafe text
        else { return "an URL" }
        defer { unsafe curl_free(text) }
        return unsafe String(cString: text)
    }
}

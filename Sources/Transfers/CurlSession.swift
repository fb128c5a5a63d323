internal import CCurl
internal import Glibc

/// One transfer of libcurl; used by one thread.
///
/// Failures of options are kept, and thrown by `perform`.
@safe final class CurlSession {
    /// Initialised once, before the first use on any thread: curl_global_init(3).
    private static let isLibraryReady = ccurl_global_init() == CURLE_OK

    /// The longest that libcurl waits before it looks around, in milliseconds.
    private static let pollTime: Int32 = 1_000

    private let easy: UnsafeMutableRawPointer
    private let control: TransferControl
    private let errorText: UnsafeMutablePointer<CChar>
    private var lists: [UnsafeMutablePointer<curl_slist>?] = unsafe []
    private var optionFailure: CURLcode = CURLE_OK

    /// Takes bytes of the body; an error ends the transfer.
    var onBody: ((UnsafeRawBufferPointer) throws(TransferError) -> Void)?
    /// The last final line of a reply of FTP or SMTP, such as `550 No such file`.
    private(set) var lastReply = ""
    /// What is answered to QUIT says nothing about the transfer.
    private var hasQuit = false
    /// Sees each of these.
    var onReply: ((String) -> Void)?
    /// Sees each line of the dialogue that we send; only for protocols that have one.
    var onCommand: ((String) -> Void)?
    private var callbackFailure: TransferError?

    init(_ control: TransferControl) throws(TransferError) {
        guard Self.isLibraryReady, let easy = unsafe curl_easy_init() else {
            throw TransferError(.invalid, "libcurl can't be initialised")
        }
        unsafe self.easy = unsafe easy
        self.control = control
        let size = Int(CURL_ERROR_SIZE)
        unsafe errorText = .allocate(capacity: size)
        unsafe errorText.initialize(repeating: 0, count: size)
        setCallbacks()
    }

    deinit {
        unsafe curl_easy_cleanup(easy)
        while let list = unsafe lists.popLast() { unsafe curl_slist_free_all(list) }
        unsafe errorText.deallocate()
    }

    // MARK: Options

    func set(_ option: CURLoption, _ value: Int) {
        note(unsafe ccurl_set_number(easy, option, value))
    }

    func set(_ option: CURLoption, size: Int64) {
        note(unsafe ccurl_set_size(easy, option, curl_off_t(size)))
    }

    func set(_ option: CURLoption, _ value: String?) {
        // Without the bytes after a NUL it would be another value.
        precondition(value?.utf8.contains(0) != true, "a NUL in an option")
        note(unsafe ccurl_set_text(easy, option, value))
    }

    func set(_ option: CURLoption, _ values: [String]) {
        var list: UnsafeMutablePointer<curl_slist>?
        for value in values {
            guard let longer = unsafe curl_slist_append(list, value) else {
                note(CURLE_OUT_OF_MEMORY)
                break
            }
            unsafe list = longer
        }
        unsafe lists.append(list)
        note(unsafe ccurl_set_pointer(easy, option, list))
    }

    /// The context of callbacks, and what else must outlive the session.
    func set(_ option: CURLoption, pointer: UnsafeMutableRawPointer?) {
        note(unsafe ccurl_set_pointer(easy, option, pointer))
    }

    /// For libcurl's functions that build something for a handle.
    func withHandle<Result>(_ body: (UnsafeMutableRawPointer) -> Result) -> Result {
        unsafe body(easy)
    }

    private func note(_ code: CURLcode) {
        if optionFailure == CURLE_OK { optionFailure = code }
    }

    private func setCallbacks() {
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        unsafe set(CURLOPT_ERRORBUFFER, pointer: errorText)
        for option in [
            CURLOPT_WRITEDATA, CURLOPT_HEADERDATA, CURLOPT_XFERINFODATA, CURLOPT_DEBUGDATA,
            CURLOPT_OPENSOCKETDATA, CURLOPT_CLOSESOCKETDATA,
        ] { unsafe set(option, pointer: context) }
        note(unsafe ccurl_set_take(easy, CURLOPT_WRITEFUNCTION, takeBody))
        note(unsafe ccurl_set_take(easy, CURLOPT_HEADERFUNCTION, takeLine))
        note(unsafe ccurl_set_progress(easy, look))
        note(unsafe ccurl_set_debug(easy, hearDebug))
        note(unsafe ccurl_set_open(easy, openSocket))
        note(unsafe ccurl_set_close(easy, closeSocket))
        set(CURLOPT_NOPROGRESS, 0)
        set(CURLOPT_NOSIGNAL, 1)
        // A name server that is silent: its thread is left behind, not waited for.
        set(CURLOPT_QUICK_EXIT, 1)
        // A connection ends with its transfer: nothing is left open between two.
        set(CURLOPT_FORBID_REUSE, 1)
    }

    // MARK: What is known after the answer began

    /// The status of HTTP; 0 when there was none.
    var responseCode: Int {
        var code = 0
        unsafe _ = ccurl_get_number(easy, CURLINFO_RESPONSE_CODE, &code)
        return code
    }

    /// The last reply code of FTP or SMTP; libcurl's own is forgotten at QUIT.
    var replyCode: Int? { Int(lastReply.prefix(3)) }

    /// As the server announced it; nil when it did not.
    var announcedLength: Int64? {
        var length: curl_off_t = -1
        unsafe _ = ccurl_get_size(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length)
        return length < 0 ? nil : Int64(length)
    }

    /// A header of the last answer, after redirects.
    func header(_ name: String) -> String? {
        var header: UnsafeMutablePointer<curl_header>?
        let code = unsafe curl_easy_header(easy, name, 0, UInt32(CURLH_HEADER), -1, &header)
        guard code == CURLHE_OK, let value = unsafe header?.pointee.value else { return nil }
        return unsafe String(cString: value)
    }

    // MARK: Running

    /// Runs the transfer to its end.
    func perform() throws(TransferError) {
        if optionFailure != CURLE_OK { throw error(optionFailure) }
        guard let multi = unsafe curl_multi_init() else { throw error(CURLE_OUT_OF_MEMORY) }
        unsafe control.wakes(NetworkWait(multi))
        defer {
            control.wakes(nil)
            unsafe curl_multi_remove_handle(multi, easy)
            unsafe curl_multi_cleanup(multi)
        }
        var running: Int32 = 1
        var code = unsafe curl_multi_add_handle(multi, easy)
        while code == CURLM_OK, running > 0 {
            unsafe code = curl_multi_perform(multi, &running)
            if control.isCancelled { throw .cancelled }
            guard code == CURLM_OK, running > 0 else { break }
            unsafe code = curl_multi_poll(multi, nil, 0, Self.pollTime, nil)
        }
        guard code == CURLM_OK else {
            let reason = unsafe String(cString: curl_multi_strerror(code))
            throw TransferError(.connection, "libcurl: \(reason)")
        }
        var left: Int32 = 0
        let message = unsafe curl_multi_info_read(multi, &left)
        let result = unsafe message.map { unsafe ccurl_result($0) } ?? CURLE_ABORTED_BY_CALLBACK
        if let callbackFailure { throw callbackFailure }
        if result != CURLE_OK { throw error(result) }
    }

    private func error(_ code: CURLcode) -> TransferError {
        if code == CURLE_ABORTED_BY_CALLBACK || control.isCancelled { return .cancelled }
        let detail = unsafe String(cString: errorText)
        let reason = detail.isEmpty ? unsafe String(cString: curl_easy_strerror(code)) : detail
        let kind: TransferError.Kind =
            switch code {
            case CURLE_OPERATION_TIMEDOUT: .timedOut
            case CURLE_FILESIZE_EXCEEDED: .tooLarge
            case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL, CURLE_UNKNOWN_OPTION,
                CURLE_BAD_FUNCTION_ARGUMENT, CURLE_NOT_BUILT_IN, CURLE_SSL_CACERT_BADFILE:
                .invalid
            case CURLE_REMOTE_ACCESS_DENIED, CURLE_LOGIN_DENIED, CURLE_REMOTE_FILE_NOT_FOUND,
                CURLE_FTP_COULDNT_RETR_FILE, CURLE_TOO_MANY_REDIRECTS:
                .refused(code: replyCode ?? responseCode)
            default: .connection
            }
        return TransferError(kind, reason)
    }

    // MARK: Callbacks

    fileprivate static func of(_ context: UnsafeMutableRawPointer?) -> CurlSession? {
        unsafe context.map { unsafe Unmanaged<CurlSession>.fromOpaque($0).takeUnretainedValue() }
    }

    fileprivate func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
        do throws(TransferError) {
            unsafe try onBody?(bytes)
            return true
        } catch {
            callbackFailure = error
            return false
        }
    }

    fileprivate func hear(line: UnsafeRawBufferPointer) {
        // RFC 959 and RFC 5321: a line before the last has a hyphen after the code.
        let digits = unsafe line.prefix(3)
        guard !hasQuit, line.count >= 3, unsafe digits.allSatisfy({ 0x30...0x39 ~= $0 }),
            unsafe line.count == 3 || line[3] != UInt8(ascii: "-")
        else { return }
        let text = unsafe String(decoding: line, as: UTF8.self)
        lastReply = String(text.prefix { !$0.isNewline })
        onReply?(lastReply)
    }

    fileprivate func hear(command: UnsafeRawBufferPointer) {
        let line = unsafe String(decoding: command, as: UTF8.self)
        onCommand?(line)
        // Politeness that needs no answer: all that mattered has been answered before.
        if line == "QUIT\r\n" {
            hasQuit = true
            control.stopReading()
        }
    }

    fileprivate var isCancelled: Bool { control.isCancelled }

    fileprivate func open(_ address: UnsafeMutablePointer<curl_sockaddr>) -> Int32 {
        let wanted = unsafe address.pointee
        let descriptor = socket(
            wanted.family, wanted.socktype | Int32(SOCK_CLOEXEC.rawValue), wanted.protocol)
        if descriptor >= 0 { control.opened(descriptor) }
        return descriptor
    }

    fileprivate func close(_ descriptor: Int32) -> Int32 {
        control.close(descriptor)
    }
}

private let takeBody: ccurl_take = { bytes, size, count, context in
    guard let session = unsafe CurlSession.of(context) else { return 0 }
    let buffer = unsafe UnsafeRawBufferPointer(start: bytes, count: size * count)
    return unsafe session.take(buffer) ? size * count : 0
}

private let takeLine: ccurl_take = { bytes, size, count, context in
    let line = unsafe UnsafeRawBufferPointer(start: bytes, count: size * count)
    unsafe CurlSession.of(context)?.hear(line: line)
    return size * count
}

/// Called at least once a second, also where libcurl waits by itself.
private let look: curl_xferinfo_callback = { context, _, _, _, _ in
    unsafe CurlSession.of(context)?.isCancelled == true ? 1 : 0
}

private let hearDebug: curl_debug_callback = { _, kind, bytes, count, context in
    if kind == CURLINFO_HEADER_OUT {
        let line = unsafe UnsafeRawBufferPointer(start: bytes, count: count)
        unsafe CurlSession.of(context)?.hear(command: line)
    }
    return 0
}

private let openSocket: curl_opensocket_callback = { context, _, address in
    guard let address = unsafe address else { return -1 }
    return unsafe CurlSession.of(context)?.open(address) ?? -1
}

private let closeSocket: curl_closesocket_callback = { context, descriptor in
    unsafe CurlSession.of(context)?.close(descriptor) ?? Glibc.close(descriptor)
}

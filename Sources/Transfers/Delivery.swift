internal import CCurl
internal import Glibc

/// One mail on its way, on its thread.
final class Delivery {
    private let mail: Mail
    private let session: CurlSession
    private let control: TransferControl

    /// The command that was sent last; of a login only its first word.
    private var command = ""
    /// The first refusal of something that can't be done without.
    private var refusal: (command: String, reply: String)?
    private var isBodyUnderWay = false
    private var receipt: String?

    init(_ mail: Mail, _ control: TransferControl) throws(TransferError) {
        self.mail = mail
        self.control = control
        session = try CurlSession(control)
    }

    func run() throws(TransferError) -> MailReceipt {
        setOptions()
        // Read while it is sent: it lives until the end of this function.
        let message = try MimeMessage(mail, session)
        defer { withExtendedLifetime(message) {} }
        session.onCommand = { [unowned self] line in sent(line) }
        session.onReply = { [unowned self] line in answered(line) }
        do throws(TransferError) {
            try session.perform()
        } catch {
            // The server has it; only what came after the answer failed.
            if let receipt { return MailReceipt(reply: hideSecrets(receipt)) }
            throw explained(error)
        }
        return MailReceipt(reply: hideSecrets(receipt ?? session.lastReply))
    }

    private func setOptions() {
        session.set(CURLOPT_URL, mail.url)
        session.set(CURLOPT_PROTOCOLS_STR, "smtp,smtps")
        // The dialogue is heard by way of the log.
        session.set(CURLOPT_VERBOSE, 1)
        let level =
            switch mail.security {
            case .automatic: mail.password.isEmpty ? CURLUSESSL_TRY : CURLUSESSL_ALL
            case .none: CURLUSESSL_NONE
            case .startTLS, .implicitTLS: CURLUSESSL_ALL
            }
        session.set(CURLOPT_USE_SSL, Int(level.rawValue))
        if let authorities = mail.authorities { session.set(CURLOPT_CAINFO, authorities) }
        if !mail.user.isEmpty {
            session.set(CURLOPT_USERNAME, mail.user)
            session.set(CURLOPT_PASSWORD, mail.password)
        }
        session.set(CURLOPT_CONNECTTIMEOUT_MS, mail.connectTimeout.milliseconds)
        session.set(CURLOPT_SERVER_RESPONSE_TIMEOUT, mail.responseTimeout.wholeSeconds)
        session.set(CURLOPT_LOW_SPEED_LIMIT, 1)
        session.set(CURLOPT_LOW_SPEED_TIME, mail.responseTimeout.wholeSeconds)
        session.set(CURLOPT_MAIL_FROM, "<\(mail.from.address)>")
        session.set(
            CURLOPT_MAIL_RCPT, (mail.to + mail.cc + mail.bcc).map { "<\($0.address)>" })
    }

    // MARK: The dialogue

    private func sent(_ line: String) {
        let verb = line.prefix { !$0.isWhitespace }.uppercased()
        // The rest of a login is a secret.
        let isEnvelope = ["MAIL", "RCPT", "DATA", "STARTTLS", "EHLO", "HELO"].contains(verb)
        command = isEnvelope ? String(line.prefix { !$0.isNewline }) : "AUTH"
        if verb == "QUIT" { command = "QUIT" }
    }

    private func answered(_ line: String) {
        let code = Int(line.prefix(3)) ?? 0
        if command == "DATA", code == 354 {
            isBodyUnderWay = true
        } else if isBodyUnderWay, (200..<300).contains(code) {
            (isBodyUnderWay, receipt) = (false, line)
        } else if code >= 400, receipt == nil, command != "QUIT", refusal == nil,
            !command.hasPrefix("EHLO")
        {
            isBodyUnderWay = false
            refusal = (command, line)
        }
    }

    private func explained(_ error: TransferError) -> TransferError {
        if isBodyUnderWay {
            // Honest for whoever would send it again.
            return TransferError(
                error.kind, "\(error.message); whether the server took the mail is not known")
        }
        guard error.kind != .cancelled, error.kind != .timedOut else { return error }
        guard let refusal else {
            return TransferError(error.kind, hideSecrets("\(mail.host): \(error.message)"))
        }
        let what =
            switch refusal.command.prefix(4) {
            case "RCPT": "the recipient \(Self.address(in: refusal.command))"
            case "MAIL": "the sender \(Self.address(in: refusal.command))"
            case "AUTH": "the login of \(mail.user)"
            case "STAR": "TLS"
            case "DATA": "the mail"
            default: "the connection"
            }
        let code = Int(refusal.reply.prefix(3)) ?? 0
        return TransferError(
            .refused(code: code),
            hideSecrets("\(mail.host) refused \(what): \(refusal.reply)"))
    }

    private static func address(in command: String) -> Substring {
        guard let open = command.firstIndex(of: "<"), let close = command.lastIndex(of: ">"),
            open < close
        else { return "" }
        return command[command.index(after: open)..<close]
    }

    /// A server may repeat what it was sent.
    private func hideSecrets(_ text: String) -> String {
        var result = text
        let plain = Array("\0\(mail.user)\0\(mail.password)".utf8)
        for secret in [
            mail.password, Base64.encode(Array(mail.password.utf8)), Base64.encode(plain),
        ] where secret.utf8.count >= 4 { result = result.replacing(secret, with: "***") }
        return result
    }
}

internal import Transfers

extension ChainRunner {
    /// Sends one mail: to all its recipients, or to none.
    func sendMail(
        _ parameter: Parameter?, _ execution: inout Execution
    ) async throws(TaskFailure) {
        var mail = try Mail(parameter)
        mail.authorities = ProcessID.variable("SSL_CERT_FILE")
        let transfer = mail.start()
        canStop { transfer.cancel() }
        defer { stopCurrent = nil }
        do throws(TransferError) {
            execution.output = "\(try await transfer.result().reply)\n"
        } catch {
            throw TaskFailure(error.message)
        }
    }
}

extension Mail {
    /// Reads the parameter of SendMail: the keys of pg_timetable, and TLS, PasswordFile, ReplyTo.
    init(_ parameter: Parameter?) throws(TaskFailure) {
        var keys = try NamedParameters(parameter, of: "SendMail")
        let host = try keys.requiredText("ServerHost")
        self.init(
            host: host, from: try Self.address(try keys.requiredText("SenderAddr"), "SenderAddr"))
        port = try keys.integer("ServerPort", in: 1...65_535).map { Int($0) }
        security = try Self.security(try keys.text("TLS"))
        user = try keys.text("Username") ?? ""
        password = try keys.text("Password") ?? ""
        passwordFile = try keys.text("PasswordFile")
        guard passwordFile == nil || password.isEmpty else {
            throw TaskFailure("SendMail: there is both a \"Password\" and a \"PasswordFile\"")
        }
        if let text = try keys.text("ReplyTo") { replyTo = try Self.address(text, "ReplyTo") }
        to = try Self.addresses("ToAddr", &keys)
        cc = try Self.addresses("CcAddr", &keys)
        bcc = try Self.addresses("BccAddr", &keys)
        guard !(to + cc + bcc).isEmpty else {
            throw TaskFailure("SendMail: the key \"ToAddr\" is missing")
        }
        subject = try keys.text("Subject") ?? ""
        body = try keys.text("MsgBody") ?? ""
        if let type = try keys.text("ContentType"), !type.isEmpty { contentType = type }
        attachments = try keys.texts("Attachment").map { .file($0) }
        for var item in try keys.objects("AttachmentData") {
            let name = try item.requiredText("Name")
            guard let bytes = Base64.decode(try item.text("Base64Data") ?? "") else {
                throw TaskFailure("SendMail: the \"Base64Data\" of an attachment is no base64")
            }
            try item.finish()
            attachments.append(.bytes(name: name, bytes))
        }
        try keys.finish()
    }

    private static func security(_ text: String?) throws(TaskFailure) -> Security {
        guard let text else { return .automatic }
        guard let security = Security(rawValue: text.lowercased()) else {
            throw TaskFailure("SendMail: \"TLS\" must be auto, none, starttls or tls")
        }
        return security
    }

    private static func addresses(
        _ key: String, _ keys: inout NamedParameters
    ) throws(TaskFailure) -> [MailAddress] {
        var addresses: [MailAddress] = []
        for text in try keys.texts(key) { addresses.append(try address(text, key)) }
        return addresses
    }

    private static func address(
        _ text: String, _ key: String
    ) throws(TaskFailure) -> MailAddress {
        do throws(TransferError) {
            return try MailAddress(text, key)
        } catch {
            throw TaskFailure("SendMail: \(error)")
        }
    }
}

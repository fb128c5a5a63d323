import Foundation
import Reactor
import TestSupport
import Transfers

/// A mail as the server received it.
struct ReceivedMail: Decodable {
    struct Part: Decodable {
        let type: String
        let charset: String?
        let name: String?
        let content: Data
    }

    let from: String
    let recipients: [String]
    let tls: Bool
    let login: String?
    let header: [[String]]
    let raw: String
    let defects: [String]
    let longest: Int
    let parts: [Part]

    /// All fields of a name.
    func fields(_ name: String) -> [String] {
        header.filter { $0[0] == name }.map { $0[1] }
    }
}

/// A mail server in one of its modes.
struct MailServer {
    let server: TestServer
    let certificate: TestCertificate

    init(_ mode: String) async throws {
        certificate = try TestCertificate.shared()
        let tls =
            ["plain", "silent", "stuck", "rude"].contains(mode)
            ? [] : [certificate.certificate, certificate.key]
        server = try await TestServer("mail", [mode] + tls)
    }

    /// A mail to this server, from a to b.
    func mail() throws -> Mail {
        var mail = Mail(host: "localhost", from: try MailAddress("a@example.com", "from"))
        mail.port = server.port
        mail.to = [try MailAddress("b@example.com", "to")]
        mail.authorities = certificate.certificate
        mail.subject = "hello"
        mail.body = "text"
        return mail
    }

    /// The first mail: the server prints it before it answers, and we may read that later.
    func firstReceived() async throws -> ReceivedMail? {
        try await server.process.waitForLine(containing: "MAIL ")
        return try received().first
    }

    /// The mails so far.
    func received() throws -> [ReceivedMail] {
        try server.lines("MAIL").map { line in
            try JSONDecoder().decode(ReceivedMail.self, from: Data(line.dropFirst(5).utf8))
        }
    }
}

/// Sends a mail from the test's loop.
@discardableResult
func send(_ mail: Mail) async throws -> MailReceipt {
    try await onTestLoop { try await mail.start().result() }
}

/// The error of a mail that must fail.
func failure(_ mail: Mail) async throws -> TransferError {
    do {
        let receipt = try await send(mail)
        throw NotReached("it was sent: \(receipt)")
    } catch let error as TransferError {
        return error
    }
}

import Foundation
import Reactor
import TestSupport
import Testing
import Transfers

/// RFC 5322 would like 78 at most; libcurl's own line with the boundary has 80.
private let longestLine = 80

struct MailTests {
    @Test(arguments: [
        ("plain", Mail.Security.automatic, false), ("plain", .none, false),
        ("starttls", .automatic, true), ("starttls", .startTLS, true), ("starttls", .none, false),
        ("tls", .implicitTLS, true),
    ])
    func eachKindOfTLSWorks(mode: String, security: Mail.Security, tls: Bool) async throws {
        let server = try await MailServer(mode)
        var mail = try server.mail()
        mail.security = security
        #expect(try await send(mail).reply == "250 2.0.0 taken as number 17")
        let received = try #require(try await server.firstReceived())
        #expect(received.tls == tls)
        #expect(received.from == "a@example.com")
        #expect(received.recipients == ["b@example.com"])
    }

    @Test func aServerWithoutTLSGetsNoPassword() async throws {
        let server = try await MailServer("plain")
        var mail = try server.mail()
        mail.user = "user"
        mail.password = "s3cret-pass"
        let error = try await failure(mail)
        #expect(error.kind == .connection)
        #expect(error.message.contains("STARTTLS"))
        mail.password = ""
        mail.security = .startTLS
        #expect(try await failure(mail).message.contains("STARTTLS"))
        #expect(try server.received().isEmpty)
    }

    @Test(arguments: ["starttls", "tls"])
    func certificatesAreVerified(mode: String) async throws {
        let server = try await MailServer(mode)
        var mail = try server.mail()
        mail.security = mode == "tls" ? .implicitTLS : .startTLS
        mail.authorities = nil
        let error = try await failure(mail)
        #expect(error.kind == .connection)
        #expect(error.message.contains("certificate"))
        #expect(try server.received().isEmpty)
    }

    @Test func aLoginIsMade() async throws {
        let server = try await MailServer("login")
        var mail = try server.mail()
        mail.user = "user"
        mail.password = "s3cret-pass"
        try await send(mail)
        let received = try #require(try await server.firstReceived())
        #expect(received.tls)
        #expect(received.login == "user")
    }

    @Test(arguments: ["login", "echo"])
    func aWrongPasswordIsSaidAndNotShown(mode: String) async throws {
        let server = try await MailServer(mode)
        var mail = try server.mail()
        mail.user = "user"
        mail.password = "wr0ng-pass"
        let error = try await failure(mail)
        #expect(error.kind == .refused(code: 535))
        #expect(error.message.hasPrefix("localhost refused the login of user: 535 5.7.8 "))
        #expect(!error.message.contains("wr0ng-pass"))
    }

    @Test func aRefusedRecipientIsNamedWithTheAnswer() async throws {
        let server = try await MailServer("plain")
        var mail = try server.mail()
        mail.cc = [try MailAddress("Nobody <c@refused.example>", "cc")]
        let error = try await failure(mail)
        #expect(error.kind == .refused(code: 550))
        #expect(
            error.message
                == "localhost refused the recipient c@refused.example: 550 5.1.1 no such user here")
        #expect(try server.received().isEmpty)
    }

    @Test func theHeaderIsRightAndBccIsNotInIt() async throws {
        let server = try await MailServer("plain")
        var mail = try server.mail()
        let subject = "Größe: 日本語のとても長い件名、そして絵文字も👩‍👩‍👧‍👦 — \"quoted\" =?x?= end"
        mail.subject = subject
        mail.from = try MailAddress("Zoë \"Z.\" Müller <a@example.com>", "from")
        mail.replyTo = try MailAddress("reply@example.com", "replyTo")
        mail.to.append(try MailAddress("Nimm, Das \\ \"Komma\" <c@example.com>", "to"))
        mail.cc = [try MailAddress("日本 <d@example.com>", "cc")]
        mail.bcc = [try MailAddress("Hidden <hidden@example.com>", "bcc")]
        try await send(mail)
        let received = try #require(try await server.firstReceived())
        #expect(received.fields("Subject") == [subject])
        #expect(
            received.recipients.sorted().joined(separator: " ")
                == "b@example.com c@example.com d@example.com hidden@example.com")
        #expect(!received.raw.lowercased().contains("hidden"))
        #expect(received.fields("Bcc") == [])
        #expect(received.fields("From") == ["\"Zoë \\\"Z.\\\" Müller\" <a@example.com>"])
        #expect(
            received.fields("To")
                == ["b@example.com, \"Nimm, Das \\\\ \\\"Komma\\\"\" <c@example.com>"])
        #expect(received.fields("Cc") == ["日本 <d@example.com>"])
        #expect(received.fields("Reply-To") == ["reply@example.com"])
        #expect(received.fields("MIME-Version") + received.fields("Mime-Version") == ["1.0"])
        #expect(received.fields("Date").count == 1)
        #expect(received.fields("Message-ID").first?.hasSuffix("@example.com>") == true)
        #expect(received.defects == [])
        #expect(received.longest <= longestLine)
        #expect(received.raw.utf8.count == received.raw.unicodeScalars.count, "it is not ASCII")
    }

    @Test(arguments: [
        "", "plain", " a blank before", "=?UTF-8?B?eA==?=", "tab\there",
        String(repeating: "word ", count: 40) + "end", String(repeating: "x", count: 300),
        String(repeating: "é", count: 100), "a\u{1F469}\u{200D}\u{1F469}b",
    ])
    func anySubjectArrives(subject: String) async throws {
        let server = try await MailServer("plain")
        var mail = try server.mail()
        mail.subject = subject
        try await send(mail)
        let received = try #require(try await server.firstReceived())
        #expect(received.fields("Subject") == (subject.isEmpty ? [] : [subject]))
        #expect(received.defects == [])
        #expect(received.longest <= longestLine)
    }

    @Test func hiddenRecipientsAloneAreEnough() async throws {
        let server = try await MailServer("plain")
        var mail = try server.mail()
        (mail.bcc, mail.to) = (mail.to, [])
        try await send(mail)
        let received = try #require(try await server.firstReceived())
        #expect(received.fields("To") == ["undisclosed-recipients:;"])
        #expect(received.recipients == ["b@example.com"])
    }

    @Test(arguments: ["text/plain", "text/html", "text/html; charset=utf-8"])
    func theBodyArrivesAsItIs(type: String) async throws {
        let server = try await MailServer("plain")
        var mail = try server.mail()
        mail.contentType = type
        mail.body =
            ".\r\n.leading dot\nGröße\rtab\t\n\n=3D From here\n"
            + String(repeating: "long ", count: 400)
            + "\n日本語 \nend. "
        try await send(mail)
        let received = try #require(try await server.firstReceived())
        let part = try #require(received.parts.first)
        #expect(received.parts.count == 1)
        #expect(part.type == type.split(separator: ";").first.map(String.init))
        #expect(part.charset == "utf-8")
        let lines = mail.body.replacing("\r\n", with: "\n").replacing("\r", with: "\n")
        let content = String(decoding: part.content, as: UTF8.self)
        #expect(content.replacing("\r\n", with: "\n") == lines)
        #expect(received.longest <= longestLine)
        #expect(received.defects == [])
    }

    @Test func attachmentsArriveAsTheyAre() async throws {
        let server = try await MailServer("plain")
        let folder = try TestFolder()
        let bytes = Data((0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) })
        try bytes.write(to: URL(filePath: "\(folder.path)/Größe \"x\".csv"))
        try folder.write("", to: "empty.txt")
        var mail = try server.mail()
        mail.attachments = [
            .file("\(folder.path)/Größe \"x\".csv"), .file("\(folder.path)/empty.txt"),
            .bytes(name: "a \"b\".pdf", Array("%PDF\0\r\n.\r\n\u{FF}".utf8)),
            .bytes(name: "none", []),
        ]
        try await send(mail)
        let received = try #require(try await server.firstReceived())
        let parts = received.parts.dropFirst()
        #expect(parts.map(\.name) == ["Größe \"x\".csv", "empty.txt", "a \"b\".pdf", "none"])
        #expect(parts.first?.content == bytes)
        #expect(
            parts.map(\.content).dropFirst()
                == [Data(), Data("%PDF\0\r\n.\r\n\u{FF}".utf8), Data()])
        #expect(parts.map(\.type).dropFirst(2).first == "application/pdf")
        #expect(received.defects == [])
    }

    @Test func attachmentsAreLimitedAndMustBeFiles() async throws {
        let folder = try TestFolder()
        try folder.write("12345", to: "a")
        var mail = Mail(host: "127.0.0.1", from: try MailAddress("a@b", "from"))
        mail.port = 1
        mail.to = [mail.from]
        mail.attachmentLimit = 9
        mail.attachments = [.file("\(folder.path)/a"), .bytes(name: "b", Array("12345".utf8))]
        #expect(try await failure(mail).kind == .tooLarge)
        mail.attachments = [.file("\(folder.path)/none")]
        #expect(try await failure(mail).message.hasSuffix("/none: No such file or directory"))
        mail.attachments = [.file(folder.path)]
        #expect(try await failure(mail).message.hasSuffix(" is no regular file"))
    }
}

import Foundation
import Reactor
import TestSupport
import Testing
import Transfers

/// What is refused before anything is sent, and servers that do not answer.
struct MailRefusedTests {
    @Test(arguments: [
        "a@b.c\r\nBcc: x@y.z", "a@b.c\0", "Name\n <a@b.c>", "Name <a@b.c\r>", "a@b.c, d@e.f",
        "a b@c.d", "<a@b.c> x", "", "Name <>", "@b", "a@", "a@b@c", "zoë@b.c", "\"a\"@b.c",
        "a@b.c> SIZE=1 <x",
    ])
    func anAddressIsOneAddress(text: String) throws {
        do throws(TransferError) {
            let address = try MailAddress(text, "ToAddr")
            Issue.record("it was read as \(address)")
        } catch {
            #expect(error.kind == .invalid)
            #expect(error.message.hasPrefix("ToAddr"))
        }
    }

    @Test(arguments: [
        ("root", "root", ""), (" a@b.c ", "a@b.c", ""), ("Name <a@b.c>", "a@b.c", "Name"),
        ("\"Na, \\\"me\\\\\" <a@b.c>", "a@b.c", "Na, \"me\\"), ("<a@b.c>", "a@b.c", ""),
        ("日本 <a@[IPv6:::1]>", "a@[IPv6:::1]", "日本"),
    ])
    func addressesAreRead(text: String, address: String, name: String) throws {
        let read = try MailAddress(text, "to")
        #expect(read.address == address)
        #expect(read.name == name)
    }

    @Test(arguments: ["\r\n", "\n", "\r", "\0", "\u{7F}", "\u{1B}"])
    func nothingIsInjected(end: String) async throws {
        let server = try await MailServer("plain")
        let good = try server.mail()
        let text = "x\(end)Bcc: c@example.com"
        let changes: [(String, (inout Mail) -> Void)] = [
            ("the subject", { $0.subject = text }),
            ("the content type", { $0.contentType = "text/plain\(end)" }),
            ("the name of an attachment", { $0.attachments = [.bytes(name: text, [])] }),
            ("the user name", { $0.user = text }),
            ("the password", { $0.password = text }),
            ("is no name of a mail server", { $0.host = "localhost\(end)" }),
        ]
        for (what, change) in changes {
            var mail = good
            change(&mail)
            let error = try await failure(mail)
            #expect(error.kind == .invalid)
            #expect(error.message.contains(what))
        }
        #expect(try server.received().isEmpty)
    }

    @Test(arguments: ["localhost/x", "user@localhost", "localhost:25", "", "a b", "localhost?x"])
    func aHostIsAHost(host: String) async throws {
        var mail = Mail(host: host, from: try MailAddress("a@b", "from"))
        mail.to = [mail.from]
        // A colon would make an IPv6 address of it, which this is not.
        #expect(try await failure(mail).kind == .invalid)
    }

    @Test func aSilentServerIsLeft() async throws {
        let server = try await MailServer("silent")
        var mail = try server.mail()
        mail.connectTimeout = .seconds(3)
        let silent = mail
        try await onTestLoop {
            let began = ContinuousClock.now
            let transfer = silent.start()
            try await EventLoop.shared.sleep(for: .milliseconds(100))
            // On time although the server says nothing; other tests have the processor too.
            #expect(ContinuousClock.now - began < .milliseconds(1_500))
            do throws(TransferError) {
                _ = try await transfer.result()
                Issue.record("a silent server took a mail")
            } catch {
                #expect(error.kind == .timedOut)
                #expect(ContinuousClock.now - began >= .milliseconds(2_900))
            }
        }
    }

    @Test(arguments: [("silent", "CONNECTED", false), ("stuck", "STUCK", true)])
    func aCancelEndsIt(mode: String, sign: String, isUncertain: Bool) async throws {
        let server = try await MailServer(mode)
        let mail = try server.mail()
        try await onTestLoop {
            let transfer = mail.start()
            try await server.server.process.waitForLine(containing: sign)
            let began = ContinuousClock.now
            transfer.cancel()
            do throws(TransferError) {
                _ = try await transfer.result()
                Issue.record("it was sent")
            } catch {
                #expect(error.kind == .cancelled)
                #expect(error.message.contains("is not known") == isUncertain)
            }
            #expect(ContinuousClock.now - began < .seconds(2))
        }
    }

    @Test func aServerThatIsStuckAtTheEndIsLeftWithTheDoubt() async throws {
        let server = try await MailServer("stuck")
        var mail = try server.mail()
        mail.responseTimeout = .seconds(1)
        let error = try await failure(mail)
        #expect(error.kind == .timedOut)
        #expect(error.message.hasSuffix("whether the server took the mail is not known"))
    }

    @Test func noAnswerToQuitIsNeeded() async throws {
        let server = try await MailServer("rude")
        let mail = try server.mail()
        let began = ContinuousClock.now
        #expect(try await send(mail).reply == "250 2.0.0 taken as number 17")
        #expect(ContinuousClock.now - began < .seconds(10))
        var refused = mail
        refused.to = [try MailAddress("b@refused.example", "to")]
        #expect(try await failure(refused).kind == .refused(code: 550))
        #expect(ContinuousClock.now - began < .seconds(10))
    }

    @Test func nobodyListening() async throws {
        var mail = Mail(host: "127.0.0.1", from: try MailAddress("a@b", "from"))
        mail.to = [mail.from]
        mail.port = 1
        let error = try await failure(mail)
        #expect(error.kind == .connection)
        #expect(error.message.hasPrefix("127.0.0.1: "))
    }
}

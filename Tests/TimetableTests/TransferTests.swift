import Foundation
import TestSupport
import Testing

struct TransferTests {
    /// A folder that everyone may write, which is removed with the last reference.
    final class Folder: Sendable {
        let path: String

        init() throws {
            path = try makeTemporaryFolder("carillon-download")
        }

        deinit {
            try? FileManager.default.removeItem(atPath: path)
        }
    }

    /// A daemon that trusts the certificate of the test's mail server.
    private func served() async throws -> Served {
        let certificate = try TestCertificate.shared().certificate
        return try await Served.on(
            PrivateCluster.database("transfer"),
            ["--database-log-level", "debug", "--drain-timeout", "0.1"],
            environment: ["SSL_CERT_FILE": certificate])
    }

    @Test func filesAreDownloaded() async throws {
        let served = try await served()
        let web = try await TestServer("web")
        let folder = try Folder()
        let config = try await served.addConfig("fetch", [("BUILTIN", "Download")])
        let base = "http://127.0.0.1:\(web.port)"
        let urls = ["\(base)/file/a?size=5", "\(base)/file/b?size=7"]
        let parameter = """
            {"workersnum": 2, "fileurls": ["\(urls.joined(separator: "\", \""))"],
             "destpath": "\(folder.path)", "sizelimit": 7, "timeout": 60}
            """
        #expect(try await served.run(config, "'[\(parameter)]'") == "CHAIN_DONE||")
        try await served.waitFor(
            "\(folder.path)/a: 5 bytes\n\(folder.path)/b: 7 bytes",
            "SELECT rtrim(output, E'\\n') FROM timetable.execution_log")
        #expect(FileManager.default.contents(atPath: "\(folder.path)/b")?.count == 7)
    }

    @Test func allAreTriedAndEachFailureIsListed() async throws {
        let served = try await served()
        let web = try await TestServer("web")
        let folder = try Folder()
        let config = try await served.addConfig("fetch", [("BUILTIN", "Download")])
        let base = "http://user:s3cret-pass@127.0.0.1:\(web.port)"
        let paths = ["status/404/x", "file/a", "file/b?size=2000", "a/", "auth/a", "file/c"]
        let urls = paths.map { "\"\(base)/\($0)\"" }.joined(separator: ", ")
        let parameter =
            "{\"FileURLs\": [\(urls)], \"DestPath\": \"\(folder.path)\", \"sizelimit\": 1000}"
        let end = try await served.run(config, "'[\(parameter)]'")
        let shown = "http://127.0.0.1:\(web.port)"
        #expect(
            end == """
                CHAIN_FAILED|4 of 6 files could not be downloaded
                URL 1: \(shown)/status/404/x: the server answered with status 404
                URL 3: \(shown)/file/b?size=2000: larger than the limit of 1000 bytes
                URL 4: \(shown)/a/: it names no file: its path ends with a slash
                URL 5: its file would be a, as that of URL 2|
                """)
        try await served.waitFor(
            "\(folder.path)/a: 1000 bytes\n\(folder.path)/c: 1000 bytes",
            "SELECT rtrim(output, E'\\n') FROM timetable.execution_log")
        try await expectNowhere("s3cret-pass", in: served)
    }

    @Test func aMailIsSentAndItsPasswordIsNowhere() async throws {
        let served = try await served()
        let certificate = try TestCertificate.shared()
        let mail = try await TestServer(
            "mail", ["login", certificate.certificate, certificate.key])
        let folder = try Folder()
        try Data("1,2,3".utf8).write(to: URL(filePath: "\(folder.path)/report.csv"))
        let config = try await served.addConfig("mail", [("BUILTIN", "SendMail")])
        let parameter = """
            {"ServerHost": "localhost", "ServerPort": \(mail.port), "Username": "user",
             "Password": "s3cret-pass", "SenderAddr": "Carillon <a@example.com>",
             "ToAddr": ["b@example.com"], "CcAddr": ["c@example.com"], "BccAddr": ["d@example.com"],
             "Subject": "Größe", "MsgBody": "<b>hello</b>", "ContentType": "text/html",
             "Attachment": ["\(folder.path)/report.csv"],
             "AttachmentData": [{"Name": "x.txt", "Base64Data": "aGVsbG8="}]}
            """
        #expect(try await served.run(config, "'[\(parameter)]'") == "CHAIN_DONE||")
        try await served.waitFor(
            "250 2.0.0 taken as number 17\n", "SELECT output FROM timetable.execution_log")
        let line = try await mail.process.waitForLine(containing: "MAIL ").text
        for part in [
            #""recipients": ["b@example.com", "c@example.com", "d@example.com"]"#,
            #"["Subject", "Gr\u00f6\u00dfe"]"#, #""name": "report.csv", "content": "MSwyLDM=""#,
            #""name": "x.txt", "content": "aGVsbG8=""#, #""login": "user""#,
        ] { #expect(line.contains(part), "\(part) is not in \(line)") }

        let wrong = parameter.replacing("s3cret-pass", with: "wr0ng-pass")
        let end = try await served.run(config, "'[\(wrong)]'")
        #expect(end.hasPrefix("CHAIN_FAILED|localhost refused the login of user: 535 "))
        try await served.waitFor("2", "SELECT count(*) FROM timetable.execution_log")
        try await expectNowhere("s3cret-pass", in: served)
        try await expectNowhere("wr0ng-pass", in: served)
    }

    @Test func thePasswordCanStandInAFile() async throws {
        let served = try await served()
        let certificate = try TestCertificate.shared()
        let mail = try await TestServer(
            "mail", ["login", certificate.certificate, certificate.key])
        let folder = try Folder()
        try Data("s3cret-pass\n".utf8).write(to: URL(filePath: "\(folder.path)/password"))
        let config = try await served.addConfig("mail", [("BUILTIN", "SendMail")])
        let parameter = """
            {"serverhost": "localhost", "serverport": \(mail.port), "username": "user",
             "passwordfile": "\(folder.path)/password", "senderaddr": "a@example.com",
             "toaddr": ["b@example.com"]}
            """
        #expect(try await served.run(config, "'[\(parameter)]'") == "CHAIN_DONE||")
    }

    @Test(arguments: [
        ("Download", "[1]", "must be a JSON object; this is an array"),
        ("Download", #"{"destpath": "/tmp"}"#, #"the key "fileurls" is missing"#),
        ("Download", #"{"fileurls": ["http://h/a"]}"#, #"the key "destpath" is missing"#),
        ("Download", #"{"fileurls": "http://h/a"}"#, #""fileurls" must be an array of texts"#),
        ("Download", #"{"fileurls": [1]}"#, "there is a number in it"),
        ("Download", #"{"workersnum": 17}"#, #""workersnum" must be a whole number 1 to 16"#),
        (
            "Download", #"{"fileurls": ["a"], "destpath": "/tmp", "Speed": 1}"#,
            #"knows no key "Speed""#
        ),
        (
            "SendMail",
            #"{"ServerHost": "h", "SenderAddr": "a@b", "toaddr": ["c@d"], "TLS": "ssl"}"#,
            #""TLS" must be auto, none, starttls or tls"#
        ),
        ("SendMail", #"{"ServerHost": "h", "SenderAddr": "a@b"}"#, #"key "ToAddr" is missing"#),
        ("SendMail", #"{"ServerHost": "h", "SenderAddr": "a@b\r\nBcc: x@y"}"#, "a line break"),
        ("SendMail", #"{"ServerHost": "h", "serverhost": "h"}"#, "is there twice"),
        (
            "SendMail",
            #"{"ServerHost": "h", "Password": {"a": "s3cret-pass"}, "SenderAddr": "a@b"}"#,
            #""Password" must be a text; this is an object"#
        ),
        (
            "SendMail",
            #"{"ServerHost": "h", "Pass": "s3cret-pass", "SenderAddr": "a", "ToAddr": ["b"]}"#,
            #"knows no key "Pass""#
        ),
        (
            "SendMail",
            #"{"ServerHost": "h", "SenderAddr": "a", "ToAddr": ["b"], "#
                + #""AttachmentData": [{"Name": "x", "Base64Data": "!"}]}"#,
            "is no base64"
        ),
    ])
    func aParameterThatIsWrongIsSaidByItsKey(
        builtIn: String, parameter: String, reason: String
    ) async throws {
        let served = try await served()
        let config = try await served.addConfig("wrong", [("BUILTIN", builtIn)])
        let end = try await served.run(config, "'[\(parameter)]'")
        #expect(end.hasPrefix("CHAIN_FAILED|"))
        #expect(end.contains(reason))
        try await served.waitFor("1", "SELECT count(*) FROM timetable.execution_log")
        try await expectNowhere("s3cret-pass", in: served)
    }

    @Test func aCancelledRunEndsItsTransfer() async throws {
        let served = try await served()
        let web = try await TestServer("web")
        let folder = try Folder()
        let config = try await served.addConfig("fetch", [("BUILTIN", "Download")])
        let parameter = """
            {"fileurls": ["http://127.0.0.1:\(web.port)/silent/a"], "destpath": "\(folder.path)"}
            """
        let request = try await served.psql("SELECT timetable.run(\(config), '[\(parameter)]')")
        try await web.process.waitForLine(containing: "GET")
        served.daemon.terminate()
        #expect(try await served.end(ofRequest: request).hasPrefix("CANCELLED|"))
        #expect(try await served.daemon.waitForExit() == .exited(0))
        try await web.process.waitForLine(containing: "GONE")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == [])
    }

    /// A password stands where its owner wrote it, and nowhere else.
    private func expectNowhere(_ secret: String, in served: Served) async throws {
        let said = served.daemon.lines.filter { $0.text.contains(secret) }.map(\.text)
        #expect(said == [])
        // What its owner wrote into chain_execution_parameters is his.
        for table in ["execution_log", "log", "worker", "run_status", "run_request"] {
            let found = try await served.psql(
                "SELECT * FROM timetable.\(table) AS t WHERE t::text LIKE '%\(secret)%'")
            #expect(found == "", "in \(table)")
        }
    }
}

import Foundation

/// A server of the folder `Servers`, on a port of its own of 127.0.0.1.
///
/// It is killed when the last reference goes, and by the kernel when the tests end in any way.
public final class TestServer: Sendable {
    /// What it printed so far can be read here.
    public let process: DaemonProcess
    public let port: Int

    /// Starts `Servers/NAME.py` and waits for its port.
    public init(_ name: String, _ arguments: [String] = []) async throws {
        let script = "\(Self.folder)/\(name).py"
        // -B: no folder of compiled files beside the sources.
        process = try DaemonProcess(["-B", script] + arguments, program: Self.python)
        let line = try await process.waitForLine(containing: "listens on port ")
        port = Int(line.text.split(separator: " ").last ?? "") ?? 0
    }

    /// The lines that begin with `word` so far.
    public func lines(_ word: String) -> [String] {
        process.lines.map(\.text).filter { $0.hasPrefix(word + " ") }
    }

    /// Debian's own, which sees the packages of .ci/deps; another may stand before it on PATH.
    public static let python = "/usr/bin/python3"

    private static let folder: String = {
        let file = #filePath
        return file.prefix(upTo: file.lastIndex(of: "/") ?? file.endIndex) + "/Servers"
    }()
}

/// A self-signed certificate for localhost and 127.0.0.1, made once in each test process.
public struct TestCertificate: Sendable {
    public let certificate: String
    public let key: String

    private static let made = Result { try make() }

    public static func shared() throws -> TestCertificate {
        try made.get()
    }

    private static func make() throws -> TestCertificate {
        let folder = try makeTemporaryFolder("carillon-certificate")
        let made = TestCertificate(
            certificate: "\(folder)/certificate.pem", key: "\(folder)/key.pem")
        let result = try runProgram(
            "openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", made.key, "-out",
                made.certificate,
            ])
        guard result.end == .exited(0) else { throw NotReached(result.stderr) }
        return made
    }
}

import Foundation
import TestSupport
import Testing

/// A server that lets nobody in but over TLS with a certificate of a private authority.
private final class TLSServer: Sendable {
    let database: TestDatabase
    let folder: String
    /// Of the loopback network, for this server alone: its port is the usual one.
    let address: String

    init() async throws {
        folder = try makeTemporaryFolder("carillon-tls")
        address = (1...3).reduce("127") { text, _ in "\(text).\(Int.random(in: 2...250))" }
        let made = try await runProgram(
            "/bin/sh", ["-euc", Self.script, "sh", folder, address])
        try #require(made.end == .exited(0), "\(made.stderr)")
        let (folder, address) = (folder, address)
        let cluster = try await onOwnThread {
            try PrivateCluster(settings: [
                "listen_addresses=\(address)", "ssl=on", "ssl_cert_file=\(folder)/server.pem",
                "ssl_key_file=\(folder)/server.key", "ssl_ca_file=\(folder)/ca.pem",
                "hba_file=\(folder)/hba",
            ])
        }
        database = try await cluster.createDatabase("tls")
        try await database.psql(
            """
            CREATE ROLE scheduler LOGIN; CREATE ROLE worded LOGIN PASSWORD 'right';
            GRANT CREATE ON DATABASE \(database.name) TO scheduler, worded
            """)
    }

    /// An authority, a certificate for the server and one for the role, another authority, and the
    /// role's key once more, encrypted.
    private static let script = """
        cd "$1"
        chmod 755 .
        exec 2>/dev/null
        authority() {
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \\
                -subj "/CN=$1" -keyout "$1.key" -out "$1.pem"
        }
        signed() {
            openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \\
                -subj "/CN=$2" -addext "$3" -keyout "$1.key" -out "$1.csr"
            openssl x509 -req -days 2 -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial \\
                -copy_extensions copy -out "$1.pem"
        }
        authority ca
        authority other
        signed server db.example "subjectAltName=DNS:db.example,IP:$2"
        signed client scheduler "subjectAltName=DNS:client.example"
        openssl ec -in client.key -aes256 -passout pass:key-secret -out locked.key
        chmod 600 ./*.key
        printf '%s\\n' 'local all all trust' 'hostssl all scheduler 127.0.0.0/8 cert' \\
            'hostssl all worded 127.0.0.0/8 scram-sha-256' >hba
        if [ "$(id -u)" = 0 ]; then chown postgres server.key; fi
        """

    /// Everything that libpq has to know, as one connection string.
    func uri(
        _ user: String, host: String = "db.example", _ options: [String: String] = [:]
    ) -> String {
        let all = [
            "hostaddr": address, "sslmode": "verify-full", "sslrootcert": "\(folder)/ca.pem",
            "sslcert": "\(folder)/client.pem", "sslkey": "\(folder)/client.key",
        ].merging(options) { $1 }
        let query = all.map { "\($0.key)=\($0.value)" }.sorted().joined(separator: "&")
        return "postgresql://\(user)@\(host)/\(database.name)?\(query)"
    }
}

struct TLSTests {
    private func serve(_ uri: String) throws -> DaemonProcess {
        try DaemonProcess(
            ["serve", "--name", "worker001", "-v", "--connection", uri], notify: true)
    }

    @Test func allOptionsOfLibpqWork() async throws {
        let server = try await TLSServer()
        let ways: [String] = [
            server.uri("scheduler"),
            // The certificate names the address too, and that is what is verified without a name.
            server.uri("scheduler", host: server.address, ["hostaddr": server.address]),
            server.uri(
                "scheduler",
                ["sslkey": "\(server.folder)/locked.key", "sslpassword": "key-secret"]),
            server.uri(
                "scheduler", ["ssl_min_protocol_version": "TLSv1.3", "sslmode": "verify-ca"]),
        ]
        for uri in ways {
            let daemon = try serve(uri)
            try await daemon.waitForNotify("READY=1")
            let served = Served(database: server.database, daemon: daemon)
            try await served.psql("SELECT timetable.add_job('one', '@manual', 'SELECT 1')")
            #expect(try await served.run(1) == "CHAIN_DONE||")
            // Each of its sessions, and not one beside them.
            let seen = try await served.psql(
                """
                SELECT count(*) > 2, bool_and(s.ssl), string_agg(DISTINCT s.client_dn, ','),
                    bool_and(a.query NOT LIKE '%secret%' AND a.application_name NOT LIKE '%secret%')
                FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid)
                WHERE a.usename = 'scheduler'
                """)
            #expect(seen == "t|t|/CN=scheduler|t")
            let line = try String(contentsOfFile: "/proc/\(daemon.pid)/cmdline", encoding: .utf8)
            #expect(!line.contains("secret"))
            daemon.terminate()
            #expect(try await daemon.waitForExit() == .exited(0))
        }
        // A password, bound to this very channel.
        let word = try serve(
            server.uri(
                "worded:right",
                ["channel_binding": "require", "sslcert": "/nowhere", "sslkey": "/nowhere"]))
        #expect(try await word.waitForExit() == .exited(5))
        #expect(word.lines.contains { $0.text.contains("permission denied for") })
        #expect(!word.lines.contains { $0.text.contains("right is") || $0.text.contains(":right") })
    }

    @Test func whatIsNotVerifiedIsRefused() async throws {
        let server = try await TLSServer()
        let ways: [(uri: String, code: Int32, said: String)] = [
            (
                server.uri("scheduler", ["sslrootcert": "\(server.folder)/other.pem"]), 2,
                "certificate verify failed"
            ),
            (
                server.uri("scheduler", host: "elsewhere.example"), 2,
                "does not match host name \"elsewhere.example\""
            ),
            (server.uri("scheduler", ["sslrootcert": "/nowhere"]), 2, "does not exist"),
            (
                server.uri("scheduler", ["sslcert": "/nowhere", "sslkey": "/nowhere"]), 3,
                "requires a valid client certificate"
            ),
            (server.uri("scheduler", ["sslmode": "disable"]), 3, "no encryption"),
            (
                server.uri("worded", ["sslcert": "/nowhere", "sslkey": "/nowhere"]), 3,
                "no password supplied"
            ),
        ]
        for way in ways {
            let daemon = try serve(way.uri)
            let end = try await daemon.waitForExit()
            let said = daemon.lines.filter { $0.source == .stderr }.map(\.text)
            #expect(end == .exited(way.code), "\(way.uri): \(said)")
            #expect(said.joined().contains(way.said), "\(said)")
        }
    }
}

import Foundation
import Glibc
import Reactor
import TestSupport
import Testing
import Timing

@testable import Postgres

struct ConnectTests {
    private static func failure(
        _ parameters: ConnectionParameters, deadline: Duration = .seconds(60)
    ) async throws -> PostgresError? {
        try await onTestLoop {
            do throws(PostgresError) {
                try await Connection.open(parameters, deadline: deadline).close()
                return nil
            } catch {
                return error
            }
        }
    }

    @Test func aRefusalCarriesItsCodeAndPlainMessage() async throws {
        let database = try await PrivateCluster.database("refusal")
        let missing = try await Self.failure(database.parameters.with("dbname", "no_such_database"))
        #expect(missing?.kind == .connection)
        #expect(missing?.sqlstate == "3D000")
        #expect(
            missing?.message.hasSuffix(#"FATAL:  database "no_such_database" does not exist"#)
                == true, "\(String(describing: missing))")
        #expect(missing?.description.hasSuffix("(SQLSTATE 3D000)") == true)

        try await database.psql("CREATE ROLE refused_guest LOGIN")
        try await database.psql("REVOKE CONNECT ON DATABASE \"\(database.name)\" FROM PUBLIC")
        let refused = try await Self.failure(database.parameters.with("user", "refused_guest"))
        #expect(refused?.sqlstate == "42501")
        #expect(refused?.detail == nil)
        let nobody = try await Self.failure(database.parameters.with("user", "nobody at all"))
        #expect(nobody?.sqlstate == "28000")
        let option = try await Self.failure(database.parameters.with("options", "-c nonsense=1"))
        #expect(option?.sqlstate == "42704")
    }

    /// Its messages are as short as they were: the verbosity was for connecting only.
    @Test func errorsOfAnEstablishedSessionAreUnchanged() async throws {
        try await withSession { session, _ in
            let error = await session.failure("SELECT 1/0")
            #expect(error?.message == "division by zero")
            #expect(error?.description == "division by zero (SQLSTATE 22012)")
        }
    }

    @Test func aWrongPasswordIsRefusedAndNotRepeated() async throws {
        let cluster = try await onOwnThread { try PrivateCluster() }
        let database = try await cluster.createDatabase("password")
        try await database.psql("CREATE ROLE locked LOGIN PASSWORD 'right secret'")
        let rules = "\(cluster.folder)/data/pg_hba.conf"
        let open = try String(contentsOfFile: rules, encoding: .utf8)
        try "local all locked scram-sha-256\n\(open)"
            .write(toFile: rules, atomically: false, encoding: .utf8)
        try await database.psql("SELECT pg_reload_conf()")
        let locked = database.parameters.with("user", "locked")
        try await eventually("the rule is read") {
            try await Self.failure(locked.with("password", "x")) != nil
        }
        let wrong = try await Self.failure(locked.with("password", "wrong secret"))
        #expect(wrong?.sqlstate == "28P01")
        #expect(wrong?.description.contains("secret") == false)
        #expect(try await Self.failure(locked.with("password", "right secret")) == nil)
        let none = try await Self.failure(locked)
        #expect(none?.sqlstate == "28P01")
        #expect(none?.message.contains("no password supplied") == true)
        _ = cluster.folder
    }

    @Test func whenThereIsNoRoomCancellingStillWorks() async throws {
        let cluster = try await onOwnThread {
            try PrivateCluster(
                settings: ["max_connections=3", "superuser_reserved_connections=0"])
        }
        let database = try await cluster.createDatabase("full")
        try await onTestLoop {
            var sessions: [Connection] = []
            // The session that made the database may be about to end only.
            try await eventually("three sessions have room") {
                if let session = try? await database.open() { sessions.append(session) }
                return sessions.count == 3
            }
            #expect(try await Self.failure(database.parameters)?.sqlstate == "53300")
            let sleeping = Inbox<PostgresError?>()
            startTask { [session = sessions[0]] in
                sleeping.send(await session.failure("SELECT pg_sleep(600)"))
            }
            let state = "SELECT state FROM pg_stat_activity WHERE pid = \(sessions[0].backend)"
            try await eventually("it sleeps") {
                try await sessions[1].ask("SELECT pg_stat_clear_snapshot()", state) == ["active"]
            }
            sessions[0].requestCancel()
            let error = await sleeping.next()
            #expect(error?.sqlstate == "57014")
            for session in sessions { session.close() }
        }
        _ = cluster.folder
    }

    /// The same answer as during the start: CAC_STARTUP and CAC_SHUTDOWN differ in the text only.
    @Test func aServerThatTakesNobodySaysSo() async throws {
        let cluster = try await onOwnThread { try PrivateCluster() }
        let database = try await cluster.createDatabase("full")
        try await onTestLoop {
            let session = try await database.open()
            let lock = try String(
                contentsOfFile: "\(cluster.folder)/data/postmaster.pid", encoding: .utf8)
            let server = try #require(lock.split(separator: "\n").first.flatMap { Int32($0) })
            // A smart shutdown waits for our session, and takes no new one.
            kill(server, SIGTERM)
            try await eventually("it takes nobody") {
                try await Self.failure(database.parameters)?.sqlstate == "57P03"
            }
            session.close()
        }
        _ = cluster.folder
    }

    @Test func aServerThatIsSilentTimesOut() async throws {
        let folder = try makeTemporaryFolder("carillon-silent")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let silent = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(silent) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array("\(folder)/.s.PGSQL.5432".utf8)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path) }
        let bound = unsafe withUnsafePointer(to: &address) { address in
            unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                unsafe bind(silent, address, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0 && listen(silent, 5) == 0)
        let parameters = ConnectionParameters(string: "host=\(folder) port=5432 dbname=x user=x")
        let error = try await Self.failure(parameters, deadline: .milliseconds(50))
        #expect(error?.kind == .timedOut)
    }

    @Test func parametersThatMeanNothingAreAnError() async throws {
        let bad = try await Self.failure(ConnectionParameters(string: "nonsense=1"))
        #expect(bad?.kind == .connection)
        #expect(bad?.message.contains("nonsense") == true)
        let port = try await Self.failure(
            ConnectionParameters(string: "host=localhost port=none dbname=x"))
        #expect(port?.kind == .connection)
    }

    /// libpq would look it up itself, and hold the loop: it never gets a name without addresses.
    @Test func aNameThatCannotBeLookedUpIsAnErrorOfOurs() async throws {
        let name = ConnectionParameters(string: "host=no-such-host.invalid port=5432 dbname=x")
        let unknown = try await onTestLoop {
            do throws(PostgresError) {
                _ = try await name.withAddresses(until: .now().advanced(by: .seconds(60)))
                return nil as PostgresError?
            } catch {
                return error
            }
        }
        #expect(unknown?.kind == .connection)
        #expect(unknown?.message.contains("no-such-host.invalid") == true)
        let late = try await onTestLoop {
            do throws(PostgresError) {
                _ = try await name.withAddresses(until: .now())
                return nil as PostgresError?
            } catch {
                return error
            }
        }
        #expect(late?.kind == .timedOut)
    }

    @Test func aNameIsLookedUpBeforeLibpqIsAsked() async throws {
        try await onTestLoop {
            let name = ConnectionParameters(string: "host=localhost,/tmp,127.0.0.1 port=1 dbname=x")
            let found = try await name.withAddresses(until: .now().advanced(by: .seconds(60)))
            let values = Dictionary(found.keywords.map { ($0.key, $0.value) }) { $1 }
            let hosts = try #require(values["host"]).split(
                separator: ",", omittingEmptySubsequences: false)
            let addresses = try #require(values["hostaddr"]).split(
                separator: ",", omittingEmptySubsequences: false)
            #expect(hosts.suffix(2) == ["/tmp", "127.0.0.1"])
            #expect(addresses.suffix(2) == ["", ""])
            #expect(hosts.count == addresses.count && hosts.first == "localhost")
            #expect(addresses.dropLast(2).allSatisfy { ["127.0.0.1", "::1"].contains($0) })
            // A host that nobody knows does not spoil the others.
            let some = ConnectionParameters(string: "host=no-such-host.invalid,localhost dbname=x")
            let left = try await some.withAddresses(until: .now().advanced(by: .seconds(60)))
            let leftHosts = left.keywords.last { $0.key == "host" }?.value ?? ""
            #expect(Set(leftHosts.split(separator: ",")) == ["localhost"])
        }
    }
}

struct FatalMessageTests {
    struct Row: Sendable {
        var text: String
        var message: String
        var sqlstate: String?
    }

    @Test(arguments: [
        Row(text: "", message: "connection lost"),
        Row(
            text: "connection to server on socket \"/s\" failed: FATAL:  3D000: no \"x\"\n"
                + "LOCATION:  InitPostgres, postinit.c:1015\n",
            message: "connection to server on socket \"/s\" failed: FATAL:  no \"x\"",
            sqlstate: "3D000"),
        Row(
            text: "connection to a failed: FATAL:  53300: full\nLOCATION:  f, a.c:1\n"
                + "connection to b failed: FATAL:  28P01: wrong\nHINT:  none\n"
                + "LOCATION:  g, b.c:2\n",
            message: "connection to a failed: FATAL:  full "
                + "connection to b failed: FATAL:  wrong HINT:  none",
            sqlstate: "28P01"),
        Row(
            text: "failed: ВАЖНО:  57P03: запуск\nLOCATION:  f, a.c:1",
            message: "failed: ВАЖНО:  запуск", sqlstate: "57P03"),
        Row(
            text: "failed: Connection refused\n\tIs it up?\n",
            message: "failed: Connection refused. Is it up?"),
        Row(text: "failed: FATAL:  12: short", message: "failed: FATAL:  12: short"),
    ]) func theCodeIsTakenOut(row: Row) {
        let error = PostgresError.whileConnecting(row.text)
        #expect(error.kind == .connection)
        #expect(error.message == row.message)
        #expect(error.sqlstate == row.sqlstate)
    }
}

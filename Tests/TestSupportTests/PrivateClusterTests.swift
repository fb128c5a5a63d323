import Foundation
import Glibc
import TestSupport
import Testing

@Suite struct PrivateClusterTests {
    @Test func psqlRunsAsTheSuperuserInADatabaseOfItsOwn() async throws {
        let database = try await PrivateCluster.database("own")
        try await database.psql("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x')")
        #expect(try await database.psql("SELECT a, b FROM t") == "1|x")
        let user = "SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user"
        #expect(try await database.psql(user) == "postgres|t")
        let other = try await PrivateCluster.database("own")
        #expect(other.name != database.name)
        #expect(try await other.psql("SELECT to_regclass('t') IS NULL") == "t")
    }

    @Test func psqlRunsAsAnotherUser() async throws {
        let database = try await PrivateCluster.database("user")
        try await database.psql("CREATE ROLE carillon_test_guest LOGIN")
        let user = try await database.psql("SELECT current_user", user: "carillon_test_guest")
        #expect(user == "carillon_test_guest")
    }

    @Test func anErrorEndsTheScriptAndCarriesTheMessageOfTheServer() async throws {
        let database = try await PrivateCluster.database("error")
        let error = await #expect(throws: PsqlFailed.self) {
            try await database.psql("SELECT 1/0; CREATE TABLE after_the_error ()")
        }
        #expect(error?.stderr.contains("division by zero") == true)
        #expect(try await database.psql("SELECT to_regclass('after_the_error') IS NULL") == "t")
    }

    @Test func connectionStringAndEnvironmentLeadToTheDatabase() async throws {
        let database = try await PrivateCluster.database("lead")
        let psql = "\(database.cluster.programs)/psql"
        let statement = ["-XAtc", "SELECT current_database()"]
        let byString = try await runProgram(psql, statement + [database.connectionString])
        #expect(byString.stdout == "\(database.name)\n", "\(byString.stderr)")
        let byVariables = try await runProgram(psql, statement, environment: database.environment)
        #expect(byVariables.stdout == "\(database.name)\n", "\(byVariables.stderr)")
    }

    @Test func aDroppedDatabaseIsGoneWithItsSessions() async throws {
        let database = try await PrivateCluster.database("drop")
        let session = Task { try await database.psql("SELECT pg_sleep(60)") }
        let neighbour = try await PrivateCluster.database("neighbour")
        let count = "FROM pg_stat_activity WHERE datname = '\(database.name)'"
        try await eventually("the session is there") {
            try await neighbour.psql("SELECT count(*) \(count)") == "1"
        }
        try database.drop()
        await #expect(throws: PsqlFailed.self) { _ = try await session.value }
        let left = "SELECT count(*) FROM pg_database WHERE datname = '\(database.name)'"
        #expect(try await neighbour.psql(left) == "0")
    }

    @Test func manyDatabasesAreMadeAtOnce() async throws {
        let names = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<12 {
                group.addTask {
                    let database = try await PrivateCluster.database("many")
                    return try await database.psql("SELECT current_database()")
                }
            }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(names.count == 12)
    }

    @Test func aClusterOfItsOwnIsDurableStopsAndStartsWithItsData() async throws {
        let cluster = try await onOwnThread {
            try PrivateCluster(durable: true, settings: ["work_mem=5MB"])
        }
        let database = try await cluster.createDatabase("again")
        #expect(try await database.psql("SHOW fsync; SHOW work_mem") == "on\n5MB")
        try await database.psql("CREATE TABLE kept ()")
        try cluster.stop(.immediate)
        await #expect(throws: PsqlFailed.self) { try await database.psql("SELECT 1") }
        try cluster.start()
        #expect(try await database.psql("SELECT count(*) FROM kept") == "0")
        try cluster.stop()
        #expect(cluster.log.contains("was not properly shut down"))
    }

    @Test func aSettingThatTheServerRefusesFailsWithItsLog() async throws {
        let error = await #expect(throws: NotReached.self) {
            try await onOwnThread { _ = try PrivateCluster(settings: ["no_such_setting=1"]) }
        }
        #expect(error?.description.contains("no_such_setting") == true)
    }

    @Test func theFolderGoesWithTheCluster() async throws {
        let folder = try await onOwnThread { try PrivateCluster().folder }
        #expect(unsafe access(folder, F_OK) != 0)
    }
}

/// What stays when the process of the tests is killed: this test starts the tests once more, as
/// the victim, and kills them.
@Suite struct KilledTestsTests {
    private static let role = "CARILLON_TEST_VICTIM"
    private static let isVictim = ProcessInfo.processInfo.environment[role] != nil

    @Test(.enabled(if: isVictim)) func theVictimWaitsToBeKilled() async throws {
        let cluster = try PrivateCluster()
        let folder = try makeTemporaryFolder("carillon-victim")
        let daemon = try DaemonProcess(["600"], program: "sleep")
        let server = try String(
            contentsOfFile: "\(cluster.folder)/data/postmaster.pid", encoding: .utf8
        ).prefix { $0 != "\n" }
        FileHandle.standardError.write(
            Foundation.Data("victim \(cluster.folder) \(folder) \(server) \(daemon.pid)\n".utf8))
        try await daemon.waitForExit(within: .seconds(120))
        _ = cluster.folder
    }

    @Test(.disabled(if: isVictim)) func nothingStaysWhenTheTestsAreKilled() async throws {
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let victim = try DaemonProcess(
            ["--testing-library", "swift-testing", "--filter", "theVictimWaitsToBeKilled"],
            environment: [Self.role: "1"], program: tests)
        let line = try await victim.waitForLine(containing: "victim /", within: .seconds(60))
        let words = line.text.split(separator: " ")
        let folders = words[1...2].map(String.init)
        let pids = try words[3...].map { try #require(Int32($0)) }
        #expect(!pids.contains(where: Self.isGone))
        victim.kill()
        try await eventually(within: .seconds(60), "server and daemon are gone") {
            pids.allSatisfy(Self.isGone)
        }
        try await eventually(within: .seconds(60), "the folders are gone") {
            folders.allSatisfy { unsafe access($0, F_OK) != 0 }
        }
    }

    /// An orphan that has ended stays a zombie until init gets round to it.
    private static func isGone(_ pid: Int32) -> Bool {
        let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
        return stat?.contains(") Z ") ?? true
    }
}

import Foundation
import Glibc
import TestSupport
import Testing

/// `carillon serve --embedded` with real servers: first start, second start, and what may have
/// happened between the two.
struct EmbeddedTests {
    @Test func theFirstStartMakesACluster() async throws {
        let embedded = try Embedded()
        let connection = try await embedded.serve()
        // From outside: no TCP, no password, a role that owns its database and no more.
        let shown = try await embedded.psql(
            """
            SELECT current_user, current_database(), rolsuper, datcollate,
                pg_encoding_to_char(encoding), current_setting('listen_addresses')
            FROM pg_roles, pg_database
            WHERE rolname = current_user AND datname = current_database()
            """)
        #expect(shown == "scheduler|timetable|f|C.UTF-8|UTF8|")
        #expect(try await embedded.psql("SELECT session_user", as: "postgres") == "postgres")
        #expect(embedded.lines.count { $0.contains("psql 'host=") } == 1)
        #expect(connection.hasPrefix("host=\(embedded.folder)/socket "))
        for name in ["data", "socket"] {
            let attributes = try FileManager.default.attributesOfItem(
                atPath: "\(embedded.folder)/\(name)")
            #expect(attributes[.posixPermissions] as? Int == 0o700)
        }
        // A connection that its map does not name is refused.
        try await embedded.psql("CREATE ROLE other LOGIN", as: "postgres")
        let refused = await #expect(throws: NotReached.self) {
            try await embedded.psql("SELECT 1", as: "other")
        }
        #expect(refused?.description.contains("Peer authentication failed") == true)
        try await embedded.stop()
        let left = try FileManager.default.contentsOfDirectory(atPath: embedded.folder)
        #expect(Set(left) == ["data", "socket"])
        let sockets = try FileManager.default.contentsOfDirectory(
            atPath: "\(embedded.folder)/socket")
        #expect(sockets == [])
    }

    @Test func aSecondStartFindsWhatTheFirstLeft() async throws {
        let embedded = try Embedded()
        try await embedded.serve()
        try await embedded.psql("CREATE TABLE kept AS SELECT 42 AS answer")
        try await embedded.stop()
        try await embedded.serve()
        #expect(try await embedded.psql("SELECT answer FROM kept") == "42")
        #expect(!embedded.lines.contains { $0.contains("making a database cluster") })
        try await embedded.stop()
    }

    @Test func aKilledDaemonTakesItsServerWithIt() async throws {
        let embedded = try Embedded()
        try await embedded.serve()
        try await embedded.psql("CREATE TABLE kept AS SELECT 42 AS answer")
        let server = try #require(embedded.server)
        try await embedded.kill()
        // The kernel tells the server, by setpriv --pdeathsig.
        try await eventually("the server ends") { embedded.server != server }
        try await embedded.serve()
        #expect(try await embedded.psql("SELECT answer FROM kept") == "42")
        try await embedded.stop()
    }

    @Test func aServerThatWasLeftRunningIsStoppedFirst() async throws {
        let embedded = try Embedded()
        try await embedded.serve()
        try await embedded.psql("CREATE TABLE kept AS SELECT 42 AS answer")
        try await embedded.stop()
        let orphan = try embedded.startServerByHand()
        try await eventually("the server by hand is ready") {
            embedded.status?.hasPrefix("\(orphan.pid)\n") == true
                && embedded.status?.contains("ready") == true
        }
        try await embedded.serve()
        #expect(embedded.lines.contains { $0.contains("(process \(orphan.pid)) that was left") })
        #expect(try await orphan.waitForExit() == .exited(0))
        #expect(try await embedded.psql("SELECT answer FROM kept") == "42")
        try await embedded.stop()
    }

    @Test func aProcessThatGotTheNumberOfADeadServerIsLeftAlone() async throws {
        let embedded = try Embedded()
        try await embedded.serve()
        try await embedded.stop()
        // The same user runs it, as PostgreSQL looks no further than that.
        let other = try DaemonProcess(
            embedded.asServerUser + ["/bin/sh", "-c", "echo up; exec sleep 600"],
            program: "setpriv")
        try await other.waitForLine(containing: "up")
        let file = "\(embedded.folder)/data/postmaster.pid"
        try "\(other.pid)\n".write(toFile: file, atomically: false, encoding: .utf8)
        try await embedded.serve()
        #expect(other.end == nil)
        try await embedded.stop()
        #expect(other.end == nil)
    }

    @Test func aServerThatDiesIsStartedAgain() async throws {
        let embedded = try Embedded()
        try await embedded.serve()
        let server = try #require(embedded.server)
        let daemon = try #require(ProcessStatus.read(server)).parent
        Glibc.kill(server, SIGKILL)
        try await embedded.waitForLine("the private server ended (ended by signal 9")
        try await embedded.waitForLine("connected to the database again")
        #expect(try await embedded.psql("SELECT 1") == "1")
        #expect(embedded.server != server)
        // The daemon is the reaper of what the server leaves.
        try await eventually("the new server is its only child") {
            ProcessStatus.children(of: daemon).count == 1
        }
        try await embedded.stop()
    }

    @Test func ctrlCLetsTheRunsEndBeforeTheServer() async throws {
        let embedded = try Embedded()
        try await embedded.serve()
        try await embedded.psql(
            """
            CREATE TABLE reached (at timestamptz);
            INSERT INTO timetable.base_task (name, kind, script) VALUES
                ('slow', 'SQL', 'INSERT INTO reached SELECT now() FROM pg_sleep(1)');
            INSERT INTO timetable.task_chain (task_id)
                SELECT task_id FROM timetable.base_task WHERE name = 'slow';
            INSERT INTO timetable.chain_execution_config (chain_id, chain_name, schedule, live)
                SELECT chain_id, 'slow', '@manual', true FROM timetable.task_chain;
            SELECT timetable.run(chain_execution_config)
                FROM timetable.chain_execution_config WHERE chain_name = 'slow';
            """)
        try await eventually("the run is under way") {
            try await embedded.psql(
                """
                SELECT count(*) FROM pg_stat_activity
                WHERE query LIKE '%pg_sleep(1)%' AND pid <> pg_backend_pid()
                    AND application_name LIKE 'carillon%'
                """,
                as: "postgres") != "0"
        }
        // What a terminal does: SIGINT to the whole group in front.
        try await embedded.interruptGroup()
        try await embedded.serve()
        #expect(try await embedded.psql("SELECT count(*) FROM reached") == "1")
        try await embedded.stop()
    }

    @Test func twoDaemonsDoNotShareADirectory() async throws {
        let embedded = try Embedded()
        try await embedded.serve()
        let second = try DaemonProcess(["serve", "--embedded", embedded.folder, "--name", "b"])
        #expect(try await second.waitForExit(within: .seconds(30)) == .exited(7))
        #expect(second.lines.last?.text.hasSuffix("served by another carillon already") == true)
        #expect(try await embedded.psql("SELECT 1") == "1")
        try await embedded.stop()
    }

    /// At whatever point the signal comes, it ends cleanly, and the next start succeeds.
    @Test func beingStoppedWhileStartingLeavesNothingRunning() async throws {
        let embedded = try Embedded()
        for milliseconds in [1, 30, 150, 500] {
            let daemon = try DaemonProcess(["serve", "--embedded", embedded.folder])
            try await daemon.waitForLine(
                containing: "making a database cluster", within: .seconds(30))
            // A fault at some point of what initdb does: no event marks it.
            try await Task.sleep(for: .milliseconds(milliseconds))
            daemon.terminate()
            #expect(try await daemon.waitForExit(within: .seconds(60)) == .exited(0))
            #expect(embedded.processes == [])
            let unfinished = "\(embedded.folder)/data.new"
            #expect(!FileManager.default.fileExists(atPath: unfinished))
            try? FileManager.default.removeItem(atPath: "\(embedded.folder)/data")
        }
        // What a daemon that was killed while it made the cluster leaves.
        try FileManager.default.createDirectory(
            atPath: "\(embedded.folder)/data.new/base", withIntermediateDirectories: true)
        try await embedded.serve()
        try await embedded.stop()
    }
}

/// `carillon serve --embedded` where the directory is special.
struct EmbeddedPlaceTests {
    /// As root: the server's user may enter no directory above.
    @Test(.enabled(if: geteuid() == 0)) func theDirectoriesAboveMayBeClosed() async throws {
        let embedded = try Embedded("closed/db")
        try embedded.makeParent(mode: 0o700)
        let data = "\(embedded.folder)/data"
        try await embedded.serve()
        let probe = try await runProgram("setpriv", embedded.asServerUser + ["ls", data])
        #expect(probe.end != .exited(0), "else this test shows nothing")
        #expect(try await embedded.psql("SELECT current_user") == "scheduler")
        try await embedded.stop()
        try await embedded.serve()
        try await embedded.stop()
    }

    @Test(arguments: [String(repeating: "long", count: 40), "it's, a \"na\\me\" $HOME"])
    func aPathMayBeTooLongOrOdd(name: String) async throws {
        let embedded = try Embedded(name)
        let connection = try await embedded.serve()
        #expect(connection.hasPrefix("host=/proc/"))
        #expect(try await embedded.psql("SELECT current_user") == "scheduler")
        try await embedded.stop()
    }

    /// Without root, and afterwards by root: the cluster keeps its user.
    @Test(.enabled(if: geteuid() == 0)) func anOrdinaryUserServesWithHisOwnRights() async throws {
        let embedded = try Embedded("db", user: "nobody")
        try await embedded.serve()
        let owner = try FileManager.default.attributesOfItem(atPath: "\(embedded.folder)/data")
        #expect(owner[.ownerAccountName] as? String == "nobody")
        try await embedded.stop()
        embedded.user = nil
        try await embedded.serve()
        #expect(try await embedded.psql("SELECT current_user") == "scheduler")
        let again = try FileManager.default.attributesOfItem(atPath: "\(embedded.folder)/data")
        #expect(again[.ownerAccountName] as? String == "nobody")
        try await embedded.stop()
    }
}

/// What can't be served ends with one sentence and a code of its own.
struct EmbeddedFailureTests {
    @Test(arguments: [
        (["--embedded", "/proc/none"], ProgramEnd.exited(1), "/proc/none can't be made"),
        (["--embedded", "/dev/null"], .exited(1), "/dev/null can't be opened: Not a directory"),
        (["--embedded", "/usr"], .exited(1), "/usr holds other things"),
        (["--embedded", "/tmp/x", "--host", "a"], .exited(64), "--embedded brings its own server"),
        (["--embedded", ""], .exited(64), "--embedded needs a directory"),
    ])
    func whatCanNotBeServedIsSaid(arguments: [String], end: ProgramEnd, says: String) async throws {
        let daemon = try DaemonProcess(["serve"] + arguments)
        #expect(try await daemon.waitForExit(within: .seconds(30)) == end)
        #expect(daemon.lines.contains { $0.text.contains(says) }, "\(daemon.lines.map(\.text))")
    }

    @Test func aDirectoryThatIsClosedToUsIsSaid() async throws {
        let embedded = try Embedded("closed/db", user: geteuid() == 0 ? "nobody" : nil)
        try embedded.makeParent(mode: 0o500)
        let failure = try await embedded.failure()
        #expect(failure.end == .exited(5))
        #expect(failure.text == "carillon: \(embedded.folder) can't be made: Permission denied")
    }

    @Test(arguments: [
        ("11", ProgramEnd.exited(8), "holds a cluster of PostgreSQL 11, and Carillon needs 12"),
        ("99", .exited(8), "holds a cluster of PostgreSQL 99, which is not installed here"),
        ("what", .exited(1), "no cluster of a known version: its file PG_VERSION holds no number"),
    ])
    func aClusterOfAnotherVersionIsRefused(
        version: String, end: ProgramEnd, says: String
    ) async throws {
        let embedded = try Embedded()
        let cluster = "\(embedded.folder)/data"
        try FileManager.default.createDirectory(
            atPath: cluster, withIntermediateDirectories: true)
        try "\(version)\n".write(
            toFile: cluster + "/PG_VERSION", atomically: false, encoding: .utf8)
        if geteuid() == 0 {
            #expect(try await runProgram("chown", ["-R", "nobody", cluster]).end == .exited(0))
        }
        let failure = try await embedded.failure()
        #expect(failure.end == end)
        #expect(failure.text.contains(says), "\(failure.text)")
    }

    @Test func whatTheServerSaysIsPassedOn() async throws {
        let embedded = try Embedded()
        try await embedded.serve()
        try await embedded.stop()
        let file = "\(embedded.folder)/data/postgresql.conf"
        let settings = try String(contentsOfFile: file, encoding: .utf8)
        try (settings + "shared_buffers = plenty\n").write(
            toFile: file, atomically: false, encoding: .utf8)
        let failure = try await embedded.failure()
        #expect(failure.end == .exited(2))
        #expect(
            failure.text.contains("invalid value for parameter \"shared_buffers\": \"plenty\""))
        #expect(failure.text.contains("\(file)\" contains errors"))
        #expect(embedded.processes == [])
    }

    /// A disk of 20 MB is too small for a cluster.
    @Test(.enabled(if: geteuid() == 0)) func aFullDiskIsSaid() async throws {
        let embedded = try Embedded()
        let end = try await embedded.runWithMount(
            "mount -t tmpfs -o size=20m none \"$2\"", at: embedded.folder)
        guard let end else { return }  // not allowed here
        #expect(end.end == .exited(1))
        #expect(end.stderr.contains("can't be made: exit code 1, could not"), "\(end.stderr)")
        #expect(end.stderr.contains("No space left on device"), "\(end.stderr)")
        #expect(embedded.processes == [])
    }

    /// The usual places are hidden by an empty folder over them: only root can do that.
    @Test(.enabled(if: geteuid() == 0)) func noPostgresIsOneSentence() async throws {
        let embedded = try Embedded()
        let folder = embedded.folder
        let end = try await embedded.runWithMount(
            "mount -t tmpfs none /usr/lib/postgresql && rmdir \"$2\" && export PATH=/nonexistent",
            at: folder)
        guard let end else { return }  // not allowed here
        #expect(end.end == .exited(8))
        #expect(end.stderr.hasPrefix("carillon: no PostgreSQL server of version 12 or newer"))
        #expect(end.stderr.split(separator: "\n").count == 1)
        #expect(!FileManager.default.fileExists(atPath: folder))
    }
}

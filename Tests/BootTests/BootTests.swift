import Foundation
import TestSupport
import Testing

/// Carillon under a real systemd, by its own units.
@Suite(
    .serialized, .timeLimit(.minutes(10)),
    .enabled(if: Machine.obstacle == nil, Comment(rawValue: Machine.obstacle ?? "")))
struct BootTests {
    /// What the README says under Install, and how all of it goes again.
    @Test func thePackageIsInstalledServesAndIsRemoved() async throws {
        let unit = try await Unit.fresh()
        let machine = unit.machine
        // With the settings that it brings.
        try await machine.run("dpkg", "--purge", "carillon")
        try await machine.installPackage()
        #expect(try await unit.property("ActiveState") == "inactive")
        #expect(try await unit.property("UnitFileState") == "disabled")
        try await machine.psql("DROP DATABASE timetable", in: "postgres")
        try await machine.psql("DROP ROLE IF EXISTS carillon", in: "postgres")
        try await machine.asPostgres("\(PrivateCluster.installedPrograms)/createuser", "carillon")
        try await machine.asPostgres(
            "\(PrivateCluster.installedPrograms)/createdb", "--owner=carillon", "timetable")
        try await machine.systemctl("enable", "--now", "carillon")
        try await unit.waitForStatus(#"Status: "0 schedules"#)
        let config = try await machine.addConfig(
            "first", [("SQL", "SELECT 1"), ("SHELL", "/usr/bin/id")])
        try await machine.psql("SELECT timetable.run(\(config))")
        try await machine.waitFor("CHAIN_DONE", Self.states)
        #expect(try await machine.run("carillon", "--version").hasPrefix("0."))

        try await machine.run("dpkg", "--remove", "carillon")
        try await unit.waitForLines("Deactivated successfully")
        #expect(try await unit.property("LoadState") == "not-found")
        #expect(try await machine.attempt(["which", "carillon"]).end != .exited(0))
        #expect(try await machine.run("ls", "/etc/carillon") == "carillon.conf\npgpass")
        try await machine.run("dpkg", "--purge", "carillon")
        let places = ["/etc/carillon", "/var/lib/carillon", "/run/carillon"]
        let left = try await machine.attempt(["find", "/etc/systemd/system"] + places)
        #expect(!left.stdout.contains("carillon"))
    }

    @Test func theUnitsAreInOrderAndHardened() async throws {
        let machine = try await Unit.fresh().machine
        let units = ["carillon.service", "carillon@a.service"]
        for unit in units {
            let verified = try await machine.attempt(
                ["systemd-analyze", "--man=no", "verify", unit])
            #expect(verified.end == .exited(0) && verified.stdout + verified.stderr == "")
            let exposure = try await exposure(of: unit, machine)
            #expect(exposure <= 2.5)
        }
        try await machine.install(
            "\(Machine.repository)/systemd/root.conf",
            at: "/etc/systemd/system/carillon.service.d/root.conf")
        try await machine.systemctl("daemon-reload")
        #expect(try await exposure(of: "carillon.service", machine) <= 3)
    }

    /// What systemd-analyze(1) makes of it: from 0, safe, to 10.
    private func exposure(of unit: String, _ machine: Machine) async throws -> Double {
        let lines = try await machine.run("systemd-analyze", "security", "--no-pager", unit)
        let last = try #require(lines.split(separator: "\n").last)
        let number = try #require(last.split(separator: " ").compactMap { Double($0) }.first)
        return number
    }

    @Test func itIsReadyWhenAllIsReadAndSaysHowItIs() async throws {
        let unit = try await Unit.started()
        let process = try await unit.process()
        try await unit.waitForLines(
            "Starting carillon.service",
            Unit.notification("READY=1, STATUS=0 schedules, nothing scheduled", from: process),
            "Started carillon.service")
        #expect(try await unit.machine.run("ps", "-o", "user=", "-p", process) == "carillon")
        let config = try await unit.machine.addConfig("failing", [("SQL", "SELECT 1 / 0")])
        try await unit.machine.psql(
            """
            UPDATE timetable.chain_execution_config SET schedule = '@at 2100-01-31 09:00:00+00';
            SELECT timetable.run(\(config))
            """)
        try await unit.waitForStatus(#"Status: "1 schedules, next fire 2100-01-31T09:00:00"#)
        try await unit.waitForStatus("0 running; last problem at 2")
        try await unit.waitForStatus("chain 1 failed: division by zero")
        try await unit.stop()
        try await unit.waitForLines(
            Unit.notification("STOPPING=1", from: process),
            "Main process exited, code=exited, status=0/SUCCESS", "Deactivated successfully")
    }

    @Test func reloadTakesLevelsAndSaysWhatNeedsARestart() async throws {
        let unit = try await Unit.started(settings: "log-level = notice\n")
        let process = try await unit.process()
        #expect(try await unit.entries(["PRIORITY=6"]).isEmpty)
        try await unit.configure(
            "log-level = debug\ndatabase-log-level = debug\nsql-connections = 3\n")
        try await unit.machine.systemctl("reload", unit.name)
        try await unit.waitForLines(
            Unit.notification("RELOADING=1", from: process),
            Unit.notification("READY=1", from: process))
        try await unit.waitForLines("sql-connections is another now, which needs a restart")
        try await eventually("it is active again") {
            try await unit.property("ActiveState") == "active"
        }
        #expect(try await unit.process() == process)
        let config = try await unit.machine.addConfig("now", [("SQL", "SELECT 1")])
        try await unit.machine.psql("SELECT timetable.run(\(config))")
        try await unit.waitForLines("executing task: now 0 SQL")
        try await unit.machine.waitFor(
            "t",
            "SELECT count(*) > 0 FROM timetable.log WHERE message LIKE 'executing task: now 0%'")
        // A file that is wrong changes nothing, and the daemon goes on.
        try await unit.configure("log-levle = debug\n")
        try await unit.machine.systemctl("reload", unit.name)
        try await unit.waitForLines("the settings stay as they were")
        try await unit.waitForStatus("last problem at")
        #expect(try await unit.process() == process)
    }

    @Test func oneThatHangsIsKilledByTheWatchdogAndStartedAnew() async throws {
        let unit = try await Unit.started(dropIn: "WatchdogSec=2\nRestartSec=100ms")
        let process = try await unit.process()
        try await unit.waitForLines(Unit.notification("WATCHDOG=1", from: process))
        try await unit.send("STOP")
        try await unit.waitForRestart(after: process)
        try await unit.waitForLines(
            "Watchdog timeout", "Failed with result 'watchdog'", "Started carillon.service")
    }

    @Test func oneThatCrashesIsStartedAnewAndItsRunsAreDead() async throws {
        let unit = try await Unit.started(dropIn: "RestartSec=100ms")
        let config = try await unit.machine.addConfig("slow", [("SQL", "SELECT pg_sleep(300)")])
        try await unit.machine.psql("SELECT timetable.run(\(config))")
        try await unit.machine.waitFor("STARTED", Self.states)
        let process = try await unit.process()
        try await unit.send("KILL")
        try await unit.waitForRestart(after: process)
        try await unit.machine.waitFor("DEAD", Self.states)
        try await unit.waitForLines("run 1 is DEAD: its daemon ended during it")
        #expect(try await unit.entries(["RUN=1", "PRIORITY=3"]).count == 1)
    }

    private static let states =
        "SELECT string_agg(execution_status::text, ' ') FROM timetable.run_status"

    // MARK: Stopping

    /// A chain of a program that ends when a file is there, and an SQL task after it.
    private func startProgram(_ unit: Unit) async throws {
        try await unit.machine.write(
            """
            #!/bin/sh
            trap '' TERM
            until [ -e "$HOME/go" ]; do sleep 0.05; done

            """, to: "/usr/local/bin/wait-for-go", mode: "755")
        let config = try await unit.machine.addConfig(
            "long", [("SHELL", "/usr/local/bin/wait-for-go"), ("SQL", "SELECT 1")])
        try await unit.machine.psql("SELECT timetable.run(\(config))")
        try await eventually("the program runs") {
            try await unit.machine.count("/bin/sh /usr/local/bin/wait-for-go") == 1
        }
    }

    @Test func stoppingLetsRunsEnd() async throws {
        let unit = try await Unit.started()
        let process = try await unit.process()
        try await startProgram(unit)
        try await unit.machine.systemctl("stop", "--no-block", unit.name)
        try await unit.waitForLines(
            Unit.notification("STOPPING=1", from: process),
            Unit.notification("STATUS=stopping, 1 runs left", from: process),
            Unit.notification("EXTEND_TIMEOUT_USEC=15000000", from: process))
        #expect(try await unit.property("ActiveState") == "deactivating")
        try await unit.machine.write("", to: "/var/lib/carillon/go")
        try await unit.waitForLines(
            "Main process exited, code=exited, status=0/SUCCESS",
            "Deactivated successfully")
        #expect(try await unit.machine.psql(Self.states) == "CHAIN_DONE")
    }

    /// It ignores SIGTERM, too.
    @Test func aRunThatOutlivesTheDrainIsEndedAndRecorded() async throws {
        // Without asking for more time the daemon would be killed before it could kill.
        let unit = try await Unit.started(
            settings: "drain-timeout = 0.5\n", dropIn: "TimeoutStopSec=2")
        try await startProgram(unit)
        try await unit.stop()
        try await unit.waitForLines(
            "cancelling 1 runs: the daemon stopped, and the run did not end in time")
        try await unit.waitForLines(
            "Main process exited, code=exited, status=0/SUCCESS", "Deactivated successfully")
        #expect(try await unit.machine.psql(Self.states) == "CANCELLED")
        #expect(try await unit.machine.count("/bin/sh /usr/local/bin/wait-for-go") == 0)
    }

    // MARK: Starting

    @Test func withoutADatabaseItIsActivatingUntilThereIsOne() async throws {
        let unit = try await Unit.fresh(dropIn: "TimeoutStartSec=2")
        try await unit.machine.systemctl("stop", "postgresql")
        try await unit.machine.systemctl("start", "--no-block", unit.name)
        let asked = "EXTEND_TIMEOUT_USEC=15000000"
        // A second one comes after 5 s: without the first it would have been killed.
        try await unit.waitForLines(asked, asked)
        #expect(try await unit.property("ActiveState") == "activating")
        try await unit.waitForStatus("not connected to the database; last problem at")
        // The end of a reload would be taken for that of the start.
        let process = try await unit.process()
        try await unit.send("HUP")
        try await unit.waitForLines("SIGHUP: reading settings")
        #expect(try await unit.property("ActiveState") == "activating")
        try await unit.machine.systemctl("start", "postgresql")
        try await unit.waitForLines(
            Unit.notification("READY=1", from: process), "Started carillon.service")
        #expect(try await unit.said().count { $0.contains("READY=1") } == 1)
        #expect(try await unit.process() == process)
    }

    /// The unit does not fail for it; the daemon says what it lacks, and can be stopped meanwhile.
    @Test func aPasswordFileMayBeMissing() async throws {
        let unit = try await Unit.fresh()
        try await unit.machine.run("rm", "/etc/carillon/pgpass")
        try await unit.machine.systemctl("start", "--no-block", unit.name)
        try await unit.waitForLines("no password supplied")
        #expect(try await unit.property("ActiveState") == "activating")
        try await unit.stop()
        try await unit.waitForLines(
            "Main process exited, code=exited, status=0/SUCCESS", "Deactivated successfully")
        #expect(try await unit.property("Result") == "success")
    }

    @Test func aDatabaseThatGoesAndComesBackIsToldInTheStatus() async throws {
        let unit = try await Unit.started()
        let process = try await unit.process()
        try await unit.machine.systemctl("stop", "postgresql")
        try await unit.waitForStatus(#"Status: "not connected to the database; last problem at"#)
        #expect(try await unit.property("ActiveState") == "active")
        try await unit.machine.systemctl("start", "postgresql")
        try await unit.waitForStatus(#"Status: "0 schedules"#)
        #expect(try await unit.process() == process)
    }

    @Test func whatOnlyPeopleCanMendIsNotTriedAgain() async throws {
        let unit = try await Unit.fresh(settings: "log-levle = debug\n")
        let result = try await unit.machine.attempt(["systemctl", "start", unit.name])
        #expect(result.end == .exited(1))
        try await unit.waitForLines("Unknown option '--log-levle'", "status=64")
        #expect(try await unit.property("ActiveState") == "failed")
        #expect(try await unit.property("NRestarts") == "0")
    }

    @Test func twoInstancesHaveAllOfTheirOwn() async throws {
        let first = try await Unit.fresh("carillon@a.service", settings: "name = a\n")
        let second = try await first.beside("carillon@b.service", settings: "name = b\n")
        try await first.start()
        try await second.start()
        #expect(
            try await first.machine.psql(
                "SELECT string_agg(client_name, ' ' ORDER BY 1) FROM timetable.worker") == "a b")
        let config = try await first.machine.addConfig(
            "where", [("SHELL", "/bin/sh")])
        try await first.machine.psql(
            """
            UPDATE timetable.chain_execution_config SET client_name = 'a';
            SELECT timetable.run(\(config), '[["-c", "pwd; touch here; id -un"]]')
            """)
        try await first.machine.waitFor("CHAIN_DONE", Self.states)
        #expect(
            try await first.machine.psql("SELECT output FROM timetable.execution_log")
                == "/var/lib/carillon/a\ncarillon")
        // One that stops takes nothing of the other's with it.
        try await first.stop()
        #expect(try await first.machine.run("ls", "/run/carillon-b") == "pgpass")
        #expect(try await first.machine.attempt(["ls", "/run/carillon-a"]).end == .exited(2))
    }

    // MARK: The journal

    @Test func linesOfARunHaveItsFields() async throws {
        let unit = try await Unit.started(settings: "name = worker007\nlog-level = debug\n")
        let config = try await unit.machine.addConfig(
            "fails", [("SQL", "SELECT 1"), ("SQL", "SELECT 1 / 0")])
        try await unit.machine.psql("SELECT timetable.run(\(config))")
        try await unit.waitForLines("chain 1 failed")
        let run = ["RUN=1", "CONFIG=\(config)", "CHAIN=1", "CLIENT_NAME=worker007"]
        let failed = try await unit.entries(run + ["TASK=7", "SQLSTATE=22012"])
        #expect(failed.count == 1)
        #expect(failed.first?["PRIORITY"] == "3")
        #expect(failed.first?["MESSAGE"]?.hasPrefix("chain 1 failed: division by zero") == true)
        #expect(failed.first?["SYSLOG_IDENTIFIER"] == "carillon")
        let done = try await unit.entries(run + ["TASK=6", "PRIORITY=7"])
        #expect(
            done.compactMap { $0["MESSAGE"] } == [
                "executing task: fails 0 SQL []", "task executed successfully: fails 0",
            ])
        #expect(try await unit.entries(["PRIORITY=6"]).contains { $0["RUN"] == nil })
        // The password is nowhere.
        let all = try await unit.entries([]).flatMap(\.values) + unit.said()
        #expect(all.count > 20 && !all.contains { $0.contains("somestrong") })
    }

    @Test func aJournalThatIsStartedAnewGetsLines() async throws {
        let unit = try await Unit.started()
        try await unit.machine.systemctl("restart", "systemd-journald")
        try await unit.machine.systemctl("reload", unit.name)
        try await eventually("a line with its fields") {
            try await unit.entries(["CLIENT_NAME=\(unit.machine.hostName())"]).contains {
                $0["MESSAGE"] == "reloaded: 0 schedules"
            }
        }
    }

    // MARK: Programs

    /// Ordinary programs work, and only what the unit forbids does not.
    @Test func programsRunWithinTheBounds() async throws {
        let unit = try await Unit.started()
        try await unit.machine.write(
            """
            set -e
            [ "$(id -un) $(pwd) $HOME" = "carillon /var/lib/carillon /var/lib/carillon" ]
            touch here /tmp/there
            /usr/bin/python3 - <<'END'
            import mmap, socket, threading
            mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
            socket.create_connection(("localhost", 5432)).close()
            thread = threading.Thread(target=lambda: None)
            thread.start()
            thread.join()
            END
            sh -c 'kill -0 $$' | cat
            for forbidden in 'touch /usr/x' 'touch /etc/x' 'touch /var/x' 'ls /proc/1/status' \
                'unshare --user true' 'mount -t tmpfs tmpfs /tmp' 'hostname x' \
                'setpriv --reuid=0 true' 'cat /etc/carillon/pgpass'
            do
                if $forbidden 2>/dev/null; then echo "$forbidden"; fi
            done

            """, to: "/usr/local/bin/bounds", mode: "755")
        let config = try await unit.machine.addConfig("bounds", [("SHELL", "/bin/sh")])
        try await unit.machine.psql(
            #"SELECT timetable.run(\#(config), '[["/usr/local/bin/bounds"]]')"#)
        try await unit.machine.waitFor("1", "SELECT count(*) FROM timetable.execution_log")
        #expect(
            try await unit.machine.psql(
                "SELECT returncode, output, error FROM timetable.execution_log") == "0||")
        // Its /tmp is its own.
        #expect(try await unit.machine.attempt(["ls", "/tmp/there"]).end == .exited(2))
    }

    private func startAsNobody(_ unit: Unit) async throws {
        let config = try await unit.machine.addConfig("as nobody", [("SHELL", "/usr/bin/id")])
        try await unit.machine.psql(
            """
            UPDATE timetable.task_chain SET run_uid = 'nobody';
            SELECT timetable.run(\(config), '[["-un"]]')
            """)
    }

    @Test func aPrivateServerRunsWithinTheBounds() async throws {
        let unit = try await Unit.fresh(settings: "embedded = /var/lib/carillon/own\n")
        try await unit.machine.systemctl("stop", "postgresql")
        try await unit.start()
        try await unit.waitForStatus(#"Status: "0 schedules"#)
        try await unit.stop()
        try await unit.waitForLines(
            "Main process exited, code=exited, status=0/SUCCESS", "Deactivated successfully")
        let state = try await unit.machine.run(
            "\(PrivateCluster.installedPrograms)/pg_controldata", "/var/lib/carillon/own/data")
        #expect(state.contains("shut down\n"))
    }

    @Test func withoutTheDropInNoOtherUserRunsAProgram() async throws {
        let unit = try await Unit.started()
        try await startAsNobody(unit)
        try await unit.machine.waitFor("CHAIN_FAILED", Self.states)
        #expect(
            try await unit.machine.psql("SELECT error FROM timetable.run_status").contains(
                "the daemon runs as carillon; only root can run programs as another user"))
    }

    @Test func withTheDropInAProgramRunsAsItsUser() async throws {
        let unit = try await Unit.fresh()
        try await unit.machine.install(
            "\(Machine.repository)/systemd/root.conf",
            at: "/etc/systemd/system/carillon.service.d/root.conf")
        try await unit.machine.systemctl("daemon-reload")
        try await unit.start()
        try await startAsNobody(unit)
        try await unit.machine.waitFor("CHAIN_DONE", Self.states)
        #expect(
            try await unit.machine.psql("SELECT output FROM timetable.execution_log") == "nobody")
        // Its child that runs away, has no group and no pipe of its, is ended with it.
        try await unit.machine.write(
            """
            #!/bin/sh
            setsid sh -c 'sleep 4711 >/dev/null 2>&1 &' &
            wait
            exec sleep 300

            """, to: "/usr/local/bin/family", mode: "755")
        let config = try await unit.machine.addConfig(
            "family", [("SHELL", "/usr/local/bin/family")])
        try await unit.machine.psql(
            """
            UPDATE timetable.task_chain SET run_uid = 'nobody';
            SELECT timetable.run(\(config))
            """)
        try await eventually("both run") {
            try await unit.machine.count("sleep 4711") + unit.machine.count("sleep 300") == 2
        }
        try await unit.machine.psql("SELECT timetable.cancel(2)")
        try await unit.machine.waitFor("CHAIN_DONE CANCELLED", Self.states)
        try await eventually("neither runs") {
            try await unit.machine.count("sleep 4711") + unit.machine.count("sleep 300") == 0
        }
    }
}

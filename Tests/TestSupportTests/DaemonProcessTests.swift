import Foundation
import Glibc
import TestSupport
import Testing

@Suite struct DaemonProcessTests {
    private func shell(_ script: String, notify: Bool = false) throws -> DaemonProcess {
        try DaemonProcess(["-c", script], notify: notify, program: "/bin/sh")
    }

    @Test func linesComeWithTheirSourceAndInstant() async throws {
        let before = wallNow()
        let daemon = try shell("echo one; echo two >&2; sleep 60")
        let one = try await daemon.waitForLine(containing: "one")
        let two = try await daemon.waitForLine(containing: "two")
        #expect(one.source == .stdout)
        #expect(two.source == .stderr)
        #expect(before <= one.receivedAt && one.receivedAt <= wallNow())
    }

    @Test func theLastLineNeedsNoNewline() async throws {
        let daemon = try shell("printf 'no end'")
        #expect(try await daemon.waitForExit() == .exited(0))
        #expect(daemon.lines.map(\.text) == ["no end"])
    }

    @Test func anExitCodeAndASignalAreToldApart() async throws {
        #expect(try await shell("exit 7").waitForExit() == .exited(7))
        let asked = try shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done")
        try await asked.waitForLine(containing: "up")
        asked.terminate()
        #expect(try await asked.waitForExit() == .exited(0))
        #expect(asked.lines.last?.text == "bye")
        let killed = try shell("sleep 60")
        killed.kill()
        #expect(try await killed.waitForExit() == .signalled(SIGKILL))
    }

    @Test func aSuspendedOneSaysNothingUntilItIsResumed() async throws {
        let daemon = try shell("while :; do echo tick; sleep 0.005; done")
        try await daemon.waitForLine(containing: "tick")
        daemon.suspend()
        try await eventually("it is stopped") { Self.state(of: daemon.pid) == "T" }
        daemon.resume()
        try await eventually("it goes on") { Self.state(of: daemon.pid) != "T" }
        try await daemon.waitForLine(containing: "tick", from: daemon.lines.count)
    }

    @Test func aLineThatNeverComesFailsAtTheEndOfTheProgramAndNotLater() async throws {
        let daemon = try shell("echo 'not this'; exit 1")
        let error = await #expect(throws: NotReached.self) {
            try await daemon.waitForLine(containing: "that", within: .seconds(60))
        }
        #expect(error?.description.contains("not this") == true)
    }

    @Test func readinessDatagramsAreCollected() async throws {
        let script = #"""
            perl -e 'use Socket;
                socket(S, AF_UNIX, SOCK_DGRAM, 0) or die;
                connect(S, pack_sockaddr_un($ENV{NOTIFY_SOCKET})) or die;
                send(S, $_, 0) for "STATUS=starting", "READY=1\nSTATUS=idle";'
            sleep 60
            """#
        let daemon = try shell(script, notify: true)
        try await daemon.waitForNotify("READY=1")
        #expect(daemon.datagrams == ["STATUS=starting", "READY=1\nSTATUS=idle"])
    }

    @Test func theLastReferenceEndsTheProgram() async throws {
        var daemon: DaemonProcess? = try shell("echo up; sleep 60")
        try await daemon?.waitForLine(containing: "up")
        let pid = try #require(daemon?.pid)
        daemon = nil
        #expect(Self.state(of: pid) == nil)
    }

    @Test func theBuiltCarillonIsFoundBesideTheTests() throws {
        #expect(try DaemonProcess.builtCarillon().hasSuffix("/carillon"))
    }

    /// The letter of proc_pid_stat(5); nil when there is no such process.
    private static func state(of pid: Int32) -> Character? {
        let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
        return stat?.split(separator: ")").last?.dropFirst().first
    }
}

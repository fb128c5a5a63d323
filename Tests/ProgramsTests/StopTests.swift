import Foundation
import Glibc
import Reactor
import TestSupport
import Testing

@testable import Programs

@Suite(.serialized) struct StopTests {
    @Test func stopEndsTheWholeGroup() async throws {
        try await onTestLoop {
            let program = try await startReadyShell("sleep 600 & echo $!; touch $1; wait")
            program.stop(grace: .seconds(60))
            let done = await program.completion()
            #expect(done.ending == .signalled(SIGTERM))
            let child = try #require(Int32(done.output.text.dropLast()))
            try await eventually("the child is gone too") { !isRunning(child) }
        }
    }

    @Test(.timeLimit(.minutes(5))) func whatIgnoresTheSignalIsKilledAfterTheGrace() async throws {
        try await onTestLoop {
            let program = try await startReadyShell(
                "trap '' TERM; touch $1; while :; do sleep 600; done")
            program.stop(grace: .milliseconds(50))
            program.stop(grace: .seconds(600))
            let done = await program.completion()
            #expect(done.ending == .signalled(SIGKILL))
            program.stop(grace: .zero)
        }
    }

    @Test(.timeLimit(.minutes(5))) func aStoppedProgramEndsToo() async throws {
        try await onTestLoop {
            let program = try await startReadyShell("touch $1; kill -STOP $$; sleep 600")
            program.stop(grace: .seconds(600))
            #expect(await program.completion().ending == .signalled(SIGTERM))
        }
    }

    /// All of them have the grace: one that tidies up is not cut short by its parent's end.
    @Test(.timeLimit(.minutes(5))) func aChildMayTidyUpLongerThanItsParent() async throws {
        try await onTestLoop {
            let program = try await startReadyShell(
                "(trap 'sleep 0.3; echo tidied; exit' TERM; touch $1; while :; do sleep 0.1; done) "
                    + "& exec sleep 600")
            program.stop(grace: .seconds(600))
            let done = await program.completion()
            #expect(done.ending == .signalled(SIGTERM))
            #expect(done.output.text == "tidied\n")
        }
    }

    @Test(.timeLimit(.minutes(5))) func childrenThatIgnoreTheSignalAreKilledAfterTheGrace()
        async throws
    {
        try await onTestLoop {
            let program = try await startReadyShell(
                "(trap '' TERM; echo $(exec sh -c 'echo $PPID'); touch $1; "
                    + "while :; do sleep 600; done) & wait")
            program.stop(grace: .milliseconds(100))
            let done = await program.completion()
            #expect(done.ending == .signalled(SIGTERM))
            let child = try #require(Int32(done.output.text.dropLast()))
            #expect(!isRunning(child))
        }
    }

    /// Each has a session, and so a group, of its own; the inner ones ignore SIGTERM too.
    @Test(.timeLimit(.minutes(5)), arguments: [true, false]) func whoLeftTheGroupEndsToo(
        outputIsClosed: Bool
    ) async throws {
        let quiet = outputIsClosed ? "exec >/dev/null 2>&1;" : ""
        try await onTestLoop {
            let program = try await startReadyShell(
                """
                setsid sh -c 'trap "" TERM; echo $$; \(quiet)
                    setsid sh -c "touch $1; sleep 600; :" & wait; :' sh "$1" & wait
                """)
            program.stop(grace: .milliseconds(100))
            let done = await program.completion()
            let child = try #require(Int32(done.output.text.dropLast()))
            #expect(!isRunning(child))
            #expect(!isRunning(of: child))
        }
    }

    /// A hundred that fork on while they are looked for.
    @Test(.timeLimit(.minutes(5))) func whoForksMeanwhileEndsToo() async throws {
        try await onTestLoop {
            let program = try await startReadyShell(
                """
                trap '' TERM
                fork() { while :; do setsid sh -c 'sleep 0.05; exit'; done; }
                for n in 1 2 3 4 5 6 7 8; do fork & done
                touch $1
                fork
                """)
            program.stop(grace: .milliseconds(50))
            #expect(await program.completion().ending == .signalled(SIGKILL))
            let left = ProcessRecord.all().filter { $0.group == program.pid && !$0.isZombie }
            #expect(left.isEmpty, "\(left)")
        }
    }

    @Test func aLaterStopCanOnlyShortenTheGrace() async throws {
        try await onTestLoop {
            let program = try await startReadyShell(
                "trap '' TERM; touch $1; while :; do sleep 600; done")
            program.stop(grace: .seconds(600))
            program.stop(grace: .seconds(900))
            program.stop(grace: .milliseconds(10))
            #expect(await program.completion().ending == .signalled(SIGKILL))
        }
    }
}

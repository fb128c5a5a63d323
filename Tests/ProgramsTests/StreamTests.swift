import Foundation
import Glibc
import Programs
import Reactor
import TestSupport
import Testing

@Suite(.serialized) struct StreamTests {
    private static func streaming(
        _ program: String, _ arguments: [String] = [], input: Bool = false, output: Bool = true
    ) -> Invocation {
        var invocation = Invocation(program: program, arguments: arguments)
        if input { invocation.input = .streamed }
        if output { invocation.output = .streamed }
        return invocation
    }

    private static func shell(_ script: String) -> Invocation {
        streaming("/bin/sh", ["-c", script])
    }

    @LoopActor private static func rest(of program: Program) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        while let chunk = try await program.output?.next() {
            #expect((1...65_536).contains(chunk.count))
            bytes += chunk
        }
        return bytes
    }

    @Test func whatIsWrittenComesBack() async throws {
        try await onTestLoop {
            let program = try Program.start(Self.streaming("cat", input: true))
            let sent = (0..<1_000_003).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
            async let writing: Void = Self.write(sent, to: program)
            #expect(try await Self.rest(of: program) == sent)
            try await writing
            #expect(try await program.output?.next() == nil)
            let done = await program.completion()
            #expect(done.ending == .exited(code: 0))
            #expect(done.output.byteCount == 0)
        }
    }

    @LoopActor private static func write(_ bytes: [UInt8], to program: Program) async throws {
        for start in stride(from: 0, to: bytes.count, by: 100_000) {
            try await program.input?.write(bytes[start..<min(start + 100_000, bytes.count)])
        }
        try await program.input?.write([])
        program.input?.finish()
        program.input?.finish()
        await #expect(throws: StreamError.closed) { try await program.input?.write([1]) }
    }

    @Test func errorIsStillCaptured() async throws {
        try await onTestLoop {
            let program = try Program.start(Self.shell("echo out; echo err >&2; exit 3"))
            #expect(try await Self.rest(of: program) == Array("out\n".utf8))
            let done = await program.completion()
            #expect(done.ending == .exited(code: 3))
            #expect(done.error.text == "err\n")
        }
    }

    @Test func withoutAPullNothingIsRead() async throws {
        try await onTestLoop {
            let program = try Program.start(
                Self.streaming("head", ["-c", "10000000", "/dev/zero"]))
            try await eventually("it waits for room in the pipe") {
                (try? String(contentsOfFile: "/proc/\(program.pid)/wchan", encoding: .utf8))?
                    .contains("pipe") == true
            }
            #expect(!program.ended.isOpen)
            #expect(try await Self.rest(of: program).count == 10_000_000)
            #expect(await program.completion().ending == .exited(code: 0))
        }
    }

    @Test func aConsumerThatEndsEarlyEndsTheProgram() async throws {
        try await onTestLoop {
            let program = try Program.start(Self.streaming("yes"))
            #expect(try await program.output?.next()?.starts(with: Array("y\n".utf8)) == true)
            program.output?.close()
            #expect(try await program.output?.next() == nil)
            #expect(await program.completion().ending == .signalled(SIGPIPE))
        }
    }

    @Test func aCloseEndsAPullThatWaits() async throws {
        try await onTestLoop {
            let program = try Program.start(Self.streaming("sleep", ["600"]))
            _ = EventLoop.shared.after(.milliseconds(5)) { program.output?.close() }
            #expect(try await program.output?.next() == nil)
            program.stop(grace: .seconds(60))
            #expect(await program.completion().ending == .signalled(SIGTERM))
        }
    }

    @Test func aProducerThatIsKilledIsSeenByItsEnd() async throws {
        try await onTestLoop {
            let program = try Program.start(Self.shell("echo x; kill -9 $$"))
            #expect(try await Self.rest(of: program) == Array("x\n".utf8))
            #expect(await program.completion().ending == .signalled(SIGKILL))

            let other = try Program.start(Self.streaming("sleep", ["600"]))
            _ = EventLoop.shared.after(.milliseconds(5)) { other.stop(grace: .seconds(60)) }
            #expect(try await Self.rest(of: other).isEmpty)
            #expect(await other.completion().ending == .signalled(SIGTERM))
        }
    }

    /// By a typed error and no signal, also when it waits for room.
    @Test(arguments: ["exit 0", "exec <&-; sleep 600", "head -c 1 >/dev/null"])
    func aProgramThatTakesNoMoreIsAnError(_ script: String) async throws {
        try await onTestLoop {
            let program = try Program.start(
                Self.streaming("/bin/sh", ["-c", script], input: true, output: false))
            let chunk = [UInt8](repeating: 1, count: 300_000)
            await #expect(throws: StreamError.closed) {
                while true { try await program.input?.write(chunk) }
            }
            program.stop(grace: .seconds(60))
            _ = await program.completion()
        }
    }

    @Test func stopEndsAWriteThatWaits() async throws {
        try await onTestLoop {
            let program = try Program.start(
                Self.streaming("sleep", ["600"], input: true, output: false))
            _ = EventLoop.shared.after(.milliseconds(5)) { program.stop(grace: .seconds(60)) }
            await #expect(throws: StreamError.closed) {
                try await program.input?.write([UInt8](repeating: 1, count: 300_000))
            }
            _ = await program.completion()
        }
    }

    /// Whether that was all nobody knows: it is no end like others.
    @Test func anOutputThatIsHeldOpenIsAnError() async throws {
        try await onTestLoop {
            let program = try Program.start(
                Self.shell("echo a; sleep 600 & echo $! >&2; exec 2>&-"),
                outputGrace: .milliseconds(50))
            #expect(try await program.output?.next() == Array("a\n".utf8))
            await #expect(throws: StreamError.heldOpen) { try await program.output?.next() }
            #expect(try await program.output?.next() == nil)
            let done = await program.completion()
            #expect(done.ending == .exited(code: 0))
            kill(try #require(Int32(done.error.text.dropLast())), SIGKILL)
        }
    }

    /// What one that was left behind writes on and on is not taken for ever.
    @Test func afterTheGraceOnlyWhatIsThereIsTaken() async throws {
        try await onTestLoop {
            let program = try Program.start(
                Self.shell("yes 2>/dev/null & echo $! >&2"), outputGrace: .milliseconds(1))
            await program.ended.waitUninterrupted()
            try await EventLoop.shared.sleep(for: .milliseconds(20))
            await #expect(throws: StreamError.heldOpen) {
                var count = 0
                while let chunk = try await program.output?.next() {
                    count += chunk.count
                    #expect(count <= 1_048_576)
                    if count > 1_048_576 { break }
                }
            }
            _ = await program.completion()
        }
    }

    @Test func aSlowConsumerGetsAllAfterTheEnd() async throws {
        try await onTestLoop {
            let program = try Program.start(
                Self.streaming("head", ["-c", "60000", "/dev/zero"]),
                outputGrace: .milliseconds(1))
            #expect(await program.completion().ending == .exited(code: 0))
            try await EventLoop.shared.sleep(for: .milliseconds(20))
            #expect(try await Self.rest(of: program).count == 60_000)
        }
    }

    /// The loop keeps its timers, and nothing is piled up on the way.
    @Test func twoHundredMegabytesGoThroughWithFlatMemory() async throws {
        try await onTestLoop {
            let before = try residentMemory()
            let program = try Program.start(Self.streaming("cat", input: true))
            async let writing: Void = Self.flood(program, megabytes: 200)
            let ticks = Ticks()
            ticks.next()
            var count = 0
            while let chunk = try await program.output?.next() { count += chunk.count }
            try await writing
            #expect(ticks.count > 5)
            #expect(count == 200_000_000)
            #expect(await program.completion().ending == .exited(code: 0))
            #expect(try residentMemory() - before < 20_000)
        }
    }

    /// Counts milliseconds, as long as it lives.
    @LoopActor private final class Ticks {
        var count = 0

        func next() {
            count += 1
            _ = EventLoop.shared.after(.milliseconds(1)) { [weak self] in self?.next() }
        }
    }

    @LoopActor private static func flood(_ program: Program, megabytes: Int) async throws {
        let megabyte = [UInt8](repeating: 7, count: 1_000_000)
        for _ in 0..<megabytes { try await program.input?.write(megabyte) }
        program.input?.finish()
    }

    @Test func streamsLeaveNoDescriptorOpen() async throws {
        try await onTestLoop {
            let before = try openDescriptors()
            for _ in 0..<100 {
                let program = try Program.start(
                    Self.streaming("cat", input: true), outputGrace: .milliseconds(1))
                try await program.input?.write([1, 2, 3])
                program.input?.finish()
                #expect(try await Self.rest(of: program) == [1, 2, 3])
                _ = await program.completion()
            }
            // Other tests of the process open some at the same time.
            #expect(try openDescriptors() < before + 60)
        }
    }
}

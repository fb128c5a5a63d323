import Glibc
import Reactor
import TestSupport

/// Both ends of a non-blocking pipe(2).
final class TestPipe: Sendable {
    let reading: Int32
    let writing: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        try systemCall("pipe") { unsafe pipe(&ends) }
        (reading, writing) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
    }

    deinit {
        close(reading)
        close(writing)
    }

    func put(_ count: Int = 1) {
        let bytes = [UInt8](repeating: 7, count: count)
        _ = unsafe write(writing, bytes, count)
    }

    /// Takes one byte out; false when there is none.
    @discardableResult
    func take() -> Bool {
        var byte: UInt8 = 0
        return unsafe read(reading, &byte, 1) == 1
    }
}

/// A number that handlers on the loop count up.
@LoopActor
final class Counter {
    var value = 0
}

/// Holds the one reference to something that a handler shall let go.
@LoopActor
final class Holder<Value> {
    var value: Value?
}

/// Lets the loop ask the kernel `count` times: what is ready now has been reported after it.
@LoopActor
func rounds(_ count: Int = 3) async throws {
    for _ in 0..<count { try await EventLoop.shared.sleep(for: .nanoseconds(1)) }
}

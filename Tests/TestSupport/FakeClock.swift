import Foundation
import Glibc
import Synchronization

/// A wall clock of a daemon's own, which a test can set while it runs: see `FakeClock.c`.
public final class FakeClock: Sendable {
    private let path: String
    private let state = Mutex((real: Int64(0), boot: Int64(0), steps: Int64(0)))

    /// A clock that shows the true time.
    public init() throws {
        let folder = try makeTemporaryFolder("carillon-clock")
        path = "\(folder)/clock"
        try write((0, 0, 0))
    }

    deinit {
        try? FileManager.default.removeItem(atPath: (path as NSString).deletingLastPathComponent)
    }

    /// What a daemon needs in its environment to see this clock.
    public var environment: [String: String] {
        get throws {
            let built = try DaemonProcess.builtCarillon()
            let folder = (built as NSString).deletingLastPathComponent
            return [
                "LD_PRELOAD": "\(folder)/libFakeClock.so", "CARILLON_FAKE_CLOCK": path,
            ]
        }
    }

    /// Sets the clock forward or back by some seconds.
    public func step(bySeconds seconds: Double) throws {
        try state.withLock { state in
            state.real += Int64(seconds * 1e9)
            state.steps += 1
            try write(state)
        }
    }

    /// Lets time pass without the daemon, as when its host is suspended.
    public func suspend(forSeconds seconds: Double) throws {
        try state.withLock { state in
            state.real += Int64(seconds * 1e9)
            state.boot += Int64(seconds * 1e9)
            state.steps += 1
            try write(state)
        }
    }

    /// In place: the daemon has mapped the file.
    private func write(_ state: (real: Int64, boot: Int64, steps: Int64)) throws {
        let file = unsafe open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw CallFailed(call: "open \(path)", code: errno) }
        defer { close(file) }
        let values = [state.real, state.boot, state.steps]
        let size = values.count * MemoryLayout<Int64>.size
        guard unsafe pwrite(file, values, size, 0) == size else {
            throw CallFailed(call: "pwrite \(path)", code: errno)
        }
    }
}

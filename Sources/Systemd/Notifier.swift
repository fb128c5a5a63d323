internal import CSystemd

/// Tells the service manager how we are: sd_notify(3). Does nothing where there is none.
public struct Notifier: Sendable {
    public init() {}

    /// All schedules are read and the listener stands.
    public func ready(status: String) {
        send("READY=1\nSTATUS=\(Self.line(status))")
    }

    /// One line for `systemctl status`.
    public func status(_ text: String) {
        send("STATUS=\(Self.line(text))")
    }

    /// We drain and end.
    public func stopping() {
        send("STOPPING=1")
    }

    /// The loop is alive.
    public func watchdog() {
        send("WATCHDOG=1")
    }

    /// How often the service manager wants to hear of us, in microseconds: sd_watchdog_enabled(3).
    public var watchdogInterval: UInt64? {
        var interval: UInt64 = 0
        return unsafe sd_watchdog_enabled(0, &interval) > 0 ? interval : nil
    }

    private func send(_ state: String) {
        // Its failure is the service manager's: there is nobody else to tell.
        _ = unsafe sd_notify(0, state)
    }

    private static func line(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).joined(separator: " ")
    }
}

internal import CLinux
internal import Glibc
public import Timing

/// One absolute CLOCK_REALTIME timer that also tells when the clock was set, timerfd_create(2).
@LoopActor
public final class WallTimer {
    public enum Event: Equatable, Sendable {
        case expired
        /// The wall clock jumped (settimeofday(2), a resume, NTP stepping).
        case clockStepped
    }

    /// Armed when nothing is due, so that a step of the clock is still noticed: the year 2200.
    private static let never = WallInstant(seconds: 7_258_118_400)

    private let descriptor: Descriptor
    private let handler: @LoopActor (Event) -> Void
    private var registration: Registration?
    private var armed: WallInstant?

    /// Calls `handler` on the loop for each event, starting with a timer that is not armed.
    public init(handler: @escaping @LoopActor (Event) -> Void) throws(SystemError) {
        descriptor = Descriptor(
            owning: try systemCall("timerfd_create") {
                clinux_timerfd_create(Int32(CLOCK_REALTIME))
            })
        self.handler = handler
        registration = try EventLoop.shared.register(descriptor.number, for: .readable) {
            [unowned self] _ in fired()
        }
        arm(at: nil)
    }

    isolated deinit {
        // An event that is already fetched must not find a timer that is gone.
        registration?.cancel()
    }

    /// Sets the instant at which `handler` is called; one in the past expires at once.
    public func arm(at instant: WallInstant?) {
        let target = min(instant ?? Self.never, Self.never)
        guard target != armed else { return }
        armed = target
        let microseconds = max(1, target.microseconds)
        let result = clinux_timerfd_settime(
            descriptor.number, microseconds / 1_000_000, microseconds % 1_000_000 * 1_000, 1)
        // ECANCELED here means armed, but the clock was set just before: read(2) will tell.
        precondition(result == 0 || errno == ECANCELED, "timerfd_settime failed: \(errno)")
    }

    /// Ends the timer: the handler is not called again.
    public func cancel() {
        registration?.cancel()
        registration = nil
    }

    private func fired() {
        var expirations: UInt64 = 0
        let result = unsafe read(
            descriptor.number, &expirations, MemoryLayout<UInt64>.size)
        let code = errno
        // Armed anew after this event was fetched: it means nothing, and the new wish stands.
        guard result > 0 || code == ECANCELED else { return }
        armed = nil
        handler(result > 0 ? .expired : .clockStepped)
        // Whoever does not arm it again still wants to hear of a step of the clock.
        if armed == nil, registration != nil { arm(at: nil) }
    }
}

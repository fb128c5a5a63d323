internal import Timing

/// How long this worker may believe that its runs are still its own.
///
/// Its peers declare it dead when they have not seen it for a while (`Peers`). It stops to rely on
/// itself well before, by its own clock alone: whoever was frozen or cut off knows when it wakes.
struct Lease {
    /// Counted from when a heartbeat was sent, which is before any peer can have seen it.
    static let lengthWithPeers: Duration = .seconds(5)
    /// Between two heartbeats of a lone worker, and as long as one may take.
    static let lengthAlone: Duration = .seconds(35)

    private enum State {
        case withPeers
        case alone
        /// The connection was lost when nobody was there who could have taken anything: a chain
        /// that restarts its own database server goes on.
        case aloneAndCutOff
    }

    private var state = State.aloneAndCutOff
    private var provenAt = MonotonicInstant(nanoseconds: 0)

    /// A heartbeat that was sent at an instant since boot was answered.
    mutating func prove(sent: MonotonicInstant, hasPeers: Bool) {
        provenAt = sent
        state = hasPeers ? .withPeers : .alone
    }

    /// The connection was lost, as noticed at an instant since boot.
    mutating func disconnect(at now: MonotonicInstant) {
        if state == .alone, isFresh(at: now) { state = .aloneAndCutOff }
    }

    /// Whether nobody can have taken our runs at an instant since boot.
    func isFresh(at now: MonotonicInstant) -> Bool {
        let age = now.duration(since: provenAt)
        return switch state {
        case .withPeers: age < Self.lengthWithPeers
        case .alone: age < Self.lengthAlone
        case .aloneAndCutOff: true
        }
    }
}

internal import Timing

/// How long this worker may believe that its runs are still its own.
///
/// Its peers declare it dead when they have not seen it for a while (`Peers`). It stops to rely on
/// itself well before, by its own clock alone: whoever was frozen or cut off knows when it wakes.
struct Lease {
    /// Less than `Peers.unlockedPatience`: counted from when a heartbeat was sent, which is before
    /// any peer can have seen it.
    static let length: Duration = .seconds(5)

    /// Whether anybody is there who could declare us dead.
    private(set) var hasPeers = false
    private var provenAt = MonotonicInstant(nanoseconds: 0)

    /// A heartbeat that was sent at an instant since boot was answered.
    mutating func prove(sent: MonotonicInstant, hasPeers: Bool) {
        provenAt = sent
        self.hasPeers = hasPeers
    }

    /// Whether nobody can have taken our runs at an instant since boot.
    func isFresh(at now: MonotonicInstant) -> Bool {
        !hasPeers || now.duration(since: provenAt) < Self.length
    }
}

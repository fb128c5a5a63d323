internal import Timing

/// Another worker, as one heartbeat of ours found it.
struct Peer: Equatable {
    let name: String
    /// When it last proved that it lives, in microseconds since 1970 by the database's clock. Only
    /// ever compared with itself: that clock may be set.
    let seen: Int64
    /// Whether it holds its name, so that it is connected.
    let isConnected: Bool
}

/// Which peers are dead: those that stayed as they were for too long, by our own clock.
struct Peers {
    /// A connected peer that gives no sign is frozen, or its host is cut off.
    static let patience: Duration = .seconds(10)
    /// One that gave no sign since we look may not know of us yet, and beat as one alone does.
    static let firstPatience: Duration = .seconds(40)
    /// One that is not connected may be connecting again: that takes it 5 s at most.
    static let unlockedPatience: Duration = .seconds(6)
    /// After such a gap between two looks it was we who were frozen, and the peers too, perhaps.
    static let longestGap: Duration = .seconds(5)

    private struct Sight {
        let seen: Int64
        let since: MonotonicInstant
        let patience: Duration
        var unlockedSince: MonotonicInstant?
    }

    private var sights: [String: Sight] = [:]
    private var lastLook: MonotonicInstant?

    /// Takes what was seen at an instant since boot; returns those that are dead.
    ///
    /// - Complexity: O(*n*) in the number of peers.
    mutating func look(_ peers: [Peer], at now: MonotonicInstant) -> [Peer] {
        if let lastLook, now.duration(since: lastLook) > Self.longestGap { sights.removeAll() }
        lastLook = now
        var next: [String: Sight] = [:]
        var dead: [Peer] = []
        for peer in peers {
            let before = sights[peer.name]
            let isFirst = before == nil
            var sight =
                before.flatMap { $0.seen == peer.seen ? $0 : nil }
                ?? Sight(
                    seen: peer.seen, since: now,
                    patience: isFirst ? Self.firstPatience : Self.patience)
            sight.unlockedSince = peer.isConnected ? nil : sight.unlockedSince ?? now
            next[peer.name] = sight
            let unlocked = sight.unlockedSince.map { now.duration(since: $0) } ?? .zero
            let still = now.duration(since: sight.since)
            if unlocked >= Self.unlockedPatience || still >= sight.patience {
                dead.append(peer)
            }
        }
        sights = next
        return dead
    }
}

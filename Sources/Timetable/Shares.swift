internal import Scheduling
internal import Timing

/// Which of several workers claims a fire first, so that they share the work.
///
/// By rendezvous hashing: all who know of each other agree without asking, and when one goes, only
/// its own fires find another one. It is a head start and no right: whoever it is may be busy, or
/// gone.
struct Shares {
    /// How long the others wait.
    static let headStart: Duration = .milliseconds(25)
    /// And one that can't begin any more at once.
    static let headStartOverBusy: Duration = .milliseconds(50)

    private let own: UInt64
    private let peers: [UInt64]

    init(own: String, peers: [String] = []) {
        self.own = own.nameHash
        self.peers = peers.map(\.nameHash)
    }

    var hasPeers: Bool { !peers.isEmpty }

    /// - Complexity: O(*n*) in the number of peers.
    func isOurs(_ fire: Fire) -> Bool {
        guard !peers.isEmpty else { return true }
        let key = Self.mix(
            UInt64(bitPattern: fire.config)
                &+ Self.mix(UInt64(bitPattern: fire.instant.microseconds)))
        let score = Self.mix(own ^ key)
        return peers.allSatisfy { Self.mix($0 ^ key) <= score }
    }

    /// The finalizer of MurmurHash3: every bit of the input changes half of the output's.
    private static func mix(_ value: UInt64) -> UInt64 {
        var value = value
        value = (value ^ (value >> 33)) &* 0xff51_afd7_ed55_8ccd
        value = (value ^ (value >> 33)) &* 0xc4ce_b9fe_1a85_ec53
        return value ^ (value >> 33)
    }
}

extension String {
    /// FNV-1a: the same on every host, as a worker's channel and its share of the fires have to be.
    var nameHash: UInt64 {
        utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}

extension Daemon {
    /// The channel that a worker alone hears. In hexadecimal: a name of one has at most 63 bytes.
    static func channel(of worker: String) -> String {
        "timetable_worker_" + String(worker.nameHash, radix: 16)
    }
}

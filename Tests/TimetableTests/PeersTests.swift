import Testing
import Timing

@testable import Timetable

/// Which peers are dead, by what heartbeats saw of them.
struct PeersTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// Each look: seconds since boot, the peer's own sign of life, whether it is connected.
        let looks: [(at: Double, seen: Int64, isConnected: Bool)]
        /// At which of these it is dead.
        let deadAt: [Double]
    }

    static let cases = [
        Case(
            testDescription: "one that beats lives, also when its clock is set",
            looks: [(0, 10, true), (2, 12, true), (4, 9, true), (6, 900, true), (8, 901, true)],
            deadAt: []),
        Case(
            testDescription: "frozen: connected, no sign for 10 s",
            looks: (0...6).map { (Double($0) * 2, 10, true) }, deadAt: [10, 12]),
        Case(
            testDescription: "killed: not connected for 6 s",
            looks: [(0, 10, true), (2, 10, false), (4, 10, false), (6, 10, false), (8, 10, false)],
            deadAt: [8]),
        Case(
            testDescription: "away for 4 s and back",
            looks: [
                (0, 10, true), (2, 10, false), (4, 10, false), (6, 11, true), (8, 12, true),
                (10, 12, false), (12, 12, false), (14, 13, false),
            ], deadAt: []),
        Case(
            testDescription: "it was we who were frozen",
            looks: [(0, 10, true), (2, 11, true), (42, 11, true), (44, 12, true)], deadAt: []),
        Case(
            testDescription: "both were frozen, and only we woke",
            looks: [(0, 10, true)] + (20...26).map { (Double($0) * 2, 10, true) },
            deadAt: [50, 52]),
        Case(
            testDescription: "found dead at our start",
            looks: [(0, 10, false), (2, 10, false), (4, 10, false), (6, 10, false)],
            deadAt: [6]),
    ]

    @Test(arguments: cases)
    func aPeerIsDeadWhenItGaveNoSignForTooLong(_ row: Case) {
        var peers = Peers()
        var deadAt: [Double] = []
        for look in row.looks {
            let peer = Peer(name: "a", seen: look.seen, isConnected: look.isConnected)
            if peers.look([peer], at: instant(look.at)) == [peer] { deadAt.append(look.at) }
        }
        #expect(deadAt == row.deadAt)
    }

    @Test func whoIsGoneIsForgotten() {
        var peers = Peers()
        let peer = Peer(name: "a", seen: 1, isConnected: true)
        _ = peers.look([peer], at: instant(0))
        for second in stride(from: 2.0, to: 20, by: 2) {
            #expect(peers.look([], at: instant(second)).isEmpty)
        }
        #expect(peers.look([peer], at: instant(20)).isEmpty)
    }

    /// Whoever is frozen doubts itself before anybody may have taken what it had.
    @Test func aLeaseEndsBeforeAnyPeerCanActOnIt() {
        #expect(Lease.length < Peers.unlockedPatience && Lease.length < Peers.patience)
        var lease = Lease()
        #expect(lease.isFresh(at: instant(1_000)))
        lease.prove(sent: instant(1_000), hasPeers: true)
        #expect(lease.isFresh(at: instant(1_004.9)))
        #expect(!lease.isFresh(at: instant(1_005)))
        lease.prove(sent: instant(1_006), hasPeers: false)
        #expect(lease.isFresh(at: instant(2_000)))
    }

    private func instant(_ seconds: Double) -> MonotonicInstant {
        MonotonicInstant(nanoseconds: UInt64(seconds * 1e9))
    }
}

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
            looks: [(0, 9, true)] + (1...7).map { (Double($0) * 2, 10, true) }, deadAt: [12, 14]),
        Case(
            testDescription: "no sign since we look: it may beat as one alone does",
            looks: (0...21).map { (Double($0) * 2, 10, true) }, deadAt: [40, 42]),
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
            looks: [(0, 10, true), (2, 11, true)] + (20...41).map { (Double($0) * 2, 11, true) },
            deadAt: [80, 82]),
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
        #expect(Lease.lengthWithPeers < Peers.unlockedPatience)
        #expect(Lease.lengthWithPeers < Peers.patience)
        #expect(Lease.lengthAlone < Peers.firstPatience)
        var lease = Lease()
        #expect(lease.isFresh(at: instant(1_000)))
        lease.prove(sent: instant(1_000), hasPeers: true)
        #expect(lease.isFresh(at: instant(1_004.9)))
        #expect(!lease.isFresh(at: instant(1_005)))
        lease.prove(sent: instant(1_006), hasPeers: false)
        #expect(lease.isFresh(at: instant(1_040)))
        #expect(!lease.isFresh(at: instant(1_041)))
    }

    /// A chain may stop and start its own database server.
    @Test func aLoneWorkerGoesOnWithoutItsDatabase() {
        var lease = Lease()
        lease.prove(sent: instant(1_000), hasPeers: false)
        lease.disconnect(at: instant(1_010))
        #expect(lease.isFresh(at: instant(9_000)))
        // But not when it was frozen before it noticed.
        lease.prove(sent: instant(9_000), hasPeers: false)
        lease.disconnect(at: instant(9_050))
        #expect(!lease.isFresh(at: instant(9_050)))
        // Nor when others may have taken what it had.
        lease.prove(sent: instant(9_100), hasPeers: true)
        lease.disconnect(at: instant(9_101))
        #expect(!lease.isFresh(at: instant(9_106)))
    }

    private func instant(_ seconds: Double) -> MonotonicInstant {
        MonotonicInstant(nanoseconds: UInt64(seconds * 1e9))
    }
}

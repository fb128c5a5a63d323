import Testing
import Timing

struct FireQueueTests {
    @Test func emptiesInOrderOfInstantThenId() {
        var queue = FireQueue<Int64, WallInstant>()
        for (id, second) in [(5, 30), (2, 10), (9, 20), (1, 10), (7, 40)] as [(Int64, Int64)] {
            queue.set(id, at: WallInstant(seconds: second))
        }
        #expect(queue.next == WallInstant(seconds: 10))
        #expect(queue.popDue(WallInstant(seconds: 9)).isEmpty)
        #expect(queue.popDue(WallInstant(seconds: 30)).map(\.id) == [1, 2, 9, 5])
        #expect(queue.count == 1)
    }

    @Test func movesAndRemovesById() {
        var queue = FireQueue<Int64, WallInstant>()
        for id in 0..<10 as Range<Int64> { queue.set(id, at: WallInstant(seconds: id)) }
        queue.set(9, at: WallInstant(seconds: -1))
        queue.set(0, at: WallInstant(seconds: 100))
        #expect(queue.remove(3) == WallInstant(seconds: 3))
        #expect(queue.remove(3) == nil)
        #expect(queue[0] == WallInstant(seconds: 100))
        #expect(queue.popDue(.distantFuture).map(\.id) == [9, 1, 2, 4, 5, 6, 7, 8, 0])
        #expect(queue.isEmpty)
    }

    @Test(arguments: [1, 2, 3, 4, 5] as [UInt64])
    func agreesWithASortedModel(seed: UInt64) {
        var random = SplitMix(state: seed)
        var queue = FireQueue<Int64, WallInstant>()
        var model: [Int64: WallInstant] = [:]
        for _ in 0..<20_000 {
            let id = Int64(random.next() % 300)
            let instant = WallInstant(microseconds: Int64(random.next() % 1_000))
            switch random.next() % 8 {
            case 0...4:
                queue.set(id, at: instant)
                model[id] = instant
            case 5:
                #expect(queue.remove(id) == model.removeValue(forKey: id))
            case 6:
                #expect(queue.next == model.values.min())
            default:
                let limit = Int(random.next() % 5)
                let expected = model.filter { $0.value <= instant }
                    .sorted { ($0.value, $0.key) < ($1.value, $1.key) }
                    .prefix(limit)
                #expect(queue.popDue(instant, limit: limit).map(\.id) == expected.map(\.key))
                for (id, _) in expected { model[id] = nil }
            }
            #expect(queue.count == model.count)
        }
    }
}

/// SplitMix64: a small generator whose runs can be repeated from their seed.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

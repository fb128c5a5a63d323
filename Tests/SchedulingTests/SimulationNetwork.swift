import Timing

/// What will happen, in order of time; what is due together, in the order in which it was added.
struct Agenda {
    private struct Entry {
        let time: Int64
        let order: Int
        let action: () -> Void
    }

    private var heap: [Entry] = []
    private var count = 0

    mutating func add(_ time: Int64, _ action: @escaping () -> Void) {
        count += 1
        heap.append(Entry(time: time, order: count, action: action))
        var index = heap.count - 1
        while index > 0, precedes(index, (index - 1) / 2) {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    mutating func next(through end: Int64) -> (time: Int64, action: () -> Void)? {
        guard let first = heap.first, first.time <= end else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var index = 0
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2]
            where child < heap.count && precedes(child, least) {
                least = child
            }
            guard least != index else { break }
            heap.swapAt(index, least)
            index = least
        }
        return (first.time, first.action)
    }

    private func precedes(_ left: Int, _ right: Int) -> Bool {
        (heap[left].time, heap[left].order) < (heap[right].time, heap[right].order)
    }
}

/// A clock that is wrong by an offset and a drift, and that is set now and then.
struct SkewedClock {
    private var time: Int64 = 0
    private var shown: Int64 = 0
    /// Parts in a million.
    var drift: Double = 0
    /// By how much it was set, all in all: the time since boot, which nobody sets, tells.
    private(set) var steps: Int64 = 0

    func read(_ now: Int64) -> Int64 {
        shown + (now - time) + Int64(Double(now - time) * drift / 1_000_000)
    }

    /// When it will show `reading`, if nobody sets it.
    func time(of reading: Int64, now: Int64) -> Int64 {
        let ahead = reading - read(now)
        return now + ahead - Int64(Double(ahead) * drift / 1_000_000)
    }

    mutating func step(by delta: Int64, now: Int64) {
        steps += delta
        shown = read(now) + delta
        time = now
    }
}

/// One session with the database: both ways in order, and cut when its connection is.
final class SimulatedSession {
    var lastArrival: Int64 = 0
    var lastDelivery: Int64 = 0
    /// From then on nothing arrives in either direction.
    var isCut = false
    /// The server process is there: after a kill it still does what it was sent.
    var isServed = true
    /// The daemon has closed it.
    var isClosed = false
}

/// Both sessions that scheduling needs.
final class SimulatedLink {
    let control = SimulatedSession()
    let claims = SimulatedSession()
    var isLost = false
    /// Claims, records and look-ups whose answers are not here.
    var underWay = 0
    /// Runs that an earlier connection claimed and that never began.
    var lostClaims: [Int] = []

    func cut() {
        control.isCut = true
        claims.isCut = true
    }

    func close() {
        isLost = true
        control.isClosed = true
        claims.isClosed = true
    }
}

/// An indexed binary min-heap: the ids that wait, ordered by the instant at which each is due.
///
/// Every id appears at most once. Ties are taken in the order of the ids, so that the same content
/// gives the same order on every worker.
///
/// Inlinable, so that other rooms get it for their own types: by way of witness tables it took
/// a tenth of the daemon's time in a burst.
public struct FireQueue<ID: Hashable & Comparable & Sendable, Instant: Comparable & Sendable>:
    Sendable
{
    @usableFromInline
    struct Entry: Sendable {
        @usableFromInline var instant: Instant
        @usableFromInline var id: ID

        @inlinable
        init(instant: Instant, id: ID) {
            self.instant = instant
            self.id = id
        }
    }

    @usableFromInline var heap: [Entry] = []
    @usableFromInline var positions: [ID: Int32] = [:]

    @inlinable
    public init() {}

    /// O(1).
    @inlinable
    public var count: Int { heap.count }

    /// O(1).
    @inlinable
    public var isEmpty: Bool { heap.isEmpty }

    /// The earliest instant. O(1).
    @inlinable
    public var next: Instant? { heap.first?.instant }

    /// The instant at which `id` is due. O(1) expected.
    @inlinable
    public subscript(id: ID) -> Instant? {
        positions[id].map { heap[Int($0)].instant }
    }

    /// O(1) for the room of `count` entries.
    @inlinable
    public mutating func reserveCapacity(_ count: Int) {
        heap.reserveCapacity(count)
        positions.reserveCapacity(count)
    }

    /// Puts `id` at `instant`, whether or not it was there before. O(log n).
    @inlinable
    public mutating func set(_ id: ID, at instant: Instant) {
        if let position = positions[id] {
            let index = Int(position)
            heap[index].instant = instant
            restore(at: index)
        } else {
            heap.append(Entry(instant: instant, id: id))
            positions[id] = Int32(heap.count - 1)
            siftUp(heap.count - 1)
        }
    }

    /// Takes `id` out; nil when it was not there. O(log n).
    @discardableResult
    @inlinable
    public mutating func remove(_ id: ID) -> Instant? {
        guard let position = positions.removeValue(forKey: id) else { return nil }
        let index = Int(position)
        let removed = heap[index].instant
        let last = heap.removeLast()
        if index < heap.count {
            heap[index] = last
            positions[last.id] = Int32(index)
            restore(at: index)
        }
        return removed
    }

    /// Takes out all that is due at `now` or before, in order, at most `limit`. O(k log n).
    @inlinable
    public mutating func popDue(_ now: Instant, limit: Int = .max) -> [(id: ID, instant: Instant)] {
        var due: [(id: ID, instant: Instant)] = []
        while due.count < limit, let first = heap.first, first.instant <= now {
            due.append((first.id, first.instant))
            remove(first.id)
        }
        return due
    }

    /// O(n).
    @inlinable
    public mutating func removeAll() {
        heap.removeAll(keepingCapacity: true)
        positions.removeAll(keepingCapacity: true)
    }

    @inlinable
    func precedes(_ left: Int, _ right: Int) -> Bool {
        let (a, b) = (heap[left], heap[right])
        return a.instant < b.instant || (a.instant == b.instant && a.id < b.id)
    }

    @inlinable
    mutating func exchange(_ left: Int, _ right: Int) {
        heap.swapAt(left, right)
        positions[heap[left].id] = Int32(left)
        positions[heap[right].id] = Int32(right)
    }

    @inlinable
    mutating func restore(at index: Int) {
        if index > 0, precedes(index, (index - 1) / 2) {
            siftUp(index)
        } else {
            siftDown(index)
        }
    }

    @inlinable
    mutating func siftUp(_ start: Int) {
        var index = start
        while index > 0 {
            let parent = (index - 1) / 2
            guard precedes(index, parent) else { return }
            exchange(index, parent)
            index = parent
        }
    }

    @inlinable
    mutating func siftDown(_ start: Int) {
        var index = start
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2]
            where child < heap.count && precedes(child, least) {
                least = child
            }
            guard least != index else { return }
            exchange(index, least)
            index = least
        }
    }
}

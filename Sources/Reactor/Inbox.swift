internal import DequeModule

/// A queue of events with one reader: senders never wait, the reader waits for the next.
///
/// Bounded by what its senders are bounded by; see `count` for a look at it.
@LoopActor
public final class Inbox<Element: Sendable> {
    private var elements = Deque<Element>()
    private var reader: CheckedContinuation<Void, Never>?

    public init() {}

    public var count: Int { elements.count }

    public func send(_ element: Element) {
        elements.append(element)
        reader?.resume()
        reader = nil
    }

    /// The next element; nil at once when there is none.
    public func poll() -> Element? {
        elements.popFirst()
    }

    /// The next element, when there is one. One reader at a time.
    public func next() async -> Element {
        while true {
            if let element = elements.popFirst() { return element }
            precondition(reader == nil, "an inbox has one reader")
            await withCheckedContinuation { reader = $0 }
        }
    }
}

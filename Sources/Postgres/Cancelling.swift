internal import CLibpq
internal import Reactor

extension Connection {
    /// Asks the server to cancel what this session does. Does not wait; a statement that is
    /// cancelled fails with 57014.
    ///
    /// A cancel request needs neither a free session nor a password.
    public func requestCancel() {
        guard ended == nil else { return }
        let delivered = sendCancel()
        copy.map { cancelled($0, delivered) }
    }

    /// Sends the request; the gate opens when the server has taken it, or never will.
    ///
    /// PQcancel(3) blocks, so it has a thread of its own for as long as it takes.
    func sendCancel() -> Gate {
        let delivered = Gate()
        guard ended == nil, let handle = unsafe PQgetCancel(connection) else {
            delivered.open()
            return delivered
        }
        let request = unsafe Unmanaged.passRetained(
            CancelRequest(owning: handle, delivered: delivered))
        if unsafe !startThread(request.toOpaque(), Self.cancel) {
            unsafe request.release()
            delivered.open()
        }
        return delivered
    }

    private nonisolated static let cancel: ThreadBody = { context in
        guard let context = unsafe context else { return nil }
        let request = unsafe Unmanaged<CancelRequest>.fromOpaque(context).takeRetainedValue()
        request.send()
        onLoop { request.delivered.open() }
        return nil
    }
}

/// A cancel request on its way, owned by its thread.
@safe
private final class CancelRequest: Sendable {
    // Never changes, and libpq lets any thread use it (PQcancel in the manual).
    nonisolated(unsafe) private let handle: OpaquePointer
    let delivered: Gate

    init(owning handle: OpaquePointer, delivered: Gate) {
        unsafe self.handle = unsafe handle
        self.delivered = delivered
    }

    deinit {
        unsafe PQfreeCancel(handle)
    }

    /// When even this fails, the session's own deadline or end remains.
    func send() {
        var text = [CChar](repeating: 0, count: 256)
        _ = unsafe PQcancel(handle, &text, Int32(text.count))
    }
}

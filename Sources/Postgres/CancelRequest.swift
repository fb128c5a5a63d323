internal import CLibpq
internal import Reactor

/// Sends a cancel request for a session; the gate opens when the server has taken it, or when it
/// can't be reached.
///
/// A cancel request needs neither a free session nor a password. PQcancel(3) blocks, so it has a
/// thread of its own for as long as it takes.
@LoopActor
func sendCancel(_ connection: OpaquePointer) -> Gate {
    let taken = Gate()
    guard let handle = unsafe PQgetCancel(connection) else {
        taken.open()
        return taken
    }
    let request = unsafe CancelRequest(handle, taken)
    let context = unsafe Unmanaged.passRetained(request).toOpaque()
    if unsafe !startThread(context, CancelRequest.body) {
        unsafe Unmanaged<CancelRequest>.fromOpaque(context).release()
        taken.open()
    }
    return taken
}

// Unchecked: the handle is used by the one thread that the request is given to.
@safe private final class CancelRequest: @unchecked Sendable {
    private let handle: OpaquePointer
    private let taken: Gate

    init(_ handle: OpaquePointer, _ taken: Gate) {
        unsafe self.handle = unsafe handle
        self.taken = taken
    }

    deinit {
        unsafe PQfreeCancel(handle)
    }

    static let body: ThreadBody = { context in
        guard let context = unsafe context else { return nil }
        let request = unsafe Unmanaged<CancelRequest>.fromOpaque(context).takeRetainedValue()
        // When even this fails, the session's own deadline or end remains.
        var text = [CChar](repeating: 0, count: 256)
        unsafe PQcancel(request.handle, &text, Int32(text.count))
        let taken = request.taken
        onLoop { taken.open() }
        return nil
    }
}

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
    let address = UInt(bitPattern: handle)
    let isStarted = startThread {
        guard let handle = unsafe OpaquePointer(bitPattern: address) else { return }
        // When even this fails, the session's own deadline or end remains.
        var text = [CChar](repeating: 0, count: 256)
        unsafe PQcancel(handle, &text, Int32(text.count))
        unsafe PQfreeCancel(handle)
        onLoop { taken.open() }
    }
    if !isStarted {
        unsafe PQfreeCancel(handle)
        taken.open()
    }
    return taken
}

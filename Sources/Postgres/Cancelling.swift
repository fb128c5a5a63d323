internal import CLibpq
internal import Reactor

extension Connection {
    /// Asks the server to cancel what this session does. Does not wait; a statement that is
    /// cancelled fails with 57014. Nothing while an earlier request is under way; a COPY that is
    /// begun meanwhile is cancelled too.
    ///
    /// A cancel request needs neither a free session nor a password.
    public func requestCancel() {
        guard ended == nil, cancelRequest.map(\.isOpen) ?? true else { return }
        let taken = sendCancel()
        copy.map { cancelled($0, taken) }
    }

    /// Returns when the server has taken the last request to cancel, if there was one: before, it
    /// may still hit whatever is run next. After 5 s the session is given up.
    public func cancelTaken() async {
        if let cancelRequest { await taken(cancelRequest) }
    }

    /// The same for one request.
    func taken(_ request: Gate) async {
        guard ended == nil, !request.isOpen else { return }
        await request.wait(atMost: .seconds(5))
        guard !request.isOpen else { return }
        lose(PostgresError(.timedOut, "a cancel request was not taken within 5 s"))
    }

    /// Sends the request; the gate opens when the server has taken it, or never will.
    ///
    /// PQcancel(3) blocks, so it has a thread of its own for as long as it takes.
    func sendCancel() -> Gate {
        let taken = Gate()
        cancelRequest = taken
        guard ended == nil, let handle = unsafe PQgetCancel(connection) else {
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
}

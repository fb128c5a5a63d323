internal import CCurl
internal import Glibc
internal import Synchronization

/// A libcurl handle in which a thread waits for the network.
// Unchecked: curl_multi_wakeup(3) may be called from any thread, and that is all that is done here.
@safe struct NetworkWait: @unchecked Sendable {
    private let multi: UnsafeMutableRawPointer

    init(_ multi: UnsafeMutableRawPointer) {
        unsafe self.multi = unsafe multi
    }

    func end() {
        unsafe _ = curl_multi_wakeup(multi)
    }
}

/// What the thread of a transfer shares with those who may cancel it.
final class TransferControl: Sendable {
    private struct State {
        var isCancelled = false
        /// It takes its result into use: too late to cancel.
        var isCommitting = false
        /// What waits for the network now.
        var wait: NetworkWait?
        /// Its open connections.
        var sockets: Set<Int32> = []
    }

    private let state = Mutex(State())

    var isCancelled: Bool { state.withLock { $0.isCancelled } }

    /// False when it is too late.
    func cancel() -> Bool {
        state.withLock { state in
            guard !state.isCommitting else { return false }
            state.isCancelled = true
            // Where libcurl waits by itself, it sees the end of the connection at once.
            for socket in state.sockets { shutdown(socket, Int32(SHUT_RDWR)) }
            state.wait?.end()
            return true
        }
    }

    /// From here on it can't be cancelled; false when it was.
    func commit() -> Bool {
        state.withLock { state in
            guard !state.isCancelled else { return false }
            state.isCommitting = true
            return true
        }
    }

    /// Has `cancel` wake this up, until nil is set: it must outlive that.
    func wakes(_ wait: NetworkWait?) {
        state.withLock { $0.wait = wait }
    }

    /// A connection was opened.
    func opened(_ socket: Int32) {
        state.withLock { _ = $0.sockets.insert(socket) }
    }

    /// Closes a connection: within the lock, so that no other descriptor of its number is shut.
    func close(_ socket: Int32) -> Int32 {
        state.withLock { state in
            state.sockets.remove(socket)
            return Glibc.close(socket)
        }
    }

    /// Lets no more answers in: what still waits for one sees the end of the connection.
    func stopReading() {
        state.withLock { state in
            for socket in state.sockets { shutdown(socket, Int32(SHUT_RD)) }
        }
    }
}

/// Why something under way is ended before its own end.
enum StopReason: Sendable, Equatable {
    /// Somebody asked for it.
    case cancelled(String)
    /// The daemon stops and waits no longer.
    case shutDown(String)
    /// It is not ours any more: this daemon was declared dead.
    case taken(String)
    /// Its time limit passed.
    case timedOut(after: Duration)

    var message: String {
        switch self {
        case .cancelled(let reason), .shutDown(let reason), .taken(let reason): reason
        case .timedOut(let limit): "timed out after \(limit.text)"
        }
    }

    /// The end of a run that is stopped for this reason.
    var status: RunEnd.Status {
        switch self {
        case .cancelled, .shutDown, .taken: .cancelled
        case .timedOut: .timedOut
        }
    }

    /// How long a program may take to end after SIGTERM. Who cancels by hand is waiting.
    var grace: Duration {
        switch self {
        case .cancelled, .taken: .milliseconds(500)
        case .shutDown, .timedOut: .seconds(5)
        }
    }
}

extension Duration {
    /// In seconds, with as many decimals as there are, up to milliseconds.
    fileprivate var text: String {
        let milliseconds =
            components.seconds * 1_000 + components.attoseconds / 1_000_000_000_000_000
        guard milliseconds % 1_000 != 0 else { return "\(milliseconds / 1_000) s" }
        return "\(Double(milliseconds) / 1_000) s"
    }
}

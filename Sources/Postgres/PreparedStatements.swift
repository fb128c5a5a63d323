/// Which named statements the server has, as far as its answers have told.
///
/// Each has a name of its own on the server, and another one after everything was dropped: what was
/// dropped in truth, and what only seems to be, never meets a name that is still taken.
struct PreparedStatements {
    enum Use: Equatable {
        /// Not there yet: to be prepared under this name, and then executed.
        case prepare(String)
        case execute(String)
        /// Its preparation is on its way in another batch, which may fail before it gets there:
        /// sent without preparation.
        case unprepared
    }

    private struct Entry {
        var nameOnServer: String
        /// The batch that prepares it; nil when the server has said that it is prepared.
        var batch: UInt64?
    }

    private var entries: [String: Entry] = [:]
    private var generation = 0

    mutating func use(_ name: String, inBatch batch: UInt64) -> Use {
        guard let entry = entries[name] else {
            let nameOnServer = "carillon:\(generation):\(name)"
            entries[name] = Entry(nameOnServer: nameOnServer, batch: batch)
            return .prepare(nameOnServer)
        }
        return entry.batch == nil || entry.batch == batch
            ? .execute(entry.nameOnServer) : .unprepared
    }

    /// The answer to the preparation that `batch` asked for.
    mutating func answered(_ name: String, inBatch batch: UInt64, succeeded: Bool) {
        guard entries[name]?.batch == batch else { return }
        if succeeded { entries[name]?.batch = nil } else { entries[name] = nil }
    }

    /// The server has none any more, or not those that we believe it has.
    mutating func forgetAll() {
        entries.removeAll(keepingCapacity: true)
        generation += 1
    }
}

internal import DequeModule
internal import Logging
internal import Reactor
internal import Systemd
internal import Timing

/// An entry of the journal, with a priority of syslog(3).
struct JournalForm: LogForm {
    private let queue: JournalQueue

    @LoopActor init(_ journal: Journal) {
        queue = JournalQueue(journal)
    }

    func write(_ line: LogLine) {
        let fields = line.fields.map { ($0.name.uppercased(), $0.value) }
        LoopActor.assumeIsolated {
            queue.send(
                [
                    (name: "MESSAGE", value: line.message), ("PRIORITY", line.level.priority),
                    ("SYSLOG_IDENTIFIER", "carillon"), ("CLIENT_NAME", line.worker),
                ] + fields)
        }
    }

    func finish() async {
        await queue.empty()
    }
}

/// Entries that the journal does not take at once wait here, in their order. Its socket holds as
/// few as 10 of them (net.unix.max_dgram_qlen), and what it does not say is when it has room again.
@LoopActor
final class JournalQueue {
    typealias Entry = [(name: String, value: String)]

    /// So many bytes wait; what comes then is lost, and counted.
    private static let bound = 4_194_304
    private static let shortestDelay: Duration = .milliseconds(5)
    private static let longestDelay: Duration = .seconds(1)
    private static let patience: Duration = .seconds(1)

    private let journal: Journal
    private var waiting = Deque<Entry>()
    private var size = 0
    private var lost = 0
    private var delay = shortestDelay
    private var isArmed = false

    init(_ journal: Journal) {
        self.journal = journal
    }

    func send(_ entry: Entry) {
        if waiting.isEmpty, lost == 0, journal.send(entry) { return }
        let bytes = Self.size(of: entry)
        if size + bytes <= Self.bound {
            size += bytes
            waiting.append(entry)
        } else {
            lost += 1
        }
        arm()
    }

    /// Returns when nothing waits any more; a journal that takes nothing is not waited for.
    func empty() async {
        let deadline = MonotonicInstant.now().advanced(by: Self.patience)
        while !trySending(), MonotonicInstant.now() < deadline {
            try? await EventLoop.shared.sleep(for: Self.shortestDelay)
        }
    }

    private func arm() {
        guard !isArmed else { return }
        isArmed = true
        _ = EventLoop.shared.after(delay) { [weak self] in
            guard let self else { return }
            isArmed = false
            delay = min(delay * 2, Self.longestDelay)
            if trySending() { delay = Self.shortestDelay } else { arm() }
        }
    }

    /// Sends what the journal takes; returns whether that was all.
    private func trySending() -> Bool {
        while let entry = waiting.first {
            guard journal.send(entry) else { return false }
            waiting.removeFirst()
            size -= Self.size(of: entry)
            delay = Self.shortestDelay
        }
        guard lost > 0 else { return true }
        let sentence = "\(lost) lines were lost: the journal did not take them"
        guard
            journal.send([
                ("MESSAGE", sentence), ("PRIORITY", "3"), ("SYSLOG_IDENTIFIER", "carillon"),
            ])
        else { return false }
        lost = 0
        return true
    }

    private static func size(of entry: Entry) -> Int {
        entry.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count }
    }
}

internal import Timing

/// What to tell those who follow runs and log lines live (`carillon log -f`, `run --wait`), and
/// whether anybody does. A pure value.
///
/// A NOTIFY takes a lock of the whole cluster when it commits, so none is sent while nobody
/// listens, and none on the path of a run. A follower LISTENs, holds a shared advisory lock for as
/// long as its session lives, and then says `follower JOINED` on the channel that daemons hear
/// anyway. From then on the run log tells what it has written, at most 20 times a second, by a
/// statement that first looks whether that lock is held: when nobody holds it any more, the answer
/// ends the telling. A daemon that connects takes it that there are followers, and is told
/// otherwise by its first answer; so no lost notification loses a follower.
struct Followers {
    private static let interval: Duration = .milliseconds(50)
    /// Ids of up to 20 bytes stay well below the 8,000 of a payload.
    private static let bound = 300

    private var mayBeThere = true
    /// How often somebody has joined: an answer says nothing about whoever came after its question.
    private var joins = 0
    /// Runs to tell of once so many invocations have been written, so that nobody hears of an end
    /// before its output can be read; and whether it is an end.
    private var awaiting: [Int64: (position: Int, hasEnded: Bool)] = [:]
    /// The same for too many to name.
    private var awaitingAll: Int?
    private var runs: [Int64: Bool] = [:]
    private var tellsLines = false
    private var tellsAll = false
    private var quietUntil = MonotonicInstant(nanoseconds: 0)

    /// Somebody follows from now on, or we can't know.
    mutating func joined() {
        mayBeThere = true
        joins += 1
    }

    /// A run began, or an attempt of it has ended; to be told when invocation number `position` has
    /// been written.
    mutating func changed(run: Int64, hasEnded: Bool, position: Int) {
        guard mayBeThere else { return }
        awaiting[run] = (position, hasEnded || awaiting[run]?.hasEnded == true)
        guard awaiting.count > Self.bound else { return }
        awaitingAll = position
        awaiting.removeAll(keepingCapacity: true)
    }

    /// Invocations up to number `position` have been written, those of `runs` at last.
    mutating func wrote(through position: Int, of written: some Sequence<Int64>) {
        guard mayBeThere else { return }
        for run in written where runs[run] == nil { runs[run] = false }
        for (run, needed) in awaiting where needed.position <= position {
            runs[run] = needed.hasEnded || runs[run] == true
            awaiting[run] = nil
        }
        if let needed = awaitingAll, needed <= position {
            awaitingAll = nil
            tellsAll = true
        }
        if runs.count > Self.bound { tellsAll = true }
    }

    mutating func wroteLines() {
        tellsLines = mayBeThere
    }

    var hasNews: Bool { tellsAll || tellsLines || !runs.isEmpty }

    /// How long the next news have to wait; nil without any.
    func delay(at now: MonotonicInstant) -> Duration? {
        hasNews ? quietUntil.duration(since: now) : nil
    }

    /// `all`, or ids of runs, with `!` for one whose end and tasks have all been written; and
    /// `lines` with either. Then how to take the answer.
    mutating func takeNews(at now: MonotonicInstant) -> (payload: String, joins: Int)? {
        guard hasNews else { return nil }
        var words =
            tellsAll ? ["all"] : runs.keys.sorted().map { "\($0)\(runs[$0] == true ? "!" : "")" }
        if tellsLines { words.append("lines") }
        runs.removeAll(keepingCapacity: true)
        (tellsAll, tellsLines) = (false, false)
        quietUntil = now.advanced(by: Self.interval)
        return (words.joined(separator: " "), joins)
    }

    /// What was taken last could not be sent, the connection being lost: whoever follows looks at
    /// everything.
    mutating func couldNotTell() {
        guard mayBeThere else { return }
        (tellsAll, tellsLines) = (true, true)
    }

    /// Nobody was there when this was asked for.
    mutating func foundNobody(joins asked: Int) {
        guard asked == joins else { return }
        mayBeThere = false
        awaiting.removeAll()
        awaitingAll = nil
        runs.removeAll()
        (tellsAll, tellsLines) = (false, false)
    }
}

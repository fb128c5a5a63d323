internal import CLinux
internal import Glibc
internal import Reactor

/// A program with all that came of it, also what has left its process group.
///
/// Found are: the group; whoever has a living member for parent; whoever was found before; and of
/// the orphans that came to us as their reaper those that carry the program's mark in their
/// environment or hold a pipe of its. So one escapes that lost its parent before the first look,
/// has cleared its environment and has let go of the pipes.
struct Family: Sendable {
    /// The program's own process, and the number of its group.
    let program: Int32
    let mark: String?
    /// The numbers of the pipes for its input and output.
    let pipes: Set<UInt64>
    var known: Set<ProcessRecord.Identity> = []

    /// What else runs under us.
    struct Surroundings: Sendable {
        /// Our own process.
        let reaper: Int32
        /// Programs of ours, this one included while it has not been waited for.
        let programs: Set<Int32>
        /// Whether the program has been waited for: its number may then be another's.
        let isReaped: Bool
    }

    /// Members that run, without the program itself. Pure.
    func members(
        among records: [ProcessRecord], _ surroundings: Surroundings,
        isMarked: (Int32) -> Bool
    ) -> [ProcessRecord] {
        let isOurNumber = !surroundings.isReaped || !surroundings.programs.contains(program)
        var found: [Int32: ProcessRecord] = [:]
        for record in records where record.pid != surroundings.reaper {
            let isProgram = record.pid == program && !surroundings.isReaped
            let isOrphan =
                record.parent == surroundings.reaper
                && !surroundings.programs.contains(record.pid)
            let isOfGroup =
                record.group == program && isOurNumber && (!surroundings.isReaped || isOrphan)
            if isProgram || isOfGroup || known.contains(record.identity)
                || (isOrphan && isMarked(record.pid))
            {
                found[record.pid] = record
            }
        }
        let children = Dictionary(grouping: records, by: \.parent)
        var parents = Array(found.values)
        while let parent = parents.popLast() {
            for child in children[parent.pid] ?? []
            where found[child.pid] == nil && child.pid != surroundings.reaper
                // Younger than its parent, else the number has changed its owner meanwhile.
                && child.identity.start >= parent.identity.start
            {
                found[child.pid] = child
                parents.append(child)
            }
        }
        return found.values.filter { !$0.isZombie && (surroundings.isReaped || $0.pid != program) }
    }

    /// The same by a look at the system. May block.
    func members(_ surroundings: Surroundings) -> [ProcessRecord] {
        members(among: ProcessRecord.all(), surroundings) { pid in
            ProcessRecord.isMarked(pid, by: mark, orHolds: pipes)
        }
    }

    /// A signal to each of `members` that is still the same process: pidfd_send_signal(2).
    static func send(_ signal: Int32, to members: [ProcessRecord]) {
        for member in members {
            guard let pidfd = descriptor(of: member) else { continue }
            // Fails for one that has just ended, and for one that is not ours to signal.
            _ = clinux_pidfd_send_signal(pidfd.number, signal)
            // A stopped process would never see it.
            if signal == SIGTERM { _ = clinux_pidfd_send_signal(pidfd.number, SIGCONT) }
        }
    }

    /// pidfd_open(2) of this very process; nil when it is gone, or no descriptor is to be had.
    static func descriptor(of member: ProcessRecord) -> Descriptor? {
        let number = clinux_pidfd_open(member.pid)
        guard number >= 0 else { return nil }
        let pidfd = Descriptor(owning: number)
        guard ProcessRecord.read(member.pid)?.identity == member.identity else { return nil }
        return pidfd
    }
}

internal import Glibc
internal import Reactor
internal import Timing

/// Ends a program with all that came of it: SIGTERM, a grace for all of them, SIGKILL.
@LoopActor
final class Stop {
    /// How long a look at all processes may take; without it the group has to do.
    private static let lookLimit: Duration = .seconds(1)
    /// How long to wait for the killed: what hangs in the kernel may stay for ever.
    private static let killLimit: Duration = .seconds(5)
    /// Whose ends are waited for before the next look.
    private static let watchedAtOnce = 32

    private var family: Family
    /// Of the program itself, which has been waited for then.
    private let ended: Gate
    private var timer: EventLoop.TimerID?
    private var told: Set<ProcessRecord.Identity> = []
    private var lastSeen: [ProcessRecord] = []
    private let graceIsOver = Gate()
    private var deadline: MonotonicInstant
    /// Open when nothing is left, or only what did not die of SIGKILL in time.
    let done = Gate()

    init(_ family: Family, ended: Gate, grace: Duration) {
        self.family = family
        self.ended = ended
        timer = EventLoop.shared.after(grace) { [graceIsOver] in graceIsOver.open() }
        deadline = .now().advanced(by: grace)
    }

    /// The grace ends in `grace`, if that is sooner.
    func shorten(to grace: Duration) {
        let sooner = MonotonicInstant.now().advanced(by: grace)
        guard sooner < deadline else { return }
        deadline = sooner
        if let timer { EventLoop.shared.cancelTimer(timer) }
        timer = EventLoop.shared.after(grace) { [graceIsOver] in graceIsOver.open() }
    }

    func run() async {
        // Before the first signal: who left the group is known by his parents while they live.
        var members = await look()
        signalGroup(SIGTERM)
        // A stopped process would never see it.
        signalGroup(SIGCONT)
        await tell(members.filter { $0.group != family.program || ended.isOpen })
        told.formUnion(members.map(\.identity))
        while !graceIsOver.isOpen, !members.isEmpty || !ended.isOpen {
            await ends(of: members, or: graceIsOver)
            members = await look()
            await tell(members.filter { !told.contains($0.identity) })
        }
        if let timer { EventLoop.shared.cancelTimer(timer) }
        if !members.isEmpty || !ended.isOpen { await killAll() }
        done.open()
    }

    private func killAll() async {
        let tooLate = Gate()
        let timer = EventLoop.shared.after(Self.killLimit) { tooLate.open() }
        defer { EventLoop.shared.cancelTimer(timer) }
        while !tooLate.isOpen {
            // The group at once, so that no fork(2) gets away; who left it in rounds.
            signalGroup(SIGKILL)
            let members = await look(thenSend: SIGKILL)
            if members.isEmpty, ended.isOpen { return }
            await ends(of: members, or: tooLate)
        }
    }

    /// Only while the program was not waited for: its number is then no other group's.
    private func signalGroup(_ signal: Int32) {
        guard !ended.isOpen else { return }
        kill(-family.program, signal)
    }

    /// All members that run, with `signal` sent to each.
    private func look(thenSend signal: Int32? = nil) async -> [ProcessRecord] {
        let family = self.family
        let surroundings = Family.Surroundings(
            reaper: getpid(), programs: Set(Program.running.keys), isReaped: ended.isOpen)
        let found = try? await blockingCall(within: Self.lookLimit) {
            let members = family.members(surroundings)
            if let signal { Family.send(signal, to: members) }
            return members
        }
        guard let found else {
            // Too many calls hang: then what was seen before has to do.
            if let signal { Family.send(signal, to: lastSeen) }
            return lastSeen
        }
        lastSeen = found
        self.family.known.formUnion(found.map(\.identity))
        return found
    }

    private func tell(_ members: [ProcessRecord]) async {
        guard !members.isEmpty else { return }
        told.formUnion(members.map(\.identity))
        _ = try? await blockingCall(within: Self.lookLimit) {
            Family.send(SIGTERM, to: members)
        }
    }

    /// Returns when the program and the first of `members` have ended, or when `limit` is open.
    private func ends(of members: [ProcessRecord], or limit: Gate) async {
        var isBlind = !members.isEmpty
        for member in members.prefix(Self.watchedAtOnce) {
            guard !limit.isOpen, let pidfd = Family.descriptor(of: member) else { continue }
            let end = Gate()
            guard
                let registration = try? EventLoop.shared.register(
                    pidfd.number, for: .readable, handler: { _ in end.open() })
            else { continue }
            isBlind = false
            await end.wait(orFor: limit)
            registration.cancel()
        }
        await ended.wait(orFor: limit)
        // All gone, or no descriptor to be had: then the next look must not come at once for ever.
        if isBlind { await limit.wait(atMost: .milliseconds(2)) }
    }
}

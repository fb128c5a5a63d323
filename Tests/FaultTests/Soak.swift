import Foundation
import TestSupport
import Testing
import Timing

/// Numbers that are the same for the same seed: SplitMix64.
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

/// Five daemons on one database, to which everything happens in turn.
struct Soak {
    enum Fault: String, CaseIterable {
        case kill, restart, freeze, listener, claims, session
    }

    /// One fault: to whom it happened, when, and when it was over from our side.
    struct Injection {
        let fault: Fault
        let slot: Int
        let at: WallInstant
        var healedAt: WallInstant?
        /// The life of the daemon by which it was felt, and the one after it.
        let life: Int
    }

    /// One daemon process, and what it held at times.
    struct Life {
        let slot: Int
        let daemon: DaemonProcess
        let startedAt: WallInstant
        var samples: [ProcessFigures] = []
        /// Whether we ended it.
        var isOver = false
    }

    static let slots = 5

    let database: TestDatabase
    private(set) var lives: [Life] = []
    private(set) var injections: [Injection] = []
    private var numbers: SeededNumbers
    /// The life in each slot.
    private var current: [Int] = []
    private var heals: [(at: ContinuousClock.Instant, injection: Int)] = []
    private var deck: [Fault] = []

    init(_ database: TestDatabase, seed: UInt64) {
        self.database = database
        numbers = SeededNumbers(seed: seed)
    }

    // MARK: Lives

    mutating func startAll() async throws {
        for slot in 0..<Self.slots { current.append(try begin(slot)) }
        for life in lives {
            try await life.daemon.waitForNotify("READY=1", within: .seconds(60))
        }
    }

    static func name(_ slot: Int) -> String { "soak-\(slot + 1)" }

    private mutating func begin(_ slot: Int) throws -> Int {
        let daemon = try DaemonProcess(
            ["serve", "--name", Self.name(slot)], environment: database.environment, notify: true)
        lives.append(Life(slot: slot, daemon: daemon, startedAt: wallNow()))
        return lives.count - 1
    }

    private mutating func begin(again slot: Int) throws {
        current[slot] = try begin(slot)
    }

    // MARK: Faults

    /// Puts faults on the daemons until `end`, one each `pace` on the average.
    mutating func suffer(until end: ContinuousClock.Instant, pace: Duration) async throws {
        // When all is under way.
        var nextFault = ContinuousClock.now + .seconds(2)
        var nextSample = ContinuousClock.now
        while ContinuousClock.now < end || !heals.isEmpty {
            if nextFault <= .now, ContinuousClock.now < end {
                try await inject()
                let share = Double.random(in: 0.2...1.8, using: &numbers)
                nextFault = .now + pace * share
            }
            try heal()
            if nextSample <= .now {
                try sample()
                nextSample = .now + .seconds(5)
            }
            try expectLife()
            // The pace of what we do to them, and no wait for anything.
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    private func expectLife() throws {
        for life in lives where !life.isOver {
            guard let end = life.daemon.end else { continue }
            throw NotReached(
                "\(Self.name(life.slot)) ended by itself, \(end):\n"
                    + life.daemon.lines.suffix(10).map(\.text).joined(separator: "\n"))
        }
    }

    /// The slots to which nothing happens now.
    private var healthy: [Int] {
        let ill = Set(heals.map { injections[$0.injection].slot })
        return (0..<Self.slots).filter { !ill.contains($0) }
    }

    private mutating func inject() async throws {
        // Two at least go on, so that work never waits for a cure.
        let slots = healthy
        guard slots.count > 2, let slot = slots.randomElement(using: &numbers) else { return }
        // Each kind comes before any comes again.
        if deck.isEmpty {
            deck = Fault.allCases.shuffled(using: &numbers)
            // First in a short soak, since it takes longest.
            if injections.isEmpty { deck.append(.freeze) }
        }
        let fault = deck.removeLast()
        // The last one is never killed: what it holds has to stay the same.
        if slot == Self.slots - 1, fault == .kill || fault == .restart { return deck.append(fault) }
        let life = current[slot]
        injections.append(Injection(fault: fault, slot: slot, at: wallNow(), life: life))
        let daemon = lives[life].daemon
        switch fault {
        case .kill:
            lives[life].isOver = true
            daemon.kill()
            healLater(within: FaultForm.either(0.0...4.0, 0.0...30.0))
        case .restart:
            lives[life].isOver = true
            daemon.terminate()
            healLater(within: FaultForm.either(1.0...3.0, 1.0...10.0))
        case .freeze:
            daemon.suspend()
            // Longer than its peers wait, the first time in any case: it is declared dead.
            let isFirst = injections.count { $0.fault == .freeze } == 1
            healLater(within: isFirst ? 12.0...13.0 : FaultForm.either(1.0...6.0, 0.5...40.0))
        case .listener: try await terminate("control", slot)
        case .claims: try await terminate("claims", slot)
        case .session: try await terminate("run", slot)
        }
    }

    private mutating func healLater(within seconds: ClosedRange<Double>) {
        let delay = Double.random(in: seconds, using: &numbers)
        heals.append((.now + .seconds(delay), injections.count - 1))
    }

    private func terminate(_ purpose: String, _ slot: Int) async throws {
        try await database.psql(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database()
                AND application_name = 'carillon \(Self.name(slot)) \(purpose)'
            ORDER BY state = 'active' DESC, random() LIMIT 1
            """)
    }

    private mutating func heal() throws {
        let due = heals.filter { $0.at <= .now }
        heals.removeAll { $0.at <= .now }
        for (_, index) in due {
            let (fault, slot) = (injections[index].fault, injections[index].slot)
            let daemon = lives[injections[index].life].daemon
            // One that drains is not started beside itself.
            if fault == .restart, daemon.end == nil {
                heals.append((.now + .milliseconds(50), index))
                continue
            }
            injections[index].healedAt = wallNow()
            if fault == .freeze { daemon.resume() } else { try begin(again: slot) }
        }
    }

    // MARK: What they hold

    private mutating func sample() throws {
        for slot in healthy where !lives[current[slot]].isOver {
            let figures = try ProcessFigures(of: lives[current[slot]].daemon)
            lives[current[slot]].samples.append(figures)
        }
    }

    /// Keeps what the daemons said, for whoever has to find out.
    func keepLines() throws {
        let path = try makeTemporaryFolder("carillon-soak") + "/lines"
        var text = injections.map { "\($0)" }.joined(separator: "\n") + "\n"
        for (number, life) in lives.enumerated() {
            for line in life.daemon.lines { text += "\(number): \(line.text)\n" }
        }
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        print("what the daemons said is in \(path)")
    }

    /// Those that run now.
    var daemons: [DaemonProcess] { current.map { lives[$0].daemon } }

    /// What the one that was never killed held, from its start on.
    var survivor: [ProcessFigures] {
        current.last.map { lives[$0].samples } ?? []
    }
}

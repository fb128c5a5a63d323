internal import ArgumentParser
internal import Glibc
internal import Reactor
internal import Terminal
internal import Timetable
internal import Timing

struct Top: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Watch live what is due, what runs, how runs ended, and the workers.",
        usage: "carillon top [<options>]",
        discussion: """
            Drawn anew when something happens, at most four times a second, and each second for \
            the clocks; the database is asked only when daemons tell of something new. q or \
            Ctrl-C ends it. Off a terminal, with --once or --json: once.

            Exit codes: 0; 2 to 6 as for serve; 64 bad options.
            """)

    @Flag(help: "Print it once.")
    var once = false

    @OptionGroup(title: "Output") var output: OutputOptions
    @OptionGroup(title: "Connection") var connection: ConnectionOptions

    mutating func run() throws {
        let output = output
        let isLive = !once && !output.json && isatty(STDOUT_FILENO) == 1
        if isLive { Signals.block([SIGINT, SIGTERM, SIGWINCH]) }
        try connection.asking("top") { reports in
            if isLive { return try await LiveTop(reports, inUTC: output.utc).run() }
            var picture = TopPicture(inUTC: output.utc)
            try await picture.readAll(reports)
            if output.json {
                emit([JSONText.lines(picture.objects(now: .now()))])
            } else {
                emit(picture.lines(on: .output, height: nil, now: .now()))
            }
            return 0
        }
    }
}

extension TopPicture {
    fileprivate static let shown = 100

    fileprivate mutating func readAll(_ reports: Reports) async throws {
        try await readConfigs(reports)
        try await readRuns(reports)
    }

    fileprivate mutating func readConfigs(_ reports: Reports) async throws {
        configs = try await reports.configs(nil, now: .now()).filter { $0.next != nil }
        workers = try await reports.workers()
    }

    fileprivate mutating func readRuns(_ reports: Reports) async throws {
        running = try await reports.running(limit: Self.shown)
        last = try await reports.runs(
            config: nil, failedOnly: false, since: nil, limit: Self.shown
        ).filter(\.hasEnded)
    }
}

/// The screen that lives.
@LoopActor
private final class LiveTop {
    /// Between two looks at the database.
    private static let pause: Duration = .milliseconds(250)

    private let reports: Reports
    private var picture: TopPicture
    private var ends = false
    private var timer: EventLoop.TimerID?

    init(_ reports: Reports, inUTC: Bool) {
        self.reports = reports
        picture = TopPicture(inUTC: inUTC)
    }

    func run() async throws -> Int32 {
        let following = try await reports.follow(withConfigs: true)
        var seen = picture
        try await seen.readAll(reports)
        picture = seen
        let keyboard = Keyboard()
        defer { keyboard.restore() }
        let signals = try Signals([SIGINT, SIGTERM, SIGWINCH]) { [self] signal in
            if signal == SIGWINCH { draw() } else { end(following) }
        }
        defer { signals.cancel() }
        let keys = try keyboard.watch { [self] key in
            // q and Q
            if [0x71, 0x51].contains(key) { end(following) }
        }
        defer { keys?.cancel() }
        tick()
        defer { if let timer { EventLoop.shared.cancelTimer(timer) } }
        while true {
            let news = try await following.next()
            if ends { return 0 }
            if news.configs || news.all { try await seen.readConfigs(reports) }
            if !news.runs.isEmpty || news.all || news.configs {
                try await seen.readRuns(reports)
                seen.workers = try await reports.workers()
            }
            picture = seen
            draw()
            // What comes meanwhile is looked at together.
            try? await EventLoop.shared.sleep(for: Self.pause)
        }
    }

    private func end(_ following: Following) {
        ends = true
        following.wake()
    }

    /// Each second, for the clocks: asks nobody.
    private func tick() {
        draw()
        timer = EventLoop.shared.after(.seconds(1)) { [weak self] in self?.tick() }
    }

    private func draw() {
        let lines = picture.lines(
            on: .output, height: Screen.height, now: .now())
        // Home, each line with what stood behind it erased, then all below.
        let text = "\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J"
        emitRaw(text)
    }
}

/// The terminal while the screen lives: keys come one by one, unseen; the screen is another one.
@LoopActor
private final class Keyboard {
    private var before: termios?

    init() {
        var settings = termios()
        if unsafe tcgetattr(STDIN_FILENO, &settings) == 0 {
            before = settings
            settings.c_lflag &= ~tcflag_t(ICANON | ECHO)
            unsafe tcsetattr(STDIN_FILENO, TCSANOW, &settings)
        }
        emitRaw("\u{1B}[?1049h\u{1B}[?25l")
    }

    func restore() {
        emitRaw("\u{1B}[?25h\u{1B}[?1049l")
        if var before { unsafe tcsetattr(STDIN_FILENO, TCSANOW, &before) }
    }

    func watch(_ pressed: @escaping @LoopActor (UInt8) -> Void) throws -> Registration? {
        guard before != nil else { return nil }
        return try EventLoop.shared.register(STDIN_FILENO, for: .readable) { _ in
            var key: UInt8 = 0
            if unsafe read(STDIN_FILENO, &key, 1) == 1 { pressed(key) }
        }
    }
}

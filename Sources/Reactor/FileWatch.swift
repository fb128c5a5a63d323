internal import Glibc
internal import Timing

/// Tells when what some paths lead to may have changed, inotify(7).
///
/// Watched is every directory on the way, through symbolic links too: packages replace files by
/// rename(2), links are turned, whole folders are moved. Only what happens to a name on the way
/// counts. Writes through another hard link, and mounts, are not seen.
@LoopActor
public final class FileWatch {
    /// Names on the way, by the directory that holds them.
    private typealias Places = [String: Set<String>]

    private static let mask = UInt32(
        IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_ATTRIB
            | IN_DELETE_SELF | IN_MOVE_SELF)
    /// As the kernel's own limit, path_resolution(7).
    private static let mostLinks = 40

    private let descriptor: Descriptor
    private let quiet: Duration
    private let handler: @LoopActor () -> Void
    private var registration: Registration?
    private var paths: Set<String> = []
    /// The directories by their watch descriptor.
    private var watched: [Int32: (directory: String, names: Set<String>)] = [:]
    private var timer: EventLoop.TimerID?
    private var firstEvent: MonotonicInstant?

    /// - Parameters:
    ///   - quiet: `handler` is called once when nothing more has come for so long, at the latest
    ///     after ten times that: a package unpacks hundreds of files.
    public init(
        quiet: Duration, handler: @escaping @LoopActor () -> Void
    ) throws(SystemError) {
        descriptor = Descriptor(
            owning: try systemCall("inotify_init1") {
                inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
            })
        self.quiet = quiet
        self.handler = handler
        registration = try EventLoop.shared.register(descriptor.number, for: .readable) {
            [unowned self] _ in drain()
        }
    }

    isolated deinit {
        cancel()
    }

    /// Watches the way to an absolute path, whether there is something or not.
    ///
    /// What is read afterwards and changes later is told. Throws when the kernel's limits are
    /// reached (`fs.inotify.max_user_watches`); the rest of the way is watched even so.
    public func add(_ path: String) throws(SystemError) {
        guard paths.insert(path).inserted else { return }
        try watch(Self.places(on: path))
    }

    /// No handler is called afterwards. May be called again.
    public func cancel() {
        registration?.cancel()
        registration = nil
        if let timer { EventLoop.shared.cancelTimer(timer) }
        timer = nil
    }

    // MARK: The way to a path

    /// Looks at the ways anew: links may lead elsewhere, and directories be others.
    private func refresh() {
        var places: Places = [:]
        for path in paths { places.merge(Self.places(on: path)) { $0.union($1) } }
        let before = watched
        watched.removeAll()
        // What can't be watched any more was told of when it was added, or is gone.
        _ = try? watch(places)
        for number in before.keys where watched[number] == nil {
            // EINVAL: the kernel has removed it together with the directory.
            _ = inotify_rm_watch(descriptor.number, number)
        }
    }

    private func watch(_ places: Places) throws(SystemError) {
        var failure: SystemError?
        for (directory, names) in places {
            do throws(SystemError) {
                let number = try systemCall("inotify_add_watch \(directory)") {
                    unsafe inotify_add_watch(
                        descriptor.number, directory, Self.mask | UInt32(IN_ONLYDIR))
                }
                watched[number, default: (directory, [])].names.formUnion(names)
            } catch {
                // Not there yet: what is on the way before it tells. Not to be read: it may be
                // passed, and what it holds can't be watched by us.
                let isExpected = [ENOENT, ENOTDIR, EACCES].contains(error.code)
                if !isExpected, failure == nil { failure = error }
            }
        }
        if let failure { throw failure }
    }

    /// Every name that is looked up on the way, as path_resolution(7) does it.
    private static func places(on path: String) -> Places {
        var places: Places = [:]
        var left = components(path)
        var current: [Substring] = []
        var links = 0
        while let name = left.popLast() {
            guard name != "..", name != "." else {
                if name == ".." { _ = current.popLast() }
                continue
            }
            let directory = "/" + current.joined(separator: "/")
            places[directory, default: []].insert(String(name))
            guard let target = linkTarget(directory + "/" + name) else {
                current.append(name)
                continue
            }
            links += 1
            guard links <= mostLinks else { break }
            if target.hasPrefix("/") { current = [] }
            left += components(target)
        }
        return places
    }

    /// The last one first.
    private static func components(_ path: String) -> [Substring] {
        path.split(separator: "/").reversed()
    }

    private static func linkTarget(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = unsafe readlink(path, &buffer, buffer.count)
        guard length > 0 else { return nil }
        let bytes = buffer.prefix(length).map { UInt8(bitPattern: $0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: Events

    private func drain() {
        // More than one event of the longest name, so that one always fits.
        var buffer = [UInt8](repeating: 0, count: 16_384)
        var isRelevant = false
        while true {
            let count = unsafe read(descriptor.number, &buffer, buffer.count)
            guard count > 0 else { break }
            if concernsUs(buffer[..<count]) { isRelevant = true }
        }
        if isRelevant { wait() }
    }

    private func concernsUs(_ events: ArraySlice<UInt8>) -> Bool {
        let headerSize = MemoryLayout<inotify_event>.size
        var rest = events
        var isRelevant = false
        while rest.count >= headerSize {
            let header = unsafe rest.withUnsafeBytes {
                unsafe $0.loadUnaligned(as: inotify_event.self)
            }
            let name = rest.dropFirst(headerSize).prefix(Int(header.len)).prefix { $0 != 0 }
            rest = rest.dropFirst(headerSize + Int(header.len))
            // Of an overflow nobody knows what it has lost.
            if header.mask & UInt32(IN_Q_OVERFLOW) != 0 { isRelevant = true }
            guard let place = watched[header.wd] else { continue }
            if header.mask & UInt32(IN_IGNORED) != 0 {
                watched[header.wd] = nil
                isRelevant = true
            } else if name.isEmpty || place.names.contains(String(decoding: name, as: UTF8.self)) {
                isRelevant = true
            }
        }
        return isRelevant
    }

    private func wait() {
        let now = MonotonicInstant.now()
        let first = firstEvent ?? now
        firstEvent = first
        if let timer { EventLoop.shared.cancelTimer(timer) }
        let latest = now.duration(since: first) > quiet * 9
        timer = EventLoop.shared.after(latest ? .zero : quiet) { [weak self] in
            guard let self else { return }
            timer = nil
            firstEvent = nil
            // First watched, then read: what changes in between is told again.
            refresh()
            handler()
        }
    }
}

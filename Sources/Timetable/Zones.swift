internal import Glibc
internal import Reactor
internal import Scheduling

/// The zone rules of this host, read from its zoneinfo once for each name, and again when its
/// files change.
@LoopActor
final class Zones {
    /// A package unpacks for a while, and a daemon in the middle of it would see half of it.
    private static let quiet: Duration = .seconds(1)
    /// No zone file is near this size; it bounds what a broken link can cost.
    private static let sizeLimit = 1 << 20

    private let folders: [String]
    private var cache: [String: ZoneRules] = [:]
    /// What was found for each name that was asked for: nil where there was no file.
    private var files: [String: [UInt8]?] = [:]
    private var watch: FileWatch?
    private var whenUnwatched: (@LoopActor (SystemError) -> Void)?

    /// Why a zone can't be used, as a sentence.
    struct Failure: Error {
        let message: String
    }

    /// In the folder that the variable TZDIR names, tzset(3), else in the system's.
    init() {
        if let folder = ProcessID.variable("TZDIR"), folder.hasPrefix("/") {
            folders = [folder + "/"]
        } else {
            folders = ["/usr/share/zoneinfo/", "/usr/lib/zoneinfo/"]
        }
    }

    /// The rules of a zone such as `Europe/Berlin`.
    func rules(_ name: String) throws(Failure) -> ZoneRules {
        if let known = cache[name] { return known }
        if name == "UTC" || name == "Etc/UTC" { return .utc }
        guard !name.isEmpty, !name.hasPrefix("/"), !name.split(separator: "/").contains("..")
        else { throw Failure(message: "'\(name)' is no time zone") }
        let file = find(name)
        files[name] = .some(file?.bytes)
        guard let file else {
            throw Failure(
                message: "this host has no time zone '\(name)'; install the package tzdata")
        }
        do throws(ZoneFileError) {
            let rules = try ZoneRules(name: name, tzif: file.bytes)
            cache[name] = rules
            return rules
        } catch {
            throw Failure(message: "the zone file \(file.path) can't be read: \(error)")
        }
    }

    /// Forgets all rules, so that changed files are read again.
    func forgetAll() {
        cache.removeAll()
    }

    // MARK: Changes

    /// From now on `changed` is called with the zones in use whose files have other bytes than
    /// before; their rules are forgotten by then. An empty list: files changed, but not ours.
    ///
    /// - Parameters:
    ///   - unwatched: called once when the kernel lets us watch no more.
    func watch(
        changed: @escaping @LoopActor ([String]) -> Void,
        unwatched: @escaping @LoopActor (SystemError) -> Void
    ) {
        whenUnwatched = unwatched
        do throws(SystemError) {
            watch = try FileWatch(quiet: Self.quiet) { [unowned self] in changed(forgetChanged()) }
        } catch {
            notWatched(error)
        }
    }

    private func forgetChanged() -> [String] {
        let changed = files.filter { name, bytes in
            // A file that is gone may come back; until then its rules are better than none.
            guard let file = find(name) else { return false }
            return file.bytes != bytes
        }
        for name in changed.keys {
            cache[name] = nil
            files[name] = nil
        }
        return changed.keys.sorted()
    }

    private func notWatched(_ error: SystemError) {
        whenUnwatched?(error)
        whenUnwatched = nil
    }

    /// The first file of that name. Watched before it is read: no change is lost in between.
    private func find(_ name: String) -> (path: String, bytes: [UInt8])? {
        for folder in folders {
            let path = folder + name
            do throws(SystemError) {
                try watch?.add(path)
            } catch {
                notWatched(error)
            }
            if let bytes = Self.read(path) { return (path, bytes) }
        }
        return nil
    }

    private static func read(_ path: String) -> [UInt8]? {
        guard let number = try? systemCall("open", { unsafe open(path, O_RDONLY | O_CLOEXEC) })
        else { return nil }
        let file = Descriptor(owning: number)
        var bytes: [UInt8] = []
        while bytes.count < sizeLimit {
            let chunk = unsafe [UInt8](unsafeUninitializedCapacity: 16_384) { buffer, count in
                count = max(0, unsafe Glibc.read(file.number, buffer.baseAddress, 16_384))
            }
            if chunk.isEmpty { break }
            bytes += chunk
        }
        return bytes.isEmpty ? nil : bytes
    }
}

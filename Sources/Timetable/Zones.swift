internal import Glibc
internal import Reactor
internal import Scheduling

/// The zone rules of this host, read from its zoneinfo once for each name.
@LoopActor
final class Zones {
    private static let folders = ["/usr/share/zoneinfo/", "/usr/lib/zoneinfo/"]
    /// No zone file is near this size; it bounds what a broken link can cost.
    private static let sizeLimit = 1 << 20

    private var cache: [String: ZoneRules] = [:]

    /// Why a zone can't be used, as a sentence.
    struct Failure: Error {
        let message: String
    }

    /// The rules of a zone such as `Europe/Berlin`.
    func rules(_ name: String) throws(Failure) -> ZoneRules {
        if let known = cache[name] { return known }
        if name == "UTC" || name == "Etc/UTC" { return .utc }
        guard !name.isEmpty, !name.hasPrefix("/"), !name.split(separator: "/").contains("..")
        else { throw Failure(message: "'\(name)' is no time zone") }
        for folder in Self.folders {
            guard let bytes = Self.read(folder + name) else { continue }
            do throws(ZoneFileError) {
                let rules = try ZoneRules(name: name, tzif: bytes)
                cache[name] = rules
                return rules
            } catch {
                throw Failure(message: "the zone file \(folder + name) can't be read: \(error)")
            }
        }
        throw Failure(
            message: "this host has no time zone '\(name)'; install the package tzdata")
    }

    /// Forgets all rules, so that changed files are read again.
    func forgetAll() {
        cache.removeAll()
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

internal import Glibc
internal import Reactor

/// One process at one moment: proc_pid_stat(5).
struct ProcessRecord: Sendable, Equatable {
    /// A process for good: its number may be another's later, but not with the same start.
    struct Identity: Sendable, Hashable {
        let pid: Int32
        /// In clock ticks since the system's start.
        let start: UInt64
    }

    let identity: Identity
    let parent: Int32
    let group: Int32
    /// It has ended, and its parent has not waited for it yet.
    let isZombie: Bool

    var pid: Int32 { identity.pid }

    init(pid: Int32, parent: Int32, group: Int32, start: UInt64, isZombie: Bool = false) {
        identity = Identity(pid: pid, start: start)
        self.parent = parent
        self.group = group
        self.isZombie = isZombie
    }

    /// From `PID (NAME) STATE PPID PGRP …`, where NAME may hold blanks and parentheses.
    init?(stat bytes: some BidirectionalCollection<UInt8>) {
        guard let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
        let pid = bytes.prefix { $0 != UInt8(ascii: " ") }
        let rest = bytes[bytes.index(after: end)...].split(separator: UInt8(ascii: " "))
        func number<Number: FixedWidthInteger>(_ bytes: some Collection<UInt8>) -> Number? {
            Number(String(decoding: bytes, as: UTF8.self))
        }
        guard rest.count >= 20, let pid: Int32 = number(pid), let parent: Int32 = number(rest[1]),
            let group: Int32 = number(rest[2]), let start: UInt64 = number(rest[19])
        else { return nil }
        let state = rest[0].first
        self.init(
            pid: pid, parent: parent, group: group, start: start,
            isZombie: state == UInt8(ascii: "Z") || state == UInt8(ascii: "X"))
    }

    /// Nil when there is no such process.
    static func read(_ pid: Int32) -> ProcessRecord? {
        contents(of: "/proc/\(pid)/stat", limit: 1_024).flatMap(ProcessRecord.init(stat:))
    }

    /// All that we may see. A walk takes a moment: what begins or ends meanwhile may be missing.
    static func all() -> [ProcessRecord] {
        entries(of: "/proc").compactMap { Int32($0) }.compactMap(read)
    }

    /// Whether its environment, as it was when it began, holds `entry` (`NAME=value`), or it holds
    /// one of the pipes by these numbers. False for processes that we may not look into.
    static func isMarked(_ pid: Int32, by entry: String?, orHolds pipes: Set<UInt64>) -> Bool {
        if let entry, let environment = contents(of: "/proc/\(pid)/environ", limit: 1_048_576) {
            let wanted = Array(entry.utf8)
            if environment.split(separator: 0).contains(where: { $0.elementsEqual(wanted) }) {
                return true
            }
        }
        let names = Set(pipes.map { "pipe:[\($0)]" })
        return entries(of: "/proc/\(pid)/fd").contains { descriptor in
            var target = [CChar](repeating: 0, count: 64)
            let path = "/proc/\(pid)/fd/\(descriptor)"
            let count = unsafe readlink(path, &target, target.count)
            guard count > 0 else { return false }
            let bytes = target.prefix(count).map { UInt8(bitPattern: $0) }
            return names.contains(String(decoding: bytes, as: UTF8.self))
        }
    }

    private static func contents(of path: String, limit: Int) -> [UInt8]? {
        let number = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else { return nil }
        let file = Descriptor(owning: number)
        var bytes: [UInt8] = []
        while bytes.count < limit {
            let chunk = unsafe [UInt8](unsafeUninitializedCapacity: 4_096) { buffer, count in
                count = max(0, unsafe Glibc.read(file.number, buffer.baseAddress, buffer.count))
            }
            if chunk.isEmpty { break }
            bytes += chunk
        }
        return bytes
    }

    private static func entries(of path: String) -> [String] {
        guard let stream = unsafe opendir(path) else { return [] }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) {
                    unsafe String(cString: $0)
                }
            }
            if name.utf8.first.map({ (48...57).contains($0) }) == true { names.append(name) }
        }
        return names
    }
}

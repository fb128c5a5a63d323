import Glibc

/// What a process has used so far, from proc(5).
struct ProcessUsage {
    /// On any core, in nanoseconds.
    let cpuNanoseconds: Int64
    /// How often it stopped to wait: a busy loop shows here.
    let waits: Int64
    /// Resident memory now, and at most so far, in KiB.
    let residentKiB: Int64
    let peakKiB: Int64

    init(of pid: Int32) throws {
        var (cpu, waits) = (Int64(0), Int64(0))
        for thread in try Self.threads(of: pid) {
            // schedstat counts nanoseconds, where stat counts ticks of 10 ms.
            let times = try Self.text("/proc/\(pid)/task/\(thread)/schedstat").split(separator: " ")
            cpu += times.first.flatMap { Int64($0) } ?? 0
            waits += try Self.field(
                "voluntary_ctxt_switches", "/proc/\(pid)/task/\(thread)/status")
        }
        cpuNanoseconds = cpu
        self.waits = waits
        residentKiB = try Self.field("VmRSS", "/proc/\(pid)/status")
        peakKiB = try Self.field("VmHWM", "/proc/\(pid)/status")
    }

    var residentText: String { "\(decimal(Double(residentKiB) / 1_024, digits: 1)) MB" }
    var peakText: String { "\(decimal(Double(peakKiB) / 1_024, digits: 1)) MB" }

    private static func threads(of pid: Int32) throws -> [String] {
        guard let folder = unsafe opendir("/proc/\(pid)/task") else {
            throw BenchFailure("process \(pid) is gone")
        }
        defer { unsafe closedir(folder) }
        var names: [String] = []
        while let entry = unsafe readdir(folder) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) {
                    unsafe String(cString: $0)
                }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }

    /// The number after `name:`.
    private static func field(_ name: String, _ path: String) throws -> Int64 {
        for line in try text(path).split(separator: "\n") where line.hasPrefix("\(name):") {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            if words.count > 1, let number = Int64(words[1]) { return number }
        }
        throw BenchFailure("\(path) has no \(name)")
    }

    private static func text(_ path: String) throws -> String {
        String(decoding: try contents(of: path), as: UTF8.self)
    }

    /// The bytes of a file.
    static func contents(of path: String) throws -> [UInt8] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw BenchFailure("\(path) can't be read") }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe read(descriptor, &chunk, chunk.count)
            guard count > 0 else { return bytes }
            bytes += chunk[..<count]
        }
    }
}

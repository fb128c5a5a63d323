import Foundation
import TestSupport

/// What a process holds now, from proc(5).
struct ProcessFigures {
    let residentKiB: Int
    let peakKiB: Int
    let descriptors: Int
    let threads: Int

    init(of daemon: DaemonProcess) throws {
        let status = try String(contentsOfFile: "/proc/\(daemon.pid)/status", encoding: .utf8)
        func field(_ name: String) throws -> Int {
            for line in status.split(separator: "\n") where line.hasPrefix("\(name):") {
                let words = line.split(whereSeparator: \.isWhitespace)
                if words.count > 1, let number = Int(words[1]) { return number }
            }
            throw NotReached("process \(daemon.pid) has no \(name)")
        }
        residentKiB = try field("VmRSS")
        peakKiB = try field("VmHWM")
        threads = try field("Threads")
        descriptors = try FileManager.default.contentsOfDirectory(
            atPath: "/proc/\(daemon.pid)/fd"
        ).count
    }
}

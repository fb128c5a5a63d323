import Foundation

/// What proc_pid_status(5) says about a process.
struct ProcessStatus {
    let parent: Int32
    /// `Z` is a zombie.
    let state: Character

    /// Nil when there is no such process.
    static func read(_ pid: Int32) -> ProcessStatus? {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8) else {
            return nil
        }
        func field(_ name: String) -> Substring? {
            text.split(separator: "\n").first { $0.hasPrefix(name) }?
                .dropFirst(name.count).drop { $0 == "\t" }
        }
        guard let parent = field("PPid:").flatMap({ Int32($0) }),
            let state = field("State:")?.first
        else { return nil }
        return ProcessStatus(parent: parent, state: state)
    }

    /// The children of a process, zombies too.
    static func children(of pid: Int32) -> [ProcessStatus] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { Int32($0) }.compactMap(read).filter { $0.parent == pid }
    }
}

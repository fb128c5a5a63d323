import Foundation
import TestSupport
import Testing

/// How far the faults go: in the short form of `make test`, or in the long one of `make soak`.
enum FaultForm {
    /// How long the soak lasts; nil is the short form.
    static let soakMinutes = ProcessInfo.processInfo.environment["CARILLON_SOAK_MINUTES"].flatMap {
        Double($0)
    }

    static let isLong = soakMinutes != nil

    /// The short form's value, or the long one's.
    static func either<Value>(_ short: Value, _ long: Value) -> Value { isLong ? long : short }

    /// Whether this process may make namespaces of its own, for networks and file systems.
    static let mayUnshare: Bool = {
        let result = try? runProgram("unshare", ["--net", "--mount", "ip", "link"])
        return result?.end == .exited(0)
    }()

    static let needsNamespaces: Comment =
        "needs root, or the right to make network and mount namespaces, and ip(8)"

    /// What runs a command by a script, which ends by running its arguments in place of itself.
    ///
    /// By sh(1): a new file can't be executed while a program that is being started holds it open.
    static func wrapper(_ folder: String, _ commands: String) throws -> String {
        let path = "\(folder)/wrapper"
        try Data("set -e\n\(commands)\n".utf8).write(to: URL(fileURLWithPath: path))
        return "sh \(path)"
    }
}

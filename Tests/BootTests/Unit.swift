import Foundation
import TestSupport

/// A unit of Carillon on the machine, from a fresh database on, and what the journal has of it.
struct Unit: Sendable {
    let machine: Machine
    let name: String
    /// Where the journal was before.
    private let cursor: String

    /// Stops all units, and gives one settings and an empty database; it is not started.
    static func fresh(
        _ name: String = "carillon.service", settings: String = "", dropIn: String? = nil
    ) async throws -> Unit {
        let machine = try await Machine.booted
        _ = try await machine.attempt(
            ["systemctl", "stop", "carillon.service", "carillon@*.service"])
        _ = try await machine.attempt(["systemctl", "reset-failed"])
        if try await !machine.hasPackage { try await machine.installPackage() }
        try await machine.systemctl("start", "postgresql")
        try await machine.run(
            "sh", "-c",
            """
            rm -rf /etc/systemd/system/carillon* /etc/carillon /var/lib/carillon
            mkdir /etc/carillon
            """)
        try await machine.psql("DROP DATABASE IF EXISTS timetable", in: "postgres")
        try await machine.psql("CREATE DATABASE timetable OWNER scheduler", in: "postgres")
        let unit = Unit(machine: machine, name: name, cursor: try await machine.cursor())
        try await unit.configure(settings)
        if let dropIn { try await machine.dropIn(dropIn, for: name) }
        try await machine.systemctl("daemon-reload")
        return unit
    }

    /// The same, started.
    static func started(settings: String = "", dropIn: String? = nil) async throws -> Unit {
        let unit = try await fresh(settings: settings, dropIn: dropIn)
        try await unit.start()
        return unit
    }

    private init(machine: Machine, name: String, cursor: String) {
        (self.machine, self.name, self.cursor) = (machine, name, cursor)
    }

    /// Another instance beside this one.
    func beside(_ name: String, settings: String) async throws -> Unit {
        let unit = Unit(machine: machine, name: name, cursor: cursor)
        try await unit.configure(settings)
        return unit
    }

    /// `carillon` for carillon.service, `a` for carillon@a.service.
    private var instance: String {
        let stem = name.prefix { $0 != "." }
        return String(stem.split(separator: "@").last ?? stem)
    }

    /// Writes its settings and its password file.
    func configure(_ settings: String) async throws {
        try await machine.write(settings, to: "/etc/carillon/\(instance).conf")
        let passwords = instance == "carillon" ? "pgpass" : "\(instance).pgpass"
        try await machine.write(
            "localhost:5432:*:scheduler:somestrong\n", to: "/etc/carillon/\(passwords)",
            mode: "600")
    }

    // MARK: Its states

    func start() async throws { try await machine.systemctl("start", name) }
    func stop() async throws { try await machine.systemctl("stop", name) }

    func property(_ property: String) async throws -> String {
        try await machine.run("systemctl", "show", "-P", property, name)
    }

    func process() async throws -> String { try await property("MainPID") }

    func send(_ signal: String) async throws {
        try await machine.systemctl("kill", "--kill-whom=main", "--signal=\(signal)", name)
    }

    /// Waits until it is active again as another process, after one restart more.
    func waitForRestart(after process: String) async throws {
        try await eventually("\(name) is restarted") {
            let state = try await machine.run(
                "systemctl", "show", "-P", "ActiveState", "-P", "MainPID", name)
            let lines = state.split(separator: "\n")
            return lines.contains("active") && !lines.contains("\(process)")
        }
    }

    func waitForStatus(_ text: String) async throws {
        var last = ""
        do {
            try await eventually("the status has \(text)") {
                last = try await machine.attempt(["systemctl", "status", "-n0", name]).stdout
                return last.contains(text)
            }
        } catch {
            throw NotReached("\(error)\n\(last)")
        }
    }

    // MARK: Its journal

    /// What it, and the manager of it, has said since `fresh`, a line each.
    func said() async throws -> [String] {
        try await machine.run("journalctl", "--sync")
        return try await machine.run(
            "journalctl", "-o", "cat", "--no-pager", "-u", name, "--cursor", cursor
        ).split(separator: "\n").map(String.init)
    }

    /// Waits for lines with these texts, each after the one before: all of the service or all of
    /// the manager, for what two processes say has no order.
    func waitForLines(_ texts: String...) async throws {
        var missing = ""
        var lines: [String] = []
        do {
            try await eventually("lines in the journal") {
                lines = try await said()
                var rest = lines[...]
                for text in texts {
                    guard let index = rest.firstIndex(where: { $0.contains(text) }) else {
                        missing = text
                        return false
                    }
                    rest = rest[(index + 1)...]
                }
                return true
            }
        } catch {
            let shown = lines.suffix(60).joined(separator: "\n")
            throw NotReached("\(error): \(missing), in this order. It said:\n\(shown)")
        }
    }

    /// Entries of the journal since `fresh` that have all these fields.
    func entries(_ fields: [String]) async throws -> [[String: String]] {
        try await machine.run("journalctl", "--sync")
        let result = try await machine.attempt(
            ["journalctl", "-o", "json", "--no-pager", "--cursor", cursor]
                + ["_SYSTEMD_UNIT=\(name)"] + fields)
        guard result.end == .exited(0) || result.stdout + result.stderr == "" else {
            throw NotReached("journalctl: \(result.stderr)")
        }
        return try result.stdout.split(separator: "\n").map { line in
            let object = try JSONSerialization.jsonObject(with: Foundation.Data(line.utf8))
            return (object as? [String: Any] ?? [:]).compactMapValues { $0 as? String }
        }
    }

    /// A notification of the service, as the manager writes it down.
    static func notification(_ state: String, from process: String) -> String {
        "Got notification message from PID \(process) (\(state)"
    }
}

extension Machine {
    /// Where the journal ends now.
    fileprivate func cursor() async throws -> String {
        try await run("journalctl", "--sync")
        let text = try await run("journalctl", "-n", "1", "-o", "cat", "--show-cursor")
        guard let line = text.split(separator: "\n").last(where: { $0.hasPrefix("-- cursor: ") })
        else { throw NotReached("no cursor in \(text)") }
        return String(line.dropFirst("-- cursor: ".count))
    }
}

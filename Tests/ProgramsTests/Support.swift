import Foundation
import Glibc
import Reactor
import TestSupport

@testable import Programs

/// Runs a program to its end on the test's loop.
@discardableResult
func complete(
    _ program: String, _ arguments: [String] = [], environment: [String] = [],
    limit: Int = 65_536
) async throws -> Completion {
    let invocation = Invocation(
        program: program, arguments: arguments, environment: environment, outputLimit: limit)
    return try await onTestLoop { try await Program.start(invocation).completion() }
}

/// The same for a script of sh(1).
@discardableResult
func completeShell(_ script: String, limit: Int = 65_536) async throws -> Completion {
    try await complete("/bin/sh", ["-c", script], limit: limit)
}

/// A shell that has said that it is ready, so that its traps are set.
@LoopActor
func startReadyShell(
    _ script: String, grace: Duration = .seconds(5)
) async throws -> Program {
    let folder = try makeTemporaryFolder("carillon-programs")
    let program = try Program.start(
        Invocation(program: "/bin/sh", arguments: ["-c", "\(script)", "sh", "\(folder)/ready"]),
        outputGrace: grace)
    try await eventually(within: .seconds(60), "the shell is ready") {
        unsafe access("\(folder)/ready", F_OK) == 0
    }
    try FileManager.default.removeItem(atPath: folder)
    return program
}

/// Whether a process runs; an orphan that has ended may be a zombie until init reaps it.
func isRunning(_ pid: Int32) -> Bool {
    let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
    return stat.map { !$0.contains(") Z ") && !$0.contains(") X ") } ?? false
}

/// Whether a process runs that `pid` was the parent of.
func isRunning(of pid: Int32) -> Bool {
    ProcessRecord.all().contains { $0.parent == pid && !$0.isZombie }
}

func openDescriptors() throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
}

/// In kB: VmRSS of proc(5).
func residentMemory() throws -> Int {
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
    return line?.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) } ?? 0
}

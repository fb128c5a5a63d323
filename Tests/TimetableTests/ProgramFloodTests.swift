import Foundation
import TestSupport
import Testing

/// Programs that write more than anybody wants. CARILLON_FLOOD_MEGABYTES says how much (300).
@Suite(.serialized) struct ProgramFloodTests {
    private static let megabytes =
        ProcessInfo.processInfo.environment["CARILLON_FLOOD_MEGABYTES"].flatMap { Int($0) } ?? 300

    /// Of the daemon, in kB: VmHWM of proc_pid_status(5), its highest so far.
    private func highestMemory(of served: Served) throws -> Int {
        let status = try String(
            contentsOfFile: "/proc/\(served.daemon.pid)/status", encoding: .utf8)
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return try #require(line?.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) })
    }

    @Test(
        .timeLimit(.minutes(10)),
        arguments: [
            // NUL bytes; one line of text; many lines; both outputs.
            #"head -c "$0" /dev/zero"#,
            #"head -c "$0" /dev/zero | tr '\0' x"#,
            #"yes 'a line' | head -c "$0""#,
            #"yes | head -c "$0" | tee /dev/stderr"#,
        ]) func theMemoryStaysFlat(script: String) async throws
    {
        let served = try await Served.fresh("flood", ["--output-limit", "65536"])
        let config = try await served.addConfig("flood", [("SHELL", "/bin/sh")])
        let shell = "echo first; \(script); echo; echo last"
        let bytes = Self.megabytes * 1_000_000
        let before = try highestMemory(of: served)
        let began = ContinuousClock.now
        let request = try await served.psql(
            "SELECT timetable.run(\(config), jsonb_build_array(jsonb_build_array("
                + "'-c', $$\(shell)$$, '\(bytes)')))")
        try await served.waitFor(
            "CHAIN_DONE",
            "SELECT execution_status FROM timetable.run_status WHERE run_request = \(request)",
            within: .seconds(500))
        let took = ContinuousClock.now - began
        let growth = try highestMemory(of: served) - before
        try await served.waitFor("1", "SELECT count(*) FROM timetable.execution_log")
        let kept = try await served.psql(
            """
            SELECT output LIKE E'first\\n%' AND output LIKE E'%\\nlast\\n'
                AND output LIKE E'%… % bytes left out …%' AND octet_length(output) < 200000
            FROM timetable.execution_log
            """)
        #expect(kept == "t")
        #expect(growth < 10_000, "\(growth) kB more")
        if ProcessInfo.processInfo.environment["CARILLON_FLOOD_MEGABYTES"] != nil {
            print("\(script): \(before) kB and \(growth) kB more, in \(took)")
        }
    }

    @Test func bytesThatAreNoTextAreStored() async throws {
        let served = try await Served.fresh("flood")
        let config = try await served.addConfig("bytes", [("SHELL", "printf")])
        #expect(
            try await served.run(config, #"'[["a\\0b\\377c\\303"]]'"#) == "CHAIN_DONE||")
        try await served.waitFor(
            "a\u{FFFD}b\u{FFFD}c\u{FFFD}", "SELECT output FROM timetable.execution_log")
    }
}

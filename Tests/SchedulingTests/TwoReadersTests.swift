import Foundation
import Scheduling
import Testing

/// The schedule syntax has two readers, Swift and SQL: one syntax, so one verdict.
@Suite struct TwoReadersTests {
    /// Every vector, every text of the tables below, and the fuzz corpus.
    static func corpus() throws -> [String] {
        var texts = try VectorTests.rules().map { $0.expression }
        texts += try Vectors.rows("cron.tsv").map { $0[0] }
        texts += corners
        let seconds = ProcessInfo.processInfo.environment["CARILLON_FUZZ_SECONDS"].flatMap(
            Double.init)
        let seed =
            ProcessInfo.processInfo.environment["CARILLON_FUZZ_SEED"].flatMap(UInt64.init) ?? 1
        var fuzz = FuzzCorpus(seed: seed)
        // About 2,000 texts a second go through both.
        texts += (0..<Int(5000 + (seconds ?? 0) * 2000)).map { _ in fuzz.text() }
        // A PostgreSQL text has no NUL.
        return Array(Set(texts.filter { !$0.unicodeScalars.contains("\0") })).sorted()
    }

    /// Where readers are likely to part.
    static let corners = [
        "", " ", "\n", "@", "@ every 5m", "@every5m", "@daily\n", "@at  2027-01-31\t09:00  Z",
        "0 0 30 2 *", "0 0 30 2 +1", "0 0 29 2 *", "0 0 31 4,6 *", "0 0 31 4,6 1", "0 0 30 4 *",
        "0 0 L-28 2 *", "0 0 L-29 2 *", "0 0 L-30 2 *", "0 0 30W 2 *", "0 0 29W 2 *", "0 0 LW 2 *",
        "0 0 H 2 *", "0 0 H(29-31) 2 *", "0 0 H(28-31)/2 2 *", "0 0 H(30-1) 2 *",
        "0 0 H(30-2)/2 2 *",
        "0 0 31 H *", "0 0 31 H(7-8) *", "0 0 31 H(2-4)/2 *", "0 0 31 H/2 *", "0 0 30 H *",
        "0 0 31 H(2-12)/11 *", "0 0 31,H 2 *", "0 0 31 2,H *", "0 0 30-1 2 *", "0 0 30-31/2 2 *",
        "0 0 31/5 2 *", "0 0 30-30/2 2 *", "0 0 31 april-june *", "0 0 31 april-july *",
        "0 0 31 apr,jun,sep,nov *", "0 0 31 march *", "0 0 30 feb *", "0 0 31 jun-jun *",
        "0 0 31 11-2/3 *", "0 0 31 6/5 *", "0 0 31 9-9/2 *", "0 0 31 11-11/9 *",
        "0 0 1-7 * +MON#1", "0 0 1-7 * +MON#2", "0 0 8-14 * +2#2,3#1", "0 0 15W * +0",
        "0 0 15W * +6",
        "0 0 15W * +0-5", "0 0 LW * */7", "0 0 LW * +5", "0 0 L * +5L", "0 0 L * +5#4",
        "0 0 L 2 +5#4",
        "0 0 L 4 +5#4", "0 0 L-6 * +5L", "0 0 L-7 * +5L", "0 0 1W * +sun", "0 0 31W 1 +sat",
        "0 0 29 2 +MON#5", "0 0 28 2 +MON#5", "0 0 1-31 * +MON#5", "0 0 */31 * MON#2",
        "0 0 */2 2 SUN#5",
        "0 0 2-31,H * +MON#1", "0 0 H * +MON#1", "0 0 H * +MON", "0 0 * * H,5#1", "0 0 1 * +H,5#1",
        "0 0 15W H +5", "0 0 */2 H 5L", "0 0 15W * +0-6", "0 0 15W * +H(0-6)", "0 0 15W * +0-5,6",
        "0 0 1 * 5,+6", "0 0 1 * +", "0 0 1 * ++1", "0 0 1 * +*", "+5 0 1 * *", "0 0 * * L",
        "0 0 * * 7L", "0 0 * * 8L", "0 0 * * fridayl", "0 0 * * fril", "0 0 * * frl", "0 0 * * 7#5",
        "0 0 * * 07", "0 0 * * 0007", "0 0 * * 00007", "0059 0 * * *", "00059 0 * * *",
        "059 023 031 012 *",
        "*/0001 * * * *", "*/00001 * * * *", "*/0000 * * * *", "*/9999 * * * *", "*/10000 * * * *",
        "H() * * * *", "H(1) * * * *", "H(1-) * * * *", "H(1-5 * * * *", "H(1-60) * * * *",
        "H5 * * * *",
        "H(*) * * * *", "H-5 * * * *", "H/0 * * * *", "H(5-5)/3 * * * *", "0 0 H(LW) * *",
        "0 0 H(1-L) * *",
        "0 0 * H(jan-3) H(fri-mon)/2", "5L * * * *", "0 0 lw-1 * *", "0 0 L/2 * *", "0 0 5w/2 * *",
        "0 0 1-5w * *", "0 0 w * *", "0 0 wl * *", "0 0 0w * *", "0 0 32w * *", "0 0 * july *",
        "0 0 * sept *", "0 0 * mayy *", "0 0 * may5 *", "0 0 * 5may *", "0 0 * JAN-feb/2 SuN-tHu",
        "* * * * * *", "* * * * * * *", "0 0 1 1 * 2025", "0 12 * * 1 30", "* * * * *;",
        "\u{A0}* * * * *",
        "*\u{0B}* * * *", "\r0 0 * * *\r\n", "ＯＯ * * * *", "٣ * * * *", "0 0 * * ſun",
        "0 0 * * \u{212A}",
        "@every 99ms", "@every 100ms", "@every 0.1s", "@every 0.099999s", "@every 0.1000001s",
        "@every 99999us", "@every 100000us", "@every 36525d", "@every 36525d 1us", "@every 876600h",
        "@every 999999999w", "@every 1000000000us", "@every 1s1", "@every 1 m s", "@every 1ms5us",
        "@every 1mins",
        "@every '5m'", "@every '5m", "@every 5m'", "@every ''", "@every ' 5 m '",
        "@every ' 5 m '  ",
        "@every -5m", "@every 5.m", "@every .5m", "@every 1,5h", "@every 1h-5m", "@every 5 m 3 s '",
        "@every 1month",
        "@after 5m", "@after", "@every\u{0B}5m", "@every 100µs", "@EVERY 1H30M", "@every\t\n1h",
        "@at 0000-01-01 00:00", "@at 2000-02-29 00:00", "@at 1900-02-29 00:00", "@at 2027-1-1T0:00",
        "@at 2027-01-31T 09:00", "@at 2027-01-31t09:00z", "@at 2027-01-31 09:00 +1",
        "@at 2027-01-31 09:00+001",
        "@at 2027-01-31 09:00+1:30", "@at 2027-01-31 09:00+1600", "@at 2027-01-31 09:00-15:59",
        "@at 2027-01-31 09:00:00.", "@at 2027-01-31 09:00:60", "@at 2027-01-31 09:00Z0", "@at now",
        "@at 02027-01-31 09:00", "@at 2027-001-31 09:00", "@at 2027-01-31 09:00+",
        "@at 2027-01-31 009:00",
        String(repeating: " ", count: 1015) + "* * * * *",
        String(repeating: " ", count: 1016) + "* * * * *",
        String(repeating: "é", count: 600), String(repeating: "1,", count: 507) + "1 * * * *",
    ]

    /// A line of COPY's text format.
    static func copyLine(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\t", with: "\\t")
            .unicodeScalars.map { $0 == "\n" ? "\\n" : $0 == "\r" ? "\\r" : String($0) }.joined()
    }

    @Test func verdictsAreEqual() throws {
        let texts = try Self.corpus()
        let reasons = try ScheduleErrors.ask(texts)
        try #require(reasons.count == texts.count)
        var accepted = 0
        for (text, reason) in zip(texts, reasons) {
            let shown = text.debugDescription
            do {
                _ = try Schedule(parsing: text, hashSeed: 5)
                accepted += 1
                #expect(reason == nil, "SQL alone refuses \(shown)")
            } catch {
                #expect(reason != nil, "Swift alone refuses \(shown): \(error)")
                if let field = error.field, let reason {
                    #expect(reason.hasPrefix(field), "\(shown): \(error), but SQL: \(reason)")
                }
            }
        }
        print("two readers: \(texts.count) texts, \(accepted) of them good")
        #expect(accepted > texts.count / 4 && accepted < texts.count * 3 / 4)
    }
}

/// A private cluster for one question; until the shared test support has one.
private enum ScheduleErrors {
    struct Failed: Error {
        let output: String
    }

    /// What `timetable.schedule_error` says to each text.
    static func ask(_ texts: [String]) throws -> [String?] {
        let folder = "/tmp/carillon-readers-\(ProcessInfo.processInfo.processIdentifier)"
        let programs = try #require(
            try FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql").sorted().last
        )
        let bin = "/usr/lib/postgresql/\(programs)/bin"
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o777])
        defer { try? FileManager.default.removeItem(atPath: folder) }
        // PostgreSQL refuses to run as root.
        let user = NSUserName() == "root" ? ["runuser", "-u", "postgres", "--"] : []
        try run(
            user + [
                "\(bin)/initdb", "-N", "-A", "trust", "-U", "postgres", "-E", "UTF8",
                "--locale=C.UTF-8", "\(folder)/data",
            ])
        try run(
            user + [
                "\(bin)/pg_ctl", "-w", "-D", "\(folder)/data", "-l", "\(folder)/log", "-o",
                "-c listen_addresses='' -c unix_socket_directories=\(folder) -c fsync=off", "start",
            ])
        defer {
            _ = try? run(
                user + ["\(bin)/pg_ctl", "-m", "immediate", "-D", "\(folder)/data", "stop"])
        }
        let source = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../sql/30_schedule.sql").standardized.path
        let lines = texts.map(TwoReadersTests.copyLine).joined(separator: "\n")
        let script = """
            SET client_min_messages = warning; CREATE SCHEMA timetable;
            \\i \(source)
            CREATE TEMPORARY TABLE texts (n serial, text text);
            COPY texts (text) FROM STDIN;
            \(lines)
            \\.
            SELECT CASE WHEN reason IS NULL THEN '+'
                ELSE '-' || regexp_replace(reason, '[[:cntrl:]]', '?', 'g') END
            FROM texts, timetable.schedule_error(text) AS reason ORDER BY n;
            """
        try script.write(toFile: "\(folder)/script.sql", atomically: false, encoding: .utf8)
        let output = try run([
            "\(bin)/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", folder, "-U",
            "postgres", "-f", "\(folder)/script.sql", "postgres",
        ])
        return output.split(separator: "\n").map { $0 == "+" ? nil : String($0.dropFirst()) }
    }

    @discardableResult private static func run(_ command: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/bash")
        // Foundation waits until its own descriptor in the child is closed: the server that pg_ctl
        // leaves behind would keep that open.
        let closing =
            "for fd in /proc/self/fd/*; do n=${fd##*/}; "
            + "[ $n -gt 2 ] && eval \"exec $n>&-\"; done; exec \"$@\""
        process.arguments = ["-c", closing, "bash"] + command
        process.environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"]
        process.standardInput = FileHandle.nullDevice
        // A file and not a pipe: the server that pg_ctl starts would keep a pipe open.
        let path = "/tmp/carillon-readers-output-\(ProcessInfo.processInfo.processIdentifier)"
        _ = FileManager.default.createFile(atPath: path, contents: nil)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let file = try FileHandle(forWritingTo: URL(filePath: path))
        process.standardOutput = file
        process.standardError = file
        try process.run()
        process.waitUntilExit()
        let output = try String(contentsOfFile: path, encoding: .utf8)
        guard process.terminationStatus == 0 else { throw Failed(output: output) }
        return output
    }
}

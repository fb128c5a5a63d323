import Foundation
import TestSupport
import Testing

/// Cancels and time limits of what waits for others: servers, files, programs, locks, sessions.
struct CancelKindsTests {
    struct Kind: CustomTestStringConvertible, Sendable {
        let builtIn: String
        /// `%` is the port of the server, `^` its root as a URL, `@` the folder.
        let parameter: String
        var server: (name: String, arguments: [String])?
        /// By what we know that it is under way: a line of the server, or a row of this query.
        let begun: String

        var testDescription: String { "\(builtIn) \(parameter)" }
    }

    private static let copying =
        "SELECT 1 FROM pg_stat_progress_copy WHERE datname = current_database()"
    private static let mail =
        #"{"ServerHost": "127.0.0.1", "ServerPort": %, "SenderAddr": "a@b", "ToAddr": ["c@d"]}"#

    static let kinds = [
        Kind(
            builtIn: "Download",
            parameter: #"{"fileurls": ["^silent/a"], "destpath": "@"}"#,
            server: ("web", []), begun: "silent/a"),
        Kind(
            builtIn: "Download",
            parameter: """
                {"fileurls": ["^flood/a", "^silent/b"],
                 "destpath": "@", "workersnum": 2}
                """,
            server: ("web", []), begun: "silent/b"),
        Kind(
            builtIn: "SendMail", parameter: mail, server: ("mail", ["silent"]), begun: "CONNECTED"),
        Kind(builtIn: "SendMail", parameter: mail, server: ("mail", ["stuck"]), begun: "STUCK"),
        Kind(
            builtIn: "CopyFromProgram",
            parameter: #"{"sql": "COPY t FROM STDIN", "cmd": "sleep", "args": ["600"]}"#,
            begun: copying),
        Kind(
            builtIn: "CopyFromProgram",
            parameter: #"{"sql": "COPY t FROM STDIN WHERE false", "cmd": "yes", "args": ["1"]}"#,
            begun: copying + " AND tuples_excluded > 0"),
        Kind(
            builtIn: "CopyToProgram",
            parameter: """
                {"sql": "COPY (SELECT generate_series(1, 100000000)) TO STDOUT", "cmd": "sleep",
                 "args": ["600"]}
                """, begun: copying),
        Kind(
            builtIn: "CopyToProgram",
            parameter: """
                {"sql": "COPY (SELECT generate_series(1, 1000000000)) TO STDOUT", "cmd": "sh",
                 "args": ["-c", "trap '' TERM; cat >/dev/null & wait; sleep 600"]}
                """, begun: copying),
        Kind(
            builtIn: "CopyToFile",
            parameter: """
                {"sql": "COPY (SELECT pg_sleep(0.001) FROM generate_series(1, 1000000)) TO STDOUT",
                 "filename": "@/out"}
                """, begun: copying),
        Kind(
            builtIn: "CopyFromFile",
            parameter: #"{"sql": "COPY slow FROM STDIN", "filename": "@/in"}"#, begun: copying),
    ]

    private static let files = ["in"]

    /// Begins a run of one built-in that does not end by itself.
    private static func begin(
        _ kind: Kind, _ folder: String, timeout: String
    ) async throws -> (Served, TestServer?, String) {
        let served = try await Served.fresh("kinds")
        var server: TestServer?
        if let (name, arguments) = kind.server { server = try await TestServer(name, arguments) }
        try Data("1\n2\n".utf8).write(to: URL(filePath: "\(folder)/in"))
        try await served.psql(
            """
            CREATE TABLE t (x text); CREATE TABLE slow (x text);
            CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN PERFORM pg_sleep(600); RETURN NEW; END';
            CREATE TRIGGER wait BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION wait();
            """)
        let config = try await served.addConfig(
            "kind", [("SQL", "INSERT INTO t VALUES ('before')"), ("BUILTIN", kind.builtIn)])
        let parameter = kind.parameter
            .replacing("^", with: "http://127.0.0.1:%/").replacing(
                "%", with: "\(server?.port ?? 0)"
            )
            .replacing("@/", with: folder + "/").replacing("\"@\"", with: "\"\(folder)\"")
        try await served.psql(
            "UPDATE timetable.task_chain SET timeout = \(timeout) WHERE chain_id = 2")
        let request = try await served.psql(
            "SELECT timetable.run(\(config), jsonb_build_object('2', $p$[\(parameter)]$p$::jsonb))")
        if let server {
            try await server.process.waitForLine(containing: kind.begun)
        } else {
            try await served.waitFor("1", kind.begun)
        }
        return (served, server, request)
    }

    /// Nothing of it is left: neither work, nor a child, nor a file.
    private static func expectNothingLeft(_ served: Served, _ folder: String) async throws {
        try await eventually(within: .seconds(3), "no child is left") {
            ProcessStatus.children(of: served.daemon.pid).isEmpty
        }
        #expect(try await served.psql("SELECT count(*) FROM t") == "0")
        try await served.waitFor(
            "0",
            """
            SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND pid <> pg_backend_pid() AND (state <> 'idle' OR wait_event = 'PgSleep')
                AND backend_type = 'client backend'
            """, within: .seconds(5))
        let names = try FileManager.default.contentsOfDirectory(atPath: folder)
        // A download that was begun may be gone on with.
        #expect(names.filter { !$0.hasSuffix(".part") } == files)
    }

    @Test(arguments: kinds) func aCancelEndsItInASecond(kind: Kind) async throws {
        let folder = try makeTemporaryFolder("carillon-kinds")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (served, server, request) = try await Self.begin(kind, folder, timeout: "NULL")
        #expect(try await served.psql("SELECT timetable.cancel(1, 'enough')") == "t")
        let end = try await served.end(ofRequest: request)
        #expect(end.hasPrefix("CANCELLED|enough"), "\(end)")
        #expect(
            try await served.psql(
                """
                SELECT reason, finished - cancel_requested_at < interval '1 s',
                    finished - cancel_requested_at FROM timetable.run_status
                """
            ).hasPrefix("enough|t|"))
        try await Self.expectNothingLeft(served, folder)
        withExtendedLifetime(server) {}
    }

    @Test(arguments: kinds) func aTimeLimitEndsIt(kind: Kind) async throws {
        let folder = try makeTemporaryFolder("carillon-kinds")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (served, server, request) = try await Self.begin(kind, folder, timeout: "'0.7 s'")
        let end = try await served.end(ofRequest: request)
        #expect(end.hasPrefix("TIMED_OUT|timed out after 0.7 s"), "\(end)")
        try await Self.expectNothingLeft(served, folder)
        withExtendedLifetime(server) {}
    }

    /// What a run waits for before its task has begun.
    @Test(arguments: ["lock", "session", "elsewhere"])
    func aRunThatOnlyWaitsCanBeCancelled(what: String) async throws {
        let served = try await Served.fresh("kinds", ["--sql-connections", "1"])
        try await served.psql("CREATE TABLE t (x text)")
        let holder = try await served.addConfig(
            "holder", [("SQL", "LOCK TABLE t; SELECT pg_sleep(600)")])
        let waiter = try await served.addConfig(
            "waiter", [("SQL", "INSERT INTO t VALUES ('x')")])
        let string = "\(served.database.connectionString) application_name=elsewhere"
        if what != "session" {
            try await served.psql(
                """
                INSERT INTO timetable.database_connection (connect_string) VALUES ('\(string)');
                UPDATE timetable.task_chain SET database_connection = 1
                WHERE chain_id = \(what == "lock" ? 2 : 1)
                """)
        }
        try await served.psql("SELECT timetable.run(\(holder))")
        try await served.waitFor(
            "1",
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE wait_event = 'PgSleep' AND datname = current_database()
            """)
        let request = try await served.psql("SELECT timetable.run(\(waiter))")
        try await served.waitFor(
            "STARTED",
            "SELECT execution_status FROM timetable.run_status WHERE run_request = \(request)")
        try await served.psql(
            """
            SELECT timetable.cancel(run_status, 'enough') FROM timetable.run_status
            WHERE run_request = \(request)
            """)
        #expect(try await served.end(ofRequest: request).hasPrefix("CANCELLED|enough"))
        #expect(
            try await served.psql(
                """
                SELECT finished - cancel_requested_at < interval '1 s' FROM timetable.run_status
                WHERE run_request = \(request)
                """) == "t")
    }

    /// Servers that accept and say nothing hold up no fire.
    @Test func silentServersDelayNoFire() async throws {
        let served = try await Served.fresh("kinds", ["--drain-timeout", "0"])
        let (mail, web) = (
            try await TestServer("mail", ["silent"]), try await TestServer("web")
        )
        let folder = try makeTemporaryFolder("carillon-kinds")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let sending = try await served.addConfig("sending", [("BUILTIN", "SendMail")])
        let fetching = try await served.addConfig("fetching", [("BUILTIN", "Download")])
        let letter = Self.mail.replacing("%", with: "\(mail.port)")
        let file =
            "{\"fileurls\": [\"http://127.0.0.1:\(web.port)/silent/a\"], \"destpath\": \"\(folder)\"}"
        try await served.psql(
            """
            SELECT timetable.run(\(sending), '[\(letter)]') FROM generate_series(1, 10);
            SELECT timetable.run(\(fetching), '[\(file)]');
            """)
        try await eventually("all wait") {
            mail.process.lines.filter { $0.text.contains("CONNECTED") }.count == 10
        }
        let config = try await served.addConfig(
            "ticking", [("SQL", "SELECT 1")], columns: "schedule", values: "'@every 100ms'")
        let ticks = "FROM timetable.run_status WHERE chain_execution_config = \(config)"
        try await served.waitFor("t", "SELECT count(*) >= 30 \(ticks)")
        // Far from what the servers take; the machine may be busy too.
        #expect(
            try await served.psql(
                """
                SELECT count(*) FILTER (WHERE execution_status NOT IN ('CHAIN_DONE', 'STARTED')),
                    percentile_cont(0.5) WITHIN GROUP (ORDER BY started - scheduled_for) < '50 ms',
                    max(started - scheduled_for) < '1 s' \(ticks)
                """) == "0|t|t")
    }
}

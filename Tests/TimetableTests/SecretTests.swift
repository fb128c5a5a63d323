import TestSupport
import Testing

/// A secret is there as long as its run needs it, and in no record afterwards.
struct SecretTests {
    private static let everywhere = """
        SELECT (SELECT count(*) FROM timetable.run_status t WHERE t::text LIKE '%s3cret-pass%'),
            (SELECT count(*) FROM timetable.run_request t WHERE t::text LIKE '%s3cret-pass%'),
            (SELECT count(*) FROM timetable.execution_log t WHERE t::text LIKE '%s3cret-pass%'),
            (SELECT count(*) FROM timetable.log t WHERE t::text LIKE '%s3cret-pass%')
        """

    private static let mail =
        #"{"Password": "s3cret-pass", "ServerHost": "127.0.0.1", "#
        + #""SenderAddr": "a@example.com", "ToAddr": ["b@example.com"]}"#

    /// The server accepts the right password only, and twice: a retry still knows it.
    @Test func aRetryKnowsThePasswordAndTheRecordDoesNot() async throws {
        let certificate = try TestCertificate.shared()
        let server = try await TestServer(
            "mail", ["login", certificate.certificate, certificate.key])
        let served = try await Served.on(
            PrivateCluster.database("secret"),
            environment: ["SSL_CERT_FILE": certificate.certificate])
        try await served.psql("CREATE SEQUENCE tries")
        let config = try await served.addConfig(
            "mail", [("BUILTIN", "SendMail"), ("SQL", "SELECT 1 / (nextval('tries') / 2)")],
            columns: "schedule, retries, retry_delay", values: "'@manual', 1, '1 s'")
        let mail =
            Self.mail.replacing("127.0.0.1", with: "localhost").dropLast()
            + #", "Username": "user", "ServerPort": \#(server.port)}"#
        let request = try await served.psql("SELECT timetable.run(\(config), '{\"1\": [\(mail)]}')")
        try await served.waitFor(
            "WAITING", "SELECT execution_status FROM timetable.run_status")
        #expect(try await served.end(ofRequest: request) == "CHAIN_DONE||")
        try await eventually("two mails") { server.lines("MAIL").count == 2 }
        #expect(try await served.psql(Self.everywhere) == "0|0|0|0")
        #expect(
            try await served.psql(
                """
                SELECT parameters -> '1' -> 0 ->> 'Password', parameters -> '1' -> 0 ->> 'Username',
                    (SELECT parameters FROM timetable.run_request WHERE run_request = \(request))
                        = parameters
                FROM timetable.run_status
                """) == "***|user|t")
    }

    /// Each way in which a run can end without having been done.
    @Test func everyOtherEndOfARunLeavesNoneEither() async throws {
        let served = try await Served.fresh("secret")
        let failing = try await served.addConfig(
            "failing", [("BUILTIN", "SendMail"), ("BUILTIN", "Sleep")])
        let parameters = "'{\"1\": [\(Self.mail)]}'"
        #expect(try await served.run(failing, parameters).hasPrefix("CHAIN_FAILED|"))

        // Written by hand, and no rows for an element at all.
        let odd = try await served.psql(
            """
            INSERT INTO timetable.run_request (chain_execution_config, parameters)
            VALUES (\(failing), '[\(Self.mail)]') RETURNING run_request
            """)
        #expect(try await served.end(ofRequest: odd).contains("are no array of rows: "))

        let waiting = try await served.addConfig(
            "waiting", [("BUILTIN", "SendMail")],
            columns: "schedule, retries, retry_delay", values: "'@manual', 1, '1 hour'")
        let cancelled = try await served.psql("SELECT timetable.run(\(waiting), '[\(Self.mail)]')")
        try await served.waitFor(
            "1", "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'WAITING'")
        #expect(try await served.psql(Self.everywhere).hasPrefix("1|1|"))
        try await served.psql(
            "SELECT timetable.cancel(run_status) FROM timetable.run_status WHERE finished IS NULL")
        #expect(try await served.end(ofRequest: cancelled).hasPrefix("CANCELLED|"))

        // A request for a config that goes before its time.
        let gone = try await served.psql(
            "SELECT timetable.run(\(waiting), '[\(Self.mail)]', now() + interval '1 second')")
        try await served.psql(
            "DELETE FROM timetable.chain_execution_config WHERE chain_execution_config = \(waiting)"
        )
        #expect(try await served.end(ofRequest: gone).hasPrefix("CHAIN_FAILED|the config does not"))
        try await served.waitFor("0|0|0|0", Self.everywhere)
    }

    @Test func whatDiedOrWasSkippedLeavesNone() async throws {
        let database = try await PrivateCluster.database("secret")
        let served = try await Served.on(database)
        let config = try await served.addConfig(
            "hanging", [("SHELL", "/bin/sleep"), ("BUILTIN", "SendMail")],
            columns: "schedule, max_instances", values: "'@manual', 1")
        try await served.psql(
            """
            INSERT INTO timetable.chain_execution_parameters VALUES
                (\(config), 1, 1, '["600"]'), (\(config), 2, 1, '\(Self.mail)');
            SELECT timetable.run(\(config));
            """)
        try await served.waitFor(
            "STARTED", "SELECT execution_status FROM timetable.run_status")
        // The next fires find no room.
        try await served.psql("UPDATE timetable.chain_execution_config SET schedule = '@every 1s'")
        try await served.waitFor(
            "t",
            "SELECT count(*) > 0 FROM timetable.run_status WHERE execution_status = 'SKIPPED'")
        try await served.psql("UPDATE timetable.chain_execution_config SET live = false")
        #expect(try await served.psql(Self.everywhere).hasPrefix("1|0|"))
        served.daemon.kill()
        _ = try await served.daemon.waitForExit(within: .seconds(10))
        let next = try await Served.on(database)
        try await next.waitFor(
            "1", "SELECT count(*) FROM timetable.run_status WHERE execution_status = 'DEAD'")
        #expect(try await next.psql(Self.everywhere) == "0|0|0|0")
    }

    /// The same values as the log shows, and all else as it was.
    @Test(arguments: [
        (
            #"{"1": [{"PASSWORD": 5, "PasswordFile": "/p", "a": {"Password": "x"}}]}"#,
            #"{"1": [{"a": {"Password": "x"}, "PASSWORD": "***", "PasswordFile": "/p"}]}"#
        ),
        (
            #"{"1": [{"urls": ["ftp://u:p@h/a@b", "http://h/?a=b@c", "x\"://u@h"]}]}"#,
            #"{"1": [{"urls": ["ftp://***@h/a@b", "http://h/?a=b@c", "x\"://***@h"]}]}"#
        ),
        (
            #"{"1": [["Password", "http://u:p@h/"], 12345678901234567890.10, null, {}]}"#,
            #"{"1": [["Password", "http://u:p@h/"], 12345678901234567890.10, null, {}]}"#
        ),
        (#"{"1": {"Password": "x"}, "2": 5}"#, #"{"1": {"Password": "***"}, "2": 5}"#),
        (#"[{"Password": "x"}]"#, #"[{"Password": "***"}]"#),
        (#"{"Password": "x"}"#, #"{"Password": "***"}"#), ("5", "5"), ("null", "null"),
        ("{}", "{}"), ("[]", "[]"),
    ])
    func whatStaysIsRedacted(parameters: String, shown: String) async throws {
        let served = try await Served.fresh("secret")
        #expect(
            try await served.psql("SELECT timetable.redacted($j$\(parameters)$j$)") == shown)
    }

    /// SQL and programs get what is marked; no record and no line does.
    @Test func aMarkedRowIsASecretToo() async throws {
        let served = try await Served.fresh("secret")
        try await served.psql("CREATE TABLE got (value text)")
        let config = try await served.addConfig(
            "marked",
            [("SQL", "INSERT INTO got VALUES ($1)"), ("SHELL", "/bin/test"), ("BUILTIN", "Log")])
        try await served.psql(
            """
            INSERT INTO timetable.chain_execution_parameters
                (chain_execution_config, chain_id, order_id, value, secret)
            VALUES (1, 1, 1, '["s3cret-pass"]', true), (1, 1, 2, '["open"]', false),
                (1, 2, 1, '["s3cret-pass", "=", "s3cret-pass"]', true),
                (1, 3, 1, '"s3cret-pass"', true)
            """)
        #expect(try await served.run(config) == "CHAIN_DONE||")
        #expect(
            try await served.psql("SELECT string_agg(value, ',') FROM got") == "s3cret-pass,open")
        try await served.waitFor(
            #"["open"],"***","***","***""#,
            "SELECT string_agg(parameters::text, ',' ORDER BY parameters::text DESC) "
                + "FROM timetable.execution_log")
        #expect(
            try await served.psql("SELECT parameters -> '1' FROM timetable.run_status")
                == #"["***", ["open"]]"#)
        // Given for one run alone; kept for its retries.
        let once = try await served.psql(
            """
            SELECT timetable.run(1, jsonb_build_object('1',
                jsonb_build_array(timetable.secret_row('["s3cret-pass", "too many"]'))))
            """)
        #expect(try await served.end(ofRequest: once).hasPrefix("CHAIN_FAILED|"))
        #expect(try await served.psql(Self.everywhere) == "0|0|0|0")
        #expect(!served.daemon.lines.contains { $0.text.contains("s3cret-pass") })
    }
}

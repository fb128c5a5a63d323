import Foundation
import TestSupport
import Testing

/// The built-ins that copy, against files and programs.
struct CopyTaskTests {
    private static func served(_ builtIns: [String]) async throws -> (Served, Int, String) {
        let served = try await Served.fresh("copy")
        try await served.psql("CREATE TABLE t (x integer, y text)")
        var sql = ""
        for (index, name) in builtIns.enumerated() {
            let parent = index == 0 ? "NULL" : "\(index)"
            sql += """
                INSERT INTO timetable.task_chain (parent_id, task_id)
                SELECT \(parent), task_id FROM timetable.base_task WHERE name = '\(name)';

                """
        }
        try await served.psql(
            sql + """
                INSERT INTO timetable.chain_execution_config (chain_id, chain_name, schedule, live)
                VALUES (1, 'copy', '@manual', true)
                """)
        return (served, 1, try makeTemporaryFolder("carillon-copy"))
    }

    @Test func fileToTableToFile() async throws {
        let (served, config, folder) = try await Self.served(["CopyFromFile", "CopyToFile"])
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let lines = (1...200_000).map { "\($0),näme \($0)\n" }.joined()
        try Data(lines.utf8).write(to: URL(fileURLWithPath: "\(folder)/in.csv"))
        let end = try await served.run(
            config,
            """
            jsonb_build_object(
                '1', jsonb_build_array(jsonb_build_object(
                    'sql', 'COPY t FROM STDIN (FORMAT csv)', 'filename', '\(folder)/in.csv')),
                '2', jsonb_build_array(jsonb_build_object(
                    'sql', 'COPY t TO STDOUT (FORMAT csv)', 'filename', '\(folder)/out.csv')))
            """)
        #expect(end == "CHAIN_DONE||")
        #expect(try await served.psql("SELECT count(*) FROM t") == "200000")
        let copied = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/out.csv"))
        #expect(copied == Data(lines.utf8))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 2)
        try await served.waitFor(
            "COPY 200000|COPY 200000",
            "SELECT string_agg(output, '|') FROM timetable.execution_log")
    }

    @Test func programToTableToProgram() async throws {
        let (served, config, folder) = try await Self.served(["CopyFromProgram", "CopyToProgram"])
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let end = try await served.run(
            config,
            """
            jsonb_build_object(
                '1', jsonb_build_array(jsonb_build_object(
                    'sql', 'COPY t (x) FROM STDIN', 'cmd', 'seq', 'args', '["100000"]'::jsonb)),
                '2', jsonb_build_array(jsonb_build_object(
                    'sql', 'COPY (SELECT sum(x) FROM t) TO STDOUT', 'cmd', '/bin/sh',
                    'args', jsonb_build_array('-c', 'cat >\(folder)/sum'))))
            """)
        #expect(end == "CHAIN_DONE||")
        #expect(try String(contentsOfFile: "\(folder)/sum", encoding: .utf8) == "5000050000\n")
    }

    @Test(arguments: [
        // It gave a part before it failed: nothing of that stays.
        (
            #"{"sql": "COPY t (x) FROM STDIN", "cmd": "/bin/sh", "args": ["-c", "seq 9; exit 3"]}"#,
            "CHAIN_FAILED|.*exited with code 3"
        ),
        (
            #"{"sql": "COPY t (x) FROM STDIN", "cmd": "/bin/echo", "args": ["x"]}"#,
            "CHAIN_FAILED|invalid input syntax"
        ),
        (
            #"{"sql": "COPY t (x) FROM STDIN", "cmd": "/usr/none", "args": []}"#,
            "CHAIN_FAILED|.*/usr/none"
        ),
        (#"{"sql": "SELECT 1", "cmd": "/bin/true"}"#, "CHAIN_FAILED|.*COPY"),
        (#"{"cmd": "/bin/true"}"#, "CHAIN_FAILED|.*\"sql\""),
        (
            #"{"sql": "COPY t FROM STDIN", "cmd": "seq", "filename": "x"}"#,
            "CHAIN_FAILED|.*filename"
        ),
        (#"["sql"]"#, "CHAIN_FAILED|.*must be a JSON object"),
    ])
    func whatFailsLeavesNothing(parameter: String, reason: String) async throws {
        let (served, config, folder) = try await Self.served(["CopyFromProgram", "NoOp"])
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let literal = parameter.replacing("'", with: "''")
        let end = try await served.run(config, "'{\"1\": [\(literal)]}'")
        #expect(try end.contains(Regex(reason.replacing("|", with: "\\|"))), "\(end)")
        #expect(try await served.psql("SELECT count(*) FROM t") == "0")
        // The session and the daemon go on; with ignore_error so does the chain.
        try await served.psql("UPDATE timetable.task_chain SET ignore_error = true")
        #expect(try await served.run(config, "'{\"1\": [\(literal)]}'") == "CHAIN_DONE||")
    }

    @Test(arguments: ["CopyFromFile", "CopyToFile"])
    func aFileThatCanNotBeUsedIsNamed(builtIn: String) async throws {
        let (served, config, folder) = try await Self.served([builtIn])
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let direction = builtIn == "CopyFromFile" ? "FROM STDIN" : "TO STDOUT"
        for (path, reason) in [
            ("\(folder)/none/file", "No such file or directory"), ("x.csv", "must be a full path"),
        ] {
            let end = try await served.run(
                config, #"'[{"sql": "COPY t \#(direction)", "filename": "\#(path)"}]'"#)
            #expect(end.hasPrefix("CHAIN_FAILED|"))
            #expect(end.contains(reason))
        }
    }

    /// A named pipe would hold the COPY until somebody opens its other end; a device would be
    /// replaced by a file.
    @Test(arguments: ["CopyFromFile", "CopyToFile"], ["fifo", "device", "folder"])
    func whatIsNoFileIsLeftAlone(builtIn: String, name: String) async throws {
        let (served, config, folder) = try await Self.served([builtIn])
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let made = try await runProgram(
            "/bin/sh",
            ["-c", "cd \(folder) && mkfifo fifo && mkdir folder && ln -s /dev/null device"])
        #expect(made.end == .exited(0))
        let direction = builtIn == "CopyFromFile" ? "FROM STDIN" : "TO STDOUT"
        let end = try await served.run(
            config, #"'[{"sql": "COPY t \#(direction)", "filename": "\#(folder)/\#(name)"}]'"#)
        #expect(
            end.hasPrefix("CHAIN_FAILED|file '\(folder)/\(name)': it is no regular file"), "\(end)")
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
                == ["device", "fifo", "folder"])
        let type = try FileManager.default.attributesOfItem(atPath: "/dev/null")[.type]
        #expect(type as? FileAttributeType == .typeCharacterSpecial)
    }

    /// As with any other program that writes there.
    @Test func aLinkIsKeptAndItsFileReplaced() async throws {
        let (served, config, folder) = try await Self.served(["CopyToFile"])
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let made = try await runProgram(
            "/bin/sh", ["-c", "cd \(folder) && mkdir a && echo old >a/file && ln -s a/file link"])
        #expect(made.end == .exited(0))
        let end = try await served.run(
            config, #"'[{"sql": "COPY (SELECT 1) TO STDOUT", "filename": "\#(folder)/link"}]'"#)
        #expect(end == "CHAIN_DONE||")
        #expect(try String(contentsOfFile: "\(folder)/a/file", encoding: .utf8) == "1\n")
        #expect(
            try FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/link") == "a/file")
    }

    @Test func aCopyThatHangsCanBeCancelled() async throws {
        let (served, config, folder) = try await Self.served(["CopyFromProgram"])
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let request = try await served.psql(
            """
            SELECT timetable.run(\(config), '[{"sql": "COPY t (x) FROM STDIN", "cmd": "/bin/sh",
                "args": ["-c", "echo 1; trap : TERM; sleep 600; sleep 600"]}]')
            """)
        try await served.waitFor(
            "1", "SELECT count(*) FROM pg_stat_progress_copy WHERE tuples_processed >= 0")
        try await served.psql("SELECT timetable.cancel(1)")
        #expect(try await served.end(ofRequest: request).hasPrefix("CANCELLED|"))
        #expect(
            try await served.psql(
                "SELECT finished - cancel_requested_at < '2 s' FROM timetable.run_status") == "t")
    }

    @Test func shutdownEndsTheDaemonAfterItsRun() async throws {
        let (served, config, folder) = try await Self.served(["Shutdown", "NoOp"])
        defer { try? FileManager.default.removeItem(atPath: folder) }
        #expect(try await served.run(config) == "CHAIN_DONE||")
        #expect(try await served.daemon.waitForExit() == .exited(0))
    }
}

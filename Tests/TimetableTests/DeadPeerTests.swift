import Foundation
import TestSupport
import Testing

/// Workers that die, freeze and come back, found out by others.
struct DeadPeerTests {
    /// A second worker, which the first one knows of: then both look every 2 s.
    private func addPeer(to first: Served, _ arguments: [String] = []) async throws -> Served {
        let second = try await Served.on(first.database, name: "worker002", arguments)
        try await waitForSigns(of: "worker001", second)
        return second
    }

    /// Two heartbeats, 2 s apart: it knows that somebody watches.
    private func waitForSigns(of worker: String, _ served: Served) async throws {
        let seen = "SELECT seen_at FROM timetable.worker WHERE client_name = '\(worker)'"
        for _ in 0..<2 {
            let before = try await served.psql(seen)
            try await eventually("a heartbeat of \(worker)") {
                try await served.psql(seen) != before
            }
        }
    }

    private func waitForRun(of config: Int, _ served: Served) async throws -> String {
        let started = """
            SELECT run_status FROM timetable.run_status
            WHERE chain_execution_config = \(config) AND execution_status = 'STARTED'
            """
        try await eventually("a run of config \(config)") {
            try await served.psql(started) != ""
        }
        return try await served.psql(started)
    }

    @Test func aKilledWorkerIsFoundDeadAndItsLimitsAreFreed() async throws {
        let first = try await Served.fresh("dead")
        try await first.psql("CREATE TABLE t (run bigint)")
        let slow = try await first.addConfig(
            "slow",
            [
                ("SQL", "INSERT INTO t VALUES (current_setting('timetable.run')::bigint)"),
                ("SQL", "SELECT pg_sleep(300)"),
            ], columns: "schedule, client_name", values: "'@manual', 'worker001'")
        let alone = try await first.addConfig(
            "alone", [("SQL", "SELECT 1")], columns: "schedule, exclusive_execution",
            values: "'@manual', true")
        let second = try await addPeer(to: first)
        try await first.psql("SELECT timetable.run(\(slow))")
        let run = try await waitForRun(of: slow, second)
        // Waits for the slow one, on either worker.
        let waiting = try await second.psql("SELECT timetable.run(\(alone))")
        try await second.waitFor(
            "t",
            "SELECT blocked_at IS NOT NULL FROM timetable.run_request WHERE run_request = \(waiting)"
        )
        first.daemon.kill()
        try await second.waitFor(
            "DEAD|worker \"worker002\" found its daemon dead while it was under way",
            "SELECT execution_status, error FROM timetable.run_status WHERE run_status = \(run)")
        #expect(try await second.end(ofRequest: waiting) == "CHAIN_DONE||")
        #expect(
            try await second.psql(
                """
                SELECT (SELECT count(*) FROM t), w.state, a.state,
                    d.stopped_at - d.seen_at < interval '10 s', d.stopped_by
                FROM timetable.workers w, timetable.workers a, timetable.worker d
                WHERE w.client_name = 'worker001' AND a.client_name = 'worker002'
                    AND d.client_name = 'worker001'
                """) == "0|dead|serving|t|worker002")
        // Nothing of it is left on the server either.
        #expect(
            try await second.psql(
                """
                SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name LIKE '%worker001%'
                """) == "0")
    }

    /// Three chains of the first worker that sleep 2 s before what must not be done twice: an
    /// explicit COMMIT, the chain's own one, and work outside of its transaction.
    private func addChainsToFreeze(_ first: Served, _ folder: String) async throws -> [Int] {
        let says = """
            INSERT INTO t VALUES (current_setting('timetable.client_name'), '%');
            """
        let committing = try await first.addConfig(
            "committing",
            [
                ("SQL", "BEGIN"), ("SQL", says.replacing("%", with: "explicit")),
                ("BUILTIN", "Sleep"), ("SQL", "COMMIT"),
            ])
        let plain = try await first.addConfig(
            "plain", [("SQL", says.replacing("%", with: "plain")), ("BUILTIN", "Sleep")])
        let outside = try await first.addConfig(
            "outside",
            [
                ("SQL", "SELECT 1"), ("BUILTIN", "Sleep"), ("SHELL", "/bin/sh"),
                ("SQL", says.replacing("%", with: "autonomous")),
            ])
        try await first.psql(
            """
            UPDATE timetable.task_chain SET autonomous = true
            WHERE task_id = (SELECT task_id FROM timetable.base_task WHERE name = 'outside 3');
            UPDATE timetable.chain_execution_config
            SET retries = 1, retry_delay = '0', client_name = 'worker001';
            INSERT INTO timetable.chain_execution_parameters
            SELECT \(outside), chain_id, 1,
                '["-c", "echo $TIMETABLE_CLIENT_NAME >> \(folder)/ran"]'
            FROM timetable.task_chain JOIN timetable.base_task USING (task_id)
            WHERE name = 'outside 2';
            INSERT INTO timetable.chain_execution_parameters
            SELECT c.chain_execution_config, t.chain_id, 1, '2'
            FROM timetable.chain_execution_config c,
                timetable.task_chain t JOIN timetable.base_task b USING (task_id)
            WHERE b.name IN (SELECT c.chain_name || ' ' || n FROM generate_series(1, 2) n)
                AND b.script = 'Sleep';
            """)
        return [committing, plain, outside]
    }

    /// What it had under way is taken from it, tried again by the other, and neither finished nor
    /// repeated when it wakes.
    @Test func aFrozenWorkerDoesNotFinishWhatWasTakenFromIt() async throws {
        let folder = try makeTemporaryFolder("carillon-frozen")
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let first = try await Served.fresh("frozen")
        try await first.psql("CREATE TABLE t (who text, what text)")
        let configs = try await addChainsToFreeze(first, folder)
        let second = try await addPeer(to: first)
        var runs: [String] = []
        for config in configs {
            try await first.psql("SELECT timetable.run(\(config))")
            runs.append(try await waitForRun(of: config, second))
        }
        try await first.daemon.waitForLine(containing: "executing task: outside 1")
        first.daemon.suspend()
        try await second.waitFor(
            "3",
            """
            SELECT count(*) FROM timetable.run_status
            WHERE execution_status = 'WAITING' AND error LIKE '%worker002%'
            """)
        // From now on the second may have them.
        try await second.psql("UPDATE timetable.chain_execution_config SET client_name = NULL")
        let done = """
            SELECT string_agg(DISTINCT concat(execution_status, attempt, client_name), ',')
            FROM timetable.run_status
            """
        try await second.waitFor("CHAIN_DONE2worker002", done)
        first.daemon.resume()
        try await first.daemon.waitForLine(containing: "connected to the database again")
        // Each says so, whether it was stopped or could not commit.
        for run in runs {
            try await eventually("run \(run) is given up") {
                first.daemon.lines.contains { $0.text.contains("run \(run) was given up: ") }
            }
        }
        #expect(!first.daemon.lines.contains { $0.text.contains("the run is done") })
        let again = try await second.psql("SELECT timetable.run(\(configs[1]))")
        #expect(try await second.end(ofRequest: again) == "CHAIN_DONE||")
        #expect(
            try await second.psql("SELECT what, count(*) FROM t GROUP BY 1 ORDER BY 1")
                == "autonomous|1\nexplicit|1\nplain|2")
        #expect(try String(contentsOfFile: "\(folder)/ran", encoding: .utf8) == "worker002\n")
    }

    @Test func aStandbyTakesOverFromAKilledAndFromAFrozenWorker() async throws {
        let first = try await Served.fresh("standby")
        let slow = try await first.addConfig("slow", [("SQL", "SELECT pg_sleep(300)")])
        try await first.psql("SELECT timetable.run(\(slow))")
        let run = try await waitForRun(of: slow, first)
        let second = try await Served.on(first.database, ["--standby"])
        #expect(second.daemon.datagrams.contains { $0.contains("standing by for the worker") })
        try await first.waitFor(
            "serving|t",
            "SELECT state, has_standby FROM timetable.workers")
        first.daemon.kill()
        try await second.daemon.waitForLine(containing: "taking over from the worker")
        try await second.daemon.waitForLine(containing: "ready: 0 schedules")
        #expect(
            try await second.psql(
                "SELECT execution_status, error FROM timetable.run_status WHERE run_status = \(run)"
            )
                == "DEAD|its daemon ended while it was under way")

        let third = try await Served.on(first.database, ["--standby"])
        try await waitForSigns(of: "worker001", third)
        second.daemon.suspend()
        try await third.daemon.waitForLine(containing: "ready: 0 schedules")
        let quick = try await third.addConfig("quick", [("SQL", "SELECT 1")])
        #expect(try await third.run(quick) == "CHAIN_DONE||")
        second.daemon.resume()
        // Its name is another's now, and it stands by itself.
        try await second.daemon.waitForLine(containing: "standing by: a worker named")
        // One that stops lets its stand-by go on at once.
        third.daemon.terminate()
        #expect(try await third.daemon.waitForExit() == .exited(0))
        try await second.waitFor(
            "t",
            """
            SELECT w.state = 'serving' AND w.pid = \(second.daemon.pid)
            FROM timetable.workers w
            """)
        #expect(try await second.run(quick) == "CHAIN_DONE||")
    }

    @Test func aStandbyThatIsStoppedEnds() async throws {
        let first = try await Served.fresh("standby")
        let second = try await Served.on(first.database, ["--standby"])
        second.daemon.terminate()
        #expect(try await second.daemon.waitForExit() == .exited(0))
        first.daemon.terminate()
        #expect(try await first.daemon.waitForExit() == .exited(0))
        #expect(
            try await first.psql("SELECT state, running FROM timetable.workers")
                == "stopped|0")
    }

    /// Two workers that lose their connections at once, with a server that is away for a while, do
    /// not declare each other dead.
    @Test func aRestartOfTheServerBuriesNobody() async throws {
        let cluster = try await onOwnThread { try PrivateCluster() }
        let first = try await Served.on(try await cluster.createDatabase("restart"))
        let second = try await addPeer(to: first)
        let slow = try await first.addConfig(
            "slow", [("SHELL", "/bin/sleep")], columns: "schedule, client_name",
            values: "'@manual', 'worker001'")
        let request = try await first.psql("SELECT timetable.run(\(slow), '[[\"12\"]]')")
        _ = try await waitForRun(of: slow, first)
        try await onOwnThread {
            try cluster.stop(.immediate)
            try cluster.start()
        }
        for served in [first, second] {
            try await served.daemon.waitForLine(containing: "connected to the database again")
        }
        #expect(try await first.end(ofRequest: request) == "CHAIN_DONE||")
        #expect(
            try await first.psql("SELECT string_agg(state, ',') FROM timetable.workers")
                == "serving,serving")
    }
}

import TestSupport
import Testing

/// A connection is lost at each step of a run in turn: at the first message, the second, …
struct StepTests {
    /// Two fires with their claims, tasks, COMMITs and logs, and the way back after the last cut.
    private static let steps = 30

    @Test(arguments: WireProxy.Fault.allCases)
    func aConnectionIsCutAtEachStep(fault: WireProxy.Fault) async throws {
        let database = try await PrivateCluster.database("steps")
        let proxy = try WireProxy(for: database.cluster)
        defer { proxy.end() }
        let served = try await Served.on(database, environment: ["PGHOST": proxy.folder])
        var scenario = try await Scenario(database)
        try await scenario.addMixture(by: served)
        try await scenario.recovery()
        for step in 1...Self.steps {
            let cuts = proxy.cuts
            proxy.cut(fault, at: step)
            do {
                try await eventually("the connection is cut at \(fault) \(step)") {
                    proxy.cuts > cuts
                }
                try await scenario.recovery(1, "after \(fault) \(step) was cut")
            } catch {
                let said = served.daemon.lines.suffix(40).map(\.text).joined(separator: "\n")
                throw NotReached("\(error)\nThe daemon said:\n\(said)")
            }
        }
        try await scenario.audit([served.daemon])
    }

    /// The same by the server's own hand: a backend is terminated at the n-th row that it writes
    /// to one of our tables, or in the COMMIT of that row.
    @Test(arguments: ["BEFORE", "COMMIT"])
    func aBackendIsTerminatedAtEachWrite(place: String) async throws {
        let served = try await Served.fresh("steps")
        var scenario = try await Scenario(served.database)
        try await scenario.addMixture(by: served)
        try await scenario.recovery()
        try await served.psql(Self.trap(place))
        for step in 1...Self.steps {
            try await served.psql(
                "SELECT setval('trap.calls', 1, false); UPDATE trap.plan SET step = \(step)")
            try await served.waitFor("t", "SELECT last_value >= \(step) FROM trap.calls")
            try await scenario.recovery(1, "after write \(step)")
        }
        try await served.psql("DELETE FROM trap.plan")
        #expect(
            served.database.cluster.log.matches(of: /terminating connection due to admin/).count
                >= Self.steps)
        try await scenario.audit([served.daemon])
    }

    /// Triggers that count the rows written, which a ROLLBACK does not undo.
    private static func trap(_ place: String) -> String {
        let tables = [
            "timetable.run_status", "timetable.run_request", "timetable.execution_log",
            "timetable.log", "timetable.worker", "timetable.worker_backend", "effect",
        ]
        var sql = """
            CREATE SCHEMA trap;
            CREATE SEQUENCE trap.calls;
            CREATE TABLE trap.plan (step bigint);
            INSERT INTO trap.plan VALUES (0);
            CREATE FUNCTION trap.spring() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF nextval('trap.calls') = (SELECT step FROM trap.plan) THEN
                    PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(60);
                END IF;
                RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
            END $$;

            """
        for table in tables {
            sql +=
                place == "COMMIT"
                ? """
                CREATE CONSTRAINT TRIGGER trap AFTER INSERT OR UPDATE OR DELETE ON \(table)
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION trap.spring();

                """
                : """
                CREATE TRIGGER trap BEFORE INSERT OR UPDATE OR DELETE ON \(table)
                FOR EACH ROW EXECUTE FUNCTION trap.spring();

                """
        }
        return sql
    }
}

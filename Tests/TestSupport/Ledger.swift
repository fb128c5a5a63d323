public import Timing

/// The books of a database after a scenario: replays what `run_status`, `run_request` and
/// `execution_log` say, and finds what breaks a promise.
///
/// It trusts nothing of the daemon: which fires were due comes from the test, and what was really
/// done from a table that the chains wrote.
public struct Ledger: Sendable {
    /// Fires that were due: all instants `phase + n × every` from `first` through `last`.
    public struct Due: Sendable {
        public var config: Int
        public var every: Duration
        public var phase: Duration
        public var first: WallInstant
        public var last: WallInstant

        public init(
            config: Int, every: Duration, phase: Duration = .zero, from first: WallInstant,
            through last: WallInstant
        ) {
            (self.config, self.every, self.phase) = (config, every, phase)
            (self.first, self.last) = (first, last)
        }
    }

    public var due: [Due] = []
    /// A table with a column `run`, in which each run of `writers` leaves one row.
    public var effects: String?
    /// The configs whose chains write `effects`; nil is all.
    public var writers: [Int]?
    /// Whether nothing may be under way or wait any more.
    public var isSettled = true
    /// Whether each run that is done must have its tasks in `execution_log`: so unless a daemon was
    /// killed or the database refused the rows.
    public var isLogComplete = true
    /// Whether `watch` was run in the database.
    public var isWatched = false
    /// How much later than its run a task that was done may be said to have ended.
    public var slack: Duration = .seconds(10)

    public init(due: [Due] = [], effects: String? = nil) {
        (self.due, self.effects) = (due, effects)
    }

    /// What is wrong: the rule and an example each. Empty when all promises were kept.
    public func findings(in database: TestDatabase) async throws -> [String] {
        try await database.psql(sql).split(separator: "\n").map(String.init)
    }

    /// Has the database write down each change of a run that must not be, which its last state
    /// would not tell: to be run when the schema is there.
    public static let watch = """
        CREATE SCHEMA ledger;
        CREATE TABLE ledger.broken (finding text);
        CREATE FUNCTION ledger.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            INSERT INTO ledger.broken VALUES (format('run %s was %s of %s at attempt %s, and is %s',
                OLD.run_status, OLD.execution_status, OLD.client_name, OLD.attempt,
                CASE TG_OP WHEN 'DELETE' THEN 'deleted' ELSE
                    concat_ws(' ', NEW.execution_status, 'of', NEW.client_name, 'at', NEW.attempt)
                    END));
            RETURN NULL;
        END $$;
        CREATE TRIGGER an_end_is_final AFTER UPDATE ON timetable.run_status
        FOR EACH ROW WHEN (OLD.execution_status NOT IN ('STARTED', 'WAITING')
            AND (OLD.execution_status, OLD.finished, OLD.attempt, OLD.client_name)
                IS DISTINCT FROM
                (NEW.execution_status, NEW.finished, NEW.attempt, NEW.client_name))
        EXECUTE FUNCTION ledger.note();
        CREATE TRIGGER an_end_stays AFTER DELETE ON timetable.run_status
        FOR EACH ROW WHEN (OLD.execution_status NOT IN ('STARTED', 'WAITING'))
        EXECUTE FUNCTION ledger.note();
        CREATE TRIGGER an_attempt_has_one_worker AFTER UPDATE ON timetable.run_status
        FOR EACH ROW WHEN (OLD.execution_status = 'STARTED' AND NEW.execution_status = 'STARTED'
            AND (OLD.attempt, OLD.client_name) IS DISTINCT FROM (NEW.attempt, NEW.client_name))
        EXECUTE FUNCTION ledger.note();
        """

    /// Statements for one session, of which the last returns the findings.
    public var sql: String {
        preparation
            + rules.map { name, query in
                """
                SELECT '\(name): ' || finding
                FROM (SELECT finding FROM (\(query)) AS found (finding) LIMIT 3) AS examples
                """
            }.joined(separator: "\nUNION ALL\n") + ";"
    }

    private var preparation: String {
        var sql = """
            SET client_min_messages = warning; SET search_path = pg_catalog, public;
            SET jit = off;
            DROP TABLE IF EXISTS pg_temp.due, pg_temp.way;
            CREATE TEMP TABLE due (config bigint, fire timestamptz);

            """
        for part in due {
            let (every, phase) = (part.every.wholeMicroseconds, part.phase.wholeMicroseconds)
            sql += """
                INSERT INTO due SELECT \(part.config), timestamptz 'epoch' + n * interval '1 us'
                FROM generate_series(
                    \(phase) + ceil((\(part.first.microseconds) - \(phase))::numeric
                        / \(every))::bigint * \(every),
                    \(part.last.microseconds), \(every)) AS n;

                """
        }
        return sql + """
            CREATE INDEX ON due (config, fire);
            ANALYZE due;
            CREATE TEMP TABLE way AS
            SELECT r.run_status AS run, r.chain_execution_config AS config, r.started,
                coalesce(r.finished, 'infinity') AS finished,
                coalesce(c.exclusive_execution, false) AS is_exclusive,
                coalesce(c.max_instances, 16) AS max_instances
            FROM timetable.run_status r
            LEFT JOIN timetable.chain_execution_config c USING (chain_execution_config)
            -- Between attempts a run holds no slot, and its row does not tell when.
            WHERE r.started IS NOT NULL AND r.attempt <= 1
                AND r.execution_status NOT IN ('SKIPPED', 'MISSED', 'WAITING');
            CREATE INDEX ON way (config, started);
            ANALYZE way;

            """
    }

    private var rules: [(name: String, query: String)] {
        var rules = Self.fireRules + Self.runRules + Self.taskRules + Self.limitRules
        if isSettled { rules += Self.settledRules }
        if isWatched { rules.append(("an end is final", "TABLE ledger.broken")) }
        if isLogComplete { rules += Self.completeLogRules }
        rules.append(("a task that was done lies within its run", lateTasks))
        if let effects { rules += effectRules(effects) }
        return rules
    }

    private var lateTasks: String {
        """
        SELECT format('run %s ended at %s, and "%s" at %s', r.run_status, r.finished, e.name,
            e.finished)
        FROM timetable.execution_log e JOIN timetable.run_status r USING (run_status)
        -- What lost its connection at the COMMIT learns of that late.
        WHERE r.execution_status = 'CHAIN_DONE' AND e.error IS NULL
            AND e.finished > r.finished + interval '\(slack.wholeMicroseconds) us'
        """
    }

    private func effectRules(_ table: String) -> [(name: String, query: String)] {
        let isWriter =
            writers.map { list in
                "r.chain_execution_config IN (\(list.map(String.init).joined(separator: ", ")))"
            } ?? "true"
        return [
            (
                "what is done has its effect once",
                """
                SELECT format('run %s of config %s is done, and has %s effects', r.run_status,
                    r.chain_execution_config, coalesce(e.count, 0))
                FROM timetable.run_status r
                LEFT JOIN (SELECT run, count(*) FROM \(table) GROUP BY run) AS e
                    ON e.run = r.run_status
                WHERE r.execution_status = 'CHAIN_DONE' AND \(isWriter)
                    AND coalesce(e.count, 0) <> 1
                """
            ),
            (
                "what is not done has no effect",
                """
                SELECT format('run %s is %s, and has an effect', e.run,
                    coalesce(r.execution_status::text, 'unknown'))
                FROM \(table) e LEFT JOIN timetable.run_status r ON r.run_status = e.run
                WHERE r.execution_status IS DISTINCT FROM 'CHAIN_DONE'
                """
            ),
        ]
    }
}

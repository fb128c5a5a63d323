/// The promises, each as a query whose rows are what breaks it.
extension Ledger {
    static let fireRules: [(name: String, query: String)] = [
        (
            "a fire has one run",
            """
            SELECT format('config %s at %s has %s runs', chain_execution_config, scheduled_for,
                count(*))
            FROM timetable.run_status WHERE scheduled_for IS NOT NULL
            GROUP BY chain_execution_config, scheduled_for HAVING count(*) > 1
            """
        ),
        (
            "a fire that was due is accounted for",
            """
            SELECT format('config %s at %s has neither a run nor a reason', d.config, d.fire)
            FROM due d
            WHERE NOT EXISTS (
                    SELECT FROM timetable.run_status r
                    WHERE r.chain_execution_config = d.config AND r.scheduled_for = d.fire)
                AND NOT EXISTS (
                    SELECT FROM timetable.run_status m
                    WHERE m.chain_execution_config = d.config AND m.execution_status = 'MISSED'
                        AND d.fire BETWEEN m.scheduled_for AND m.missed_until)
            """
        ),
        (
            "nothing fires that was not due",
            """
            SELECT format('config %s at %s', r.chain_execution_config, r.scheduled_for)
            FROM timetable.run_status r
            JOIN (SELECT config, min(fire) AS first, max(fire) AS last FROM due GROUP BY config)
                AS d ON d.config = r.chain_execution_config
            WHERE r.scheduled_for BETWEEN d.first AND d.last AND NOT EXISTS (
                SELECT FROM due WHERE due.config = d.config AND due.fire = r.scheduled_for)
            """
        ),
        (
            "a missed fire did not run, and is missed once",
            """
            SELECT format('config %s at %s is %s in run %s, and missed in run %s',
                r.chain_execution_config, r.scheduled_for, r.execution_status, r.run_status,
                m.run_status)
            FROM timetable.run_status m
            JOIN timetable.run_status r
                ON r.chain_execution_config = m.chain_execution_config
                AND r.run_status <> m.run_status
                AND r.scheduled_for BETWEEN m.scheduled_for AND m.missed_until
            WHERE m.execution_status = 'MISSED'
            """
        ),
        (
            "a MISSED row counts what it spans",
            """
            SELECT format('run %s says %s fires, and spans %s', m.run_status, m.missed_count,
                count(d.fire))
            FROM timetable.run_status m
            JOIN due d ON d.config = m.chain_execution_config
                AND d.fire BETWEEN m.scheduled_for AND m.missed_until
            WHERE m.execution_status = 'MISSED'
                AND EXISTS (SELECT FROM due f WHERE f.config = m.chain_execution_config
                    AND f.fire = m.scheduled_for)
                AND EXISTS (SELECT FROM due l WHERE l.config = m.chain_execution_config
                    AND l.fire = m.missed_until)
            GROUP BY m.run_status, m.missed_count HAVING m.missed_count <> count(d.fire)
            """
        ),
    ]

    static let runRules: [(name: String, query: String)] = [
        (
            "a request has one run",
            """
            SELECT format('request %s has %s runs', run_request, count(*))
            FROM timetable.run_status WHERE run_request IS NOT NULL
            GROUP BY run_request HAVING count(*) > 1
            """
        ),
        (
            "a request that was claimed has a run",
            """
            SELECT format('request %s', q.run_request) FROM timetable.run_request q
            WHERE q.claimed_at IS NOT NULL AND NOT EXISTS (
                SELECT FROM timetable.run_status r
                WHERE r.run_request = q.run_request OR r.run_status = q.resumes)
            """
        ),
        (
            "what has ended, and nothing else, says when",
            """
            SELECT format('run %s is %s, and finished %s', run_status,
                coalesce(execution_status::text, 'nothing'), coalesce(finished::text, 'never'))
            FROM timetable.run_status
            WHERE execution_status IS NULL
                OR (finished IS NULL) <> (execution_status IN ('STARTED', 'WAITING'))
            """
        ),
        (
            "times are in order",
            """
            SELECT format('run %s (%s) of %s: started %s, finished %s, last update %s',
                r.run_status, r.execution_status, r.scheduled_for, r.started, r.finished,
                r.last_status_update)
            FROM timetable.run_status r
            LEFT JOIN timetable.run_request q ON q.run_request = r.run_request
            WHERE r.started < r.scheduled_for OR r.finished < r.started
                OR r.finished < r.scheduled_for OR r.finished < r.missed_until
                OR r.missed_until < r.scheduled_for
                OR r.started < greatest(q.requested_at, q.run_after)
                OR r.last_status_update < r.started - interval '100 ms'
                OR r.started IS NULL
                    AND r.execution_status NOT IN ('WAITING', 'MISSED', 'CANCELLED')
            """
        ),
        (
            "a reason is given where one is due",
            """
            SELECT format('run %s is %s', run_status, execution_status)
            FROM timetable.run_status
            WHERE CASE
                WHEN execution_status IN ('SKIPPED', 'MISSED') THEN coalesce(reason, '') = ''
                WHEN execution_status IN ('CHAIN_FAILED', 'DEAD', 'TIMED_OUT')
                    THEN coalesce(error, '') = ''
                WHEN execution_status = 'CANCELLED' THEN coalesce(error, reason, '') = ''
                WHEN execution_status = 'CHAIN_DONE' THEN error IS NOT NULL OR sqlstate IS NOT NULL
                ELSE false END
                OR execution_status = 'MISSED'
                    AND (coalesce(missed_count, 0) < 1 OR missed_until IS NULL)
            """
        ),
        (
            "attempts are as many as allowed",
            """
            SELECT format('run %s (%s) is at attempt %s of %s', r.run_status, r.execution_status,
                r.attempt, c.retries + 1)
            FROM timetable.run_status r
            LEFT JOIN timetable.chain_execution_config c USING (chain_execution_config)
            WHERE r.attempt > c.retries + 1
                OR r.attempt < 1 AND r.execution_status NOT IN ('WAITING', 'CANCELLED')
            """
        ),
        (
            "a run is in the hands of a worker",
            """
            SELECT format('run %s names "%s"', r.run_status, r.client_name)
            FROM timetable.run_status r
            WHERE NOT EXISTS (
                SELECT FROM timetable.worker w WHERE w.client_name = r.client_name)
            """
        ),
    ]

    static let taskRules: [(name: String, query: String)] = [
        (
            "a task belongs to a run",
            """
            SELECT format('"%s" of config %s names run %s', e.name, e.chain_execution_config,
                coalesce(e.run_status::text, 'nothing'))
            FROM timetable.execution_log e LEFT JOIN timetable.run_status r USING (run_status)
            WHERE r.chain_execution_config IS DISTINCT FROM e.chain_execution_config
            """
        ),
        (
            "a task does not begin outside of its run",
            """
            SELECT format('run %s lasted from %s to %s, and "%s" from %s to %s', r.run_status,
                r.started, r.finished, e.name, e.last_run, e.finished)
            FROM timetable.execution_log e JOIN timetable.run_status r USING (run_status)
            WHERE e.last_run < r.started - interval '50 ms' OR e.finished < e.last_run
                OR e.last_run > r.finished + interval '100 ms' OR r.started IS NULL
            """
        ),
        (
            "attempts count up",
            """
            SELECT format('run %s: attempt %s of "%s" comes after attempt %s (now %s)',
                e.run_status, e.attempt, e.name, e.before, r.attempt)
            FROM (
                SELECT *, lag(attempt) OVER (
                    PARTITION BY run_status ORDER BY last_run, attempt) AS before
                FROM timetable.execution_log
            ) AS e
            JOIN timetable.run_status r USING (run_status)
            WHERE e.attempt < e.before OR e.attempt > r.attempt OR e.attempt < 1
                OR e.attempt IS NULL
            """
        ),
    ]

    static let limitRules: [(name: String, query: String)] = [
        (
            "max_instances holds",
            """
            SELECT format('config %s has %s runs under way at %s, and may have %s', config, count,
                at, max_instances)
            FROM (
                SELECT *, sum(step) OVER (
                    PARTITION BY config ORDER BY at, step ROWS UNBOUNDED PRECEDING) AS count
                FROM (
                    SELECT config, max_instances, started AS at, 1 AS step FROM way
                    UNION ALL
                    SELECT config, max_instances, finished, -1 FROM way
                ) AS steps
            ) AS sums
            WHERE count > max_instances
            """
        ),
        (
            "exclusive_execution holds",
            """
            SELECT format('run %s of config %s began at %s beside another', run, config, started)
            FROM (
                SELECT *, max(finished) OVER before AS until,
                    max(finished) FILTER (WHERE is_exclusive) OVER before AS exclusive_until
                FROM way
                WINDOW before AS (ORDER BY started, run
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
            ) AS w
            WHERE exclusive_until > started OR is_exclusive AND until > started
            """
        ),
        (
            "excluded_execution_configs holds",
            """
            SELECT format('run %s of config %s began at %s beside one of config %s', w.run,
                w.config, w.started, pair.other)
            FROM (
                SELECT chain_execution_config AS one, unnest(excluded_execution_configs) AS other
                FROM timetable.chain_execution_config
                UNION
                SELECT unnest(excluded_execution_configs), chain_execution_config
                FROM timetable.chain_execution_config
            ) AS pair
            CROSS JOIN LATERAL (
                SELECT *, max(finished) FILTER (WHERE config = pair.other) OVER (
                    ORDER BY started, run
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS until
                FROM way WHERE config IN (pair.one, pair.other)
            ) AS w
            WHERE w.config = pair.one AND w.until > w.started
            """
        ),
    ]

    static let settledRules: [(name: String, query: String)] = [
        (
            "nothing is left under way",
            """
            SELECT format('run %s of config %s is %s since %s', run_status, chain_execution_config,
                execution_status, last_status_update)
            FROM timetable.run_status WHERE execution_status IN ('STARTED', 'WAITING')
            """
        ),
        (
            "no request is left open",
            """
            SELECT format('request %s for config %s', run_request, chain_execution_config)
            FROM timetable.run_request
            WHERE claimed_at IS NULL AND coalesce(run_after, '-infinity') < clock_timestamp()
            """
        ),
    ]

    static let completeLogRules: [(name: String, query: String)] = [
        (
            "what is done has its tasks in the log",
            """
            SELECT format('run %s', r.run_status) FROM timetable.run_status r
            WHERE r.execution_status = 'CHAIN_DONE' AND NOT EXISTS (
                SELECT FROM timetable.execution_log e WHERE e.run_status = r.run_status)
            """
        )
    ]
}

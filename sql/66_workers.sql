-- Workers: who lives, and what becomes of what a dead one had under way. Called by the daemons only.

-- The advisory locks of this database that somebody holds, each by its 64-bit key.
CREATE OR REPLACE VIEW timetable.held_lock AS
    SELECT DISTINCT (l.classid::bigint << 32) | l.objid::bigint AS key
    FROM pg_catalog.pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.database = (
        SELECT d.oid FROM pg_catalog.pg_database d
        WHERE d.datname = pg_catalog.current_database());

-- A daemon holds the first as long as it is connected, a stand-by for its name shares the second.
CREATE OR REPLACE FUNCTION timetable.name_key(worker text) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_catalog.hashtextextended('carillon worker ' OPERATOR(pg_catalog.||) worker, 0)
$$;
CREATE OR REPLACE FUNCTION timetable.standby_key(worker text) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_catalog.hashtextextended('carillon standby ' OPERATOR(pg_catalog.||) worker, 0)
$$;

-- Ends the sessions that a worker left behind, but not those in keep, and returns how many are
-- still there: to be called until it returns 0.
CREATE OR REPLACE FUNCTION timetable.end_sessions(worker text, keep integer[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    left_over bigint;
BEGIN
    SELECT count(pg_terminate_backend(a.pid)) INTO left_over
    FROM timetable.worker_backend b
    JOIN pg_stat_activity a ON a.pid = b.pid AND a.backend_start = b.backend_start
    WHERE b.client_name = worker AND a.pid <> ALL (keep);
    DELETE FROM timetable.worker_backend b
    WHERE b.client_name = worker AND NOT EXISTS (
        SELECT FROM pg_stat_activity a WHERE a.pid = b.pid AND a.backend_start = b.backend_start);
    RETURN left_over;
END $$;

-- What a worker had under way when its daemon ended: nobody knows how far it came. It is DEAD, or
-- WAITING for another attempt where its config has retries.
CREATE OR REPLACE FUNCTION timetable.mark_dead(
    worker text, error text, OUT run bigint, OUT status text
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    dead bigint[];
    attempts integer[];
BEGIN
    SELECT array_agg(r.run_status), array_agg(r.attempt) INTO dead, attempts
    FROM timetable.run_status r
    WHERE r.execution_status = 'STARTED' AND r.client_name = worker;
    IF dead IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT e.run, e.status
    FROM timetable.end_runs(
        dead, attempts, array_fill('DEAD'::text, ARRAY[cardinality(dead)]),
        array_fill(error, ARRAY[cardinality(dead)]), NULL, worker) AS e;
    -- On whichever daemon: what was in the way of these is gone.
    PERFORM pg_notify('timetable_run', '{"requests": "all"}')
    WHERE EXISTS (SELECT FROM timetable.run_request WHERE claimed_at IS NULL);
END $$;

-- Declares a worker dead that was last seen at an instant (microseconds since 1970). Its sessions are
-- ended first, since a server process goes on without its daemon, up to its COMMIT.
-- outcome: ENDING, some are still there: call it again; ALIVE, it came back, or another was faster;
-- DEAD, once for each run that it had under way, or once without a run.
CREATE OR REPLACE FUNCTION timetable.bury(
    worker text, seen bigint, witness text, OUT outcome text, OUT run bigint, OUT status text
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    -- Whoever comes back, or opens a session in its name, waits for this.
    PERFORM FROM timetable.worker w
    WHERE w.client_name = worker AND w.stopped_at IS NULL
        AND (extract(epoch FROM greatest(w.seen_at, w.started_at)) * 1000000)::bigint = seen
    FOR UPDATE;
    IF NOT FOUND THEN
        outcome := 'ALIVE';
        RETURN NEXT;
        RETURN;
    END IF;
    IF timetable.end_sessions(worker, '{}') > 0 THEN
        outcome := 'ENDING';
        RETURN NEXT;
        RETURN;
    END IF;
    UPDATE timetable.worker w SET stopped_at = clock_timestamp(), stopped_by = witness
    WHERE w.client_name = worker;
    outcome := 'DEAD';
    RETURN QUERY
    SELECT 'DEAD', d.run, d.status
    FROM timetable.mark_dead(
        worker, format('worker "%s" found its daemon dead while it was under way', witness)) AS d;
    IF NOT FOUND THEN
        RETURN NEXT;
    END IF;
END $$;

CREATE OR REPLACE VIEW timetable.workers AS
    SELECT w.client_name,
        CASE
            WHEN w.stopped_at IS NOT NULL AND w.stopped_by IS NULL THEN 'stopped'
            WHEN w.stopped_at IS NOT NULL THEN 'dead'
            WHEN EXISTS (
                SELECT FROM timetable.held_lock l WHERE l.key = timetable.name_key(w.client_name))
                THEN 'serving'
            ELSE 'lost'
        END AS state,
        w.started_at AS since, w.seen_at, w.stopped_at, w.version, w.host, w.pid,
        EXISTS (
            SELECT FROM timetable.held_lock l WHERE l.key = timetable.standby_key(w.client_name)
        ) AS has_standby,
        r.running, r.chains
    FROM timetable.worker w
    CROSS JOIN LATERAL (
        SELECT count(*) AS running,
            array_agg(DISTINCT coalesce(c.chain_name, s.chain_execution_config::text)) AS chains
        FROM timetable.run_status s
        LEFT JOIN timetable.chain_execution_config c USING (chain_execution_config)
        WHERE s.execution_status = 'STARTED' AND s.client_name = w.client_name
    ) AS r;
COMMENT ON VIEW timetable.workers IS
    'Each worker: serving, lost (not connected, and not yet declared dead), dead or stopped; since when, with which version, and the chains that it runs now';

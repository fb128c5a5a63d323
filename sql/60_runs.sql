-- Claims and ends of runs, called by the daemon only.

-- Functions in SQL are planned anew at every call (PostgreSQL 15: 0.5 to 2 ms for these), those in
-- plpgsql once a session: so what is on the path of a run is in plpgsql and calls no SQL function.

-- Claims fires (config and instant in microseconds since 1970, pairwise) for a worker; a config
-- only once in a call, since its runs are counted before any of them begins.
-- outcome: STARTED, ours now; SKIPPED, ours and recorded as not run; TAKEN, another's;
-- EARLY, the instant lies ahead of the database's clock; GONE, no such live config.
CREATE FUNCTION timetable.claim_fires(
    configs bigint[], fires bigint[], worker text,
    OUT config bigint, OUT fire bigint, OUT outcome text, OUT run bigint, OUT clock bigint
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    -- In order: two claims never count the runs of one config at the same time, and never wait for
    -- each other in a circle. 'ca' is Carillon's key space.
    PERFORM pg_advisory_xact_lock((x'6361'::bigint << 48) # id)
    FROM (SELECT DISTINCT unnest(configs) AS id ORDER BY 1) AS sorted;
    -- A statement of its own: its snapshot is younger than the locks.
    RETURN QUERY
    WITH judged AS (
        SELECT f.config, f.fire,
            timestamptz 'epoch' + f.fire * interval '1 microsecond' AS instant,
            c.chain_id, c.max_instances,
            CASE
                WHEN c.live IS NOT TRUE OR c.chain_id IS NULL THEN 'GONE'
                WHEN f.fire > extract(epoch FROM clock_timestamp()) * 1000000 THEN 'EARLY'
                WHEN (
                    SELECT count(*) FROM timetable.run_status r
                    WHERE r.chain_execution_config = f.config AND r.execution_status = 'STARTED'
                ) >= coalesce(c.max_instances, 16) THEN 'SKIPPED'
                ELSE 'STARTED'
            END AS verdict
        FROM unnest(configs, fires) AS f (config, fire)
        LEFT JOIN timetable.chain_execution_config c ON c.chain_execution_config = f.config
    ), claimed AS (
        INSERT INTO timetable.run_status AS r (
            execution_status, chain_id, current_execution_element, started, finished,
            chain_execution_config, scheduled_for, client_name, parameters, reason)
        SELECT j.verdict::timetable.execution_status, j.chain_id, j.chain_id,
            clock_timestamp(), CASE j.verdict WHEN 'SKIPPED' THEN clock_timestamp() END,
            j.config, j.instant, worker, (
                SELECT jsonb_object_agg(p.chain_id, p.rows)
                FROM (
                    SELECT chain_id, jsonb_agg(value ORDER BY order_id) AS rows
                    FROM timetable.chain_execution_parameters
                    WHERE chain_execution_config = j.config
                    GROUP BY chain_id
                ) AS p
                HAVING count(*) > 0),
            CASE j.verdict WHEN 'SKIPPED' THEN
                format('%s runs of this config are under way, max_instances allows no more',
                    coalesce(j.max_instances, 16))
            END
        FROM judged j
        WHERE j.verdict IN ('STARTED', 'SKIPPED')
        ORDER BY j.config, j.instant
        ON CONFLICT ON CONSTRAINT a_fire_is_claimed_once DO NOTHING
        RETURNING r.run_status, r.chain_execution_config, r.scheduled_for
    )
    SELECT j.config, j.fire,
        CASE WHEN j.verdict IN ('STARTED', 'SKIPPED') AND c.run_status IS NULL
            THEN 'TAKEN' ELSE j.verdict END,
        c.run_status,
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    FROM judged j
    LEFT JOIN claimed c
        ON c.chain_execution_config = j.config AND c.scheduled_for = j.instant;
END $$;

-- Turns payloads of NOTIFY timetable_run into requests: a config id, a chain name, or
-- {"config": id or name, "delay": seconds}. Only live configs; outcome UNKNOWN or INVALID else.
-- What was made of them stands in the setting timetable.taken until the transaction ends.
CREATE FUNCTION timetable.take_notified(
    payloads text[], OUT payload text, OUT outcome text, OUT request bigint
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    message jsonb;
    wanted text;
    delay double precision;
    target bigint;
    taken bigint[] := '{}';
BEGIN
    PERFORM set_config('timetable.quiet', 'on', true);
    FOREACH payload IN ARRAY payloads LOOP
        outcome := NULL;
        request := NULL;
        delay := 0;
        wanted := btrim(payload);
        IF wanted LIKE '{%' THEN
            BEGIN
                message := wanted::jsonb;
                wanted := message ->> 'config';
                delay := coalesce((message ->> 'delay')::double precision, 0);
                IF NOT delay BETWEEN 0 AND 1e9 OR wanted IS NULL THEN
                    outcome := 'INVALID';
                END IF;
            EXCEPTION WHEN data_exception OR statement_too_complex THEN
                outcome := 'INVALID';
            END;
        END IF;
        IF outcome IS NULL THEN
            -- A number is an id first; a chain may still have a number as its name.
            SELECT c.chain_execution_config INTO target
            FROM timetable.chain_execution_config c
            WHERE c.live AND (
                c.chain_name = wanted
                OR c.chain_execution_config =
                    CASE WHEN wanted ~ '^[0-9]{1,18}$' THEN wanted::bigint END)
            ORDER BY c.chain_name = wanted LIMIT 1;
            IF FOUND THEN
                INSERT INTO timetable.run_request
                    (chain_execution_config, run_after, requested_by)
                VALUES (
                    target,
                    CASE WHEN delay > 0 THEN
                        clock_timestamp() + delay * interval '1 second' END,
                    'NOTIFY')
                RETURNING run_request INTO request;
                outcome := 'REQUESTED';
                taken := taken || request;
            ELSE
                outcome := 'UNKNOWN';
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
    PERFORM set_config('timetable.quiet', 'off', true);
    PERFORM set_config('timetable.taken', taken::text, true);
END $$;

-- Claims requests for a worker. outcome: STARTED; WAITING, no room for it now; TAKEN, also when only
-- another worker may have it; EARLY with the instant from which it may run; GONE, its config does
-- not exist any more. A request that resumes a WAITING run starts the next attempt of that run.
CREATE FUNCTION timetable.claim_requests(
    requests bigint[], worker text,
    OUT request bigint, OUT config bigint, OUT outcome text, OUT run bigint, OUT run_after bigint,
    OUT clock bigint
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock((x'6361'::bigint << 48) # sorted.chain_execution_config)
    FROM (
        SELECT DISTINCT q.chain_execution_config
        FROM timetable.run_request q
        WHERE q.run_request = ANY (requests) AND q.claimed_at IS NULL
        ORDER BY 1
    ) AS sorted;
    RETURN QUERY
    WITH open AS (
        SELECT q.*,
            row_number() OVER (
                PARTITION BY q.chain_execution_config,
                    coalesce(q.run_after, '-infinity') <= clock_timestamp()
                ORDER BY q.run_request) AS place
        FROM timetable.run_request q
        WHERE q.run_request = ANY (requests) AND q.claimed_at IS NULL
    ), judged AS (
        SELECT o.*, c.chain_id,
            CASE
                WHEN o.resumes IS NOT NULL AND NOT EXISTS (
                    SELECT FROM timetable.run_status r
                    WHERE r.run_status = o.resumes
                        AND r.execution_status IS NOT DISTINCT FROM 'WAITING') THEN 'OVER'
                WHEN c.chain_id IS NULL THEN 'GONE'
                WHEN c.client_name <> worker THEN 'TAKEN'
                WHEN o.run_after > clock_timestamp() THEN 'EARLY'
                WHEN o.place + u.under_way > coalesce(c.max_instances, 16) THEN 'WAITING'
                ELSE 'STARTED'
            END AS verdict
        FROM open o
        LEFT JOIN timetable.chain_execution_config c
            ON c.chain_execution_config = o.chain_execution_config
        CROSS JOIN LATERAL (
            SELECT count(*) AS under_way
            FROM timetable.run_status r
            WHERE r.chain_execution_config = o.chain_execution_config
                AND r.execution_status = 'STARTED'
        ) AS u
    ), closed AS (
        UPDATE timetable.run_request q
        SET claimed_at = clock_timestamp()
        FROM judged j
        WHERE q.run_request = j.run_request AND j.verdict IN ('STARTED', 'GONE', 'OVER')
    ), resumed AS (
        UPDATE timetable.run_status r
        SET execution_status = CASE j.verdict WHEN 'GONE' THEN 'CHAIN_FAILED' ELSE 'STARTED'
                END::timetable.execution_status,
            attempt = r.attempt + CASE j.verdict WHEN 'GONE' THEN 0 ELSE 1 END,
            client_name = worker, retry_at = NULL, last_status_update = clock_timestamp(),
            finished = CASE j.verdict WHEN 'GONE' THEN clock_timestamp() END,
            error = CASE j.verdict WHEN 'GONE' THEN r.error END,
            sqlstate = CASE j.verdict WHEN 'GONE' THEN r.sqlstate END
        FROM judged j
        WHERE r.run_status = j.resumes AND j.verdict IN ('STARTED', 'GONE')
            AND r.execution_status IS NOT DISTINCT FROM 'WAITING'
        RETURNING r.run_status, j.run_request
    ), claimed AS (
        INSERT INTO timetable.run_status AS r (
            execution_status, chain_id, current_execution_element, started, finished,
            chain_execution_config, client_name, parameters, run_request, error)
        SELECT
            CASE j.verdict WHEN 'GONE' THEN 'CHAIN_FAILED' ELSE 'STARTED'
            END::timetable.execution_status,
            j.chain_id, j.chain_id, clock_timestamp(),
            CASE j.verdict WHEN 'GONE' THEN clock_timestamp() END,
            j.chain_execution_config, worker,
            coalesce(own.parameters || j.parameters, j.parameters, own.parameters), j.run_request,
            CASE j.verdict WHEN 'GONE' THEN 'the config does not exist, or has no chain' END
        FROM judged j
        LEFT JOIN LATERAL (
            SELECT jsonb_object_agg(p.chain_id, p.rows) AS parameters
            FROM (
                SELECT chain_id, jsonb_agg(value ORDER BY order_id) AS rows
                FROM timetable.chain_execution_parameters
                WHERE chain_execution_config = j.chain_execution_config
                GROUP BY chain_id
            ) AS p
            HAVING count(*) > 0
        ) AS own ON true
        WHERE j.verdict IN ('STARTED', 'GONE') AND j.resumes IS NULL
        ORDER BY j.run_request
        ON CONFLICT ON CONSTRAINT a_request_is_claimed_once DO NOTHING
        RETURNING r.run_status, r.run_request
    ), begun AS (
        SELECT run_status, run_request FROM claimed
        UNION ALL
        SELECT run_status, run_request FROM resumed
    )
    SELECT a.id, j.chain_execution_config,
        CASE WHEN j.run_request IS NULL OR j.verdict = 'OVER'
                OR (j.verdict IN ('STARTED', 'GONE') AND b.run_status IS NULL)
            THEN 'TAKEN' ELSE j.verdict END,
        b.run_status,
        (extract(epoch FROM j.run_after) * 1000000)::bigint,
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    FROM unnest(requests) AS a (id)
    LEFT JOIN judged j ON j.run_request = a.id
    LEFT JOIN begun b ON b.run_request = a.id;
END $$;

-- Ends a run well, in the transaction of its chain: both commit or neither. Raises when the run
-- is not under way in this worker's hands any more, so that the chain's work is not done either.
-- With config_to_wake, that config waits for the end of its run (@after) on every daemon.
-- False when the transaction is read only: then nothing is recorded here.
CREATE FUNCTION timetable.chain_done(
    run bigint, worker text, config_to_delete bigint, config_to_wake bigint
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_read_only') = 'on' THEN
        RETURN false;
    END IF;
    -- Not "=": the planner would take the index of the runs under way, and look at all of them.
    UPDATE timetable.run_status
    SET execution_status = 'CHAIN_DONE', finished = clock_timestamp(),
        last_status_update = clock_timestamp()
    WHERE run_status = run AND execution_status IS NOT DISTINCT FROM 'STARTED'
        AND client_name = worker;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run % is no longer under way for worker "%"', run, worker
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF config_to_delete IS NOT NULL THEN
        PERFORM set_config('timetable.quiet', 'on', true);
        DELETE FROM timetable.chain_execution_config
        WHERE chain_execution_config = config_to_delete;
        PERFORM set_config('timetable.quiet', 'off', true);
    END IF;
    IF config_to_wake IS NOT NULL THEN
        PERFORM pg_notify('timetable_config', 'chain_execution_config ENDED ' || config_to_wake);
    END IF;
    RETURN true;
END $$;

-- Before a COMMIT that is a task of the chain: raises unless the run is still under way in this
-- worker's hands, and keeps it so until that COMMIT.
CREATE FUNCTION timetable.hold_run(run bigint, worker text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_read_only') = 'on' THEN
        RETURN;  -- nothing is at stake
    END IF;
    PERFORM FROM timetable.run_status
    WHERE run_status = run AND execution_status IS NOT DISTINCT FROM 'STARTED'
        AND client_name = worker
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run % is no longer under way for worker "%"', run, worker
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$;

-- Tells all daemons that runs of configs with @after have ended.
CREATE FUNCTION timetable.wake_after(runs bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify(
        'timetable_config', 'chain_execution_config ENDED ' || c.chain_execution_config)
    FROM timetable.run_status r
    JOIN timetable.chain_execution_config c USING (chain_execution_config)
    WHERE r.run_status = ANY (runs) AND r.finished IS NOT NULL AND c.schedule ~* '^\s*@after';
END $$;

-- Ends runs outside of their chains' transactions. A run that is not under way any more keeps its
-- end: after a COMMIT whose answer was lost, the wait for its row tells what became of it.
-- A failed run whose config has retries left becomes WAITING, with a request that resumes it; one
-- that has none asks for its config's on_failure, unless it was itself asked for by one.
-- Returns the end that each run has now.
CREATE FUNCTION timetable.end_runs(
    runs bigint[], statuses text[], errors text[], sqlstates text[], worker text,
    OUT run bigint, OUT status text
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    done bigint[];
BEGIN
    WITH ended AS (
        UPDATE timetable.run_status r
        SET execution_status = CASE WHEN e.retry_at IS NULL THEN e.status ELSE 'WAITING'
                END::timetable.execution_status,
            error = e.error, sqlstate = e.sqlstate, retry_at = e.retry_at,
            finished = CASE WHEN e.retry_at IS NULL THEN clock_timestamp() END,
            last_status_update = clock_timestamp()
        FROM (
            SELECT e.*, c.on_failure,
                -- Doubled each time, up to a day, or to retry_delay itself where that is more.
                CASE WHEN e.status IN ('CHAIN_FAILED', 'TIMED_OUT', 'DEAD')
                        AND was.attempt <= c.retries
                    THEN clock_timestamp() + greatest(c.retry_delay, least(
                        c.retry_delay * 2 ^ least(was.attempt - 1, 30), interval '1 day'))
                END AS retry_at
            FROM unnest(runs, statuses, errors, sqlstates) AS e (run, status, error, sqlstate)
            JOIN timetable.run_status was ON was.run_status = e.run
            LEFT JOIN timetable.chain_execution_config c
                ON c.chain_execution_config = was.chain_execution_config
        ) AS e
        WHERE r.run_status = e.run AND r.execution_status IS NOT DISTINCT FROM 'STARTED'
            AND r.client_name = worker
        RETURNING r.*, e.on_failure
    ), asked AS (
        INSERT INTO timetable.run_request
            (chain_execution_config, run_after, requested_by, resumes, failed_run)
        SELECT chain_execution_config, retry_at, 'retries', run_status, NULL
        FROM ended WHERE execution_status = 'WAITING'
        UNION ALL
        SELECT e.on_failure, NULL, 'on_failure', NULL, e.run_status
        FROM ended e
        WHERE e.execution_status IN ('CHAIN_FAILED', 'TIMED_OUT', 'DEAD')
            AND e.on_failure IS NOT NULL
            AND NOT EXISTS (
                SELECT FROM timetable.run_request q
                WHERE q.run_request = e.run_request AND q.failed_run IS NOT NULL)
    )
    SELECT array_agg(chain_execution_config) INTO done
    FROM ended WHERE execution_status = 'CHAIN_DONE';
    IF done IS NOT NULL THEN
        PERFORM set_config('timetable.quiet', 'on', true);
        DELETE FROM timetable.chain_execution_config
        WHERE chain_execution_config = ANY (done) AND self_destruct;
        PERFORM set_config('timetable.quiet', 'off', true);
    END IF;
    PERFORM timetable.wake_after(runs);
    RETURN QUERY
    SELECT r.run_status, r.execution_status::text
    FROM timetable.run_status r WHERE r.run_status = ANY (runs);
END $$;

-- Ends the sessions that an earlier life of this worker left behind, but not those in keep, and
-- returns how many are still there: to be called until it returns 0.
CREATE FUNCTION timetable.end_sessions(worker text, keep integer[]) RETURNS bigint
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
CREATE FUNCTION timetable.mark_dead(worker text, OUT run bigint, OUT status text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    dead bigint[] := ARRAY(
        SELECT r.run_status FROM timetable.run_status r
        WHERE r.execution_status = 'STARTED' AND r.client_name = worker);
BEGIN
    RETURN QUERY
    SELECT e.run, e.status
    FROM timetable.end_runs(
        dead, array_fill('DEAD'::text, ARRAY[cardinality(dead)]),
        array_fill(
            'its daemon ended while it was under way'::text, ARRAY[cardinality(dead)]),
        NULL, worker) AS e;
END $$;

-- Gives back the claims whose answers were lost with a connection: the daemon knows all the runs
-- that it began, so that the others never began and may be claimed again.
CREATE FUNCTION timetable.release_claims(worker text, known bigint[]) RETURNS SETOF bigint
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    WITH lost AS (
        SELECT r.run_status, r.run_request, r.attempt, (
            SELECT max(q.run_request) FROM timetable.run_request q
            WHERE q.resumes = r.run_status) AS resumption
        FROM timetable.run_status r
        WHERE r.execution_status = 'STARTED' AND r.client_name = worker
            AND r.run_status <> ALL (known)
    ), forgotten AS (
        DELETE FROM timetable.run_status r USING lost
        WHERE r.run_status = lost.run_status AND lost.resumption IS NULL
    ), waiting AS (
        UPDATE timetable.run_status r
        SET execution_status = 'WAITING', attempt = r.attempt - 1
        FROM lost WHERE r.run_status = lost.run_status AND lost.resumption IS NOT NULL
    ), reopened AS (
        UPDATE timetable.run_request q SET claimed_at = NULL
        FROM lost WHERE q.run_request = coalesce(lost.resumption, lost.run_request)
    )
    SELECT lost.run_status FROM lost
$$;

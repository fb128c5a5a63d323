-- Ends of runs, called by the daemon only.

-- Ends a run well, in the transaction of its chain: both commit or neither. Raises when this
-- attempt is not under way in this worker's hands any more, so that its work is not done either.
-- With config_to_wake, that config waits for the end of its run (@after) on every daemon.
-- False when the transaction is read only: then nothing is recorded here.
CREATE OR REPLACE FUNCTION timetable.chain_done(
    run bigint, attempt integer, worker text, config_to_delete bigint, config_to_wake bigint
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    holds_objects boolean;
BEGIN
    IF current_setting('transaction_read_only') = 'on' THEN
        RETURN false;
    END IF;
    -- Not "=": the planner would take the index of the runs under way, and look at all of them.
    UPDATE timetable.run_status r
    SET execution_status = 'CHAIN_DONE', finished = clock_timestamp(),
        last_status_update = clock_timestamp()
    WHERE r.run_status = run AND r.execution_status IS NOT DISTINCT FROM 'STARTED'
        AND r.attempt = chain_done.attempt AND r.client_name = worker
    RETURNING r.parameters @? '$.*[*] ? (@.type() == "object")' INTO holds_objects;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run % is no longer under way for worker "%"', run, worker
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF holds_objects THEN
        PERFORM timetable.redact_runs(ARRAY[run]);
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

-- Before a COMMIT that is a task of the chain: raises unless this attempt is still under way in this
-- worker's hands, and keeps it so until that COMMIT.
CREATE OR REPLACE FUNCTION timetable.hold_run(run bigint, attempt integer, worker text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('transaction_read_only') = 'on' THEN
        RETURN;  -- nothing is at stake
    END IF;
    PERFORM FROM timetable.run_status r
    WHERE r.run_status = run AND r.execution_status IS NOT DISTINCT FROM 'STARTED'
        AND r.attempt = hold_run.attempt AND r.client_name = worker
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run % is no longer under way for worker "%"', run, worker
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$;

-- Tells all daemons that runs of configs with @after have ended.
CREATE OR REPLACE FUNCTION timetable.wake_after(runs bigint[]) RETURNS void
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
-- elements: where each failed, for current_execution_element.
-- Returns the end that each run has now, TAKEN when another attempt or worker has it.
CREATE OR REPLACE FUNCTION timetable.end_runs(
    runs bigint[], attempts integer[], statuses text[], errors text[], sqlstates text[], worker text,
    elements bigint[] DEFAULT NULL, OUT run bigint, OUT status text, OUT attempt integer
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
            current_execution_element = coalesce(e.element, r.current_execution_element),
            finished = CASE WHEN e.retry_at IS NULL THEN clock_timestamp() END,
            last_status_update = clock_timestamp()
        FROM (
            SELECT e.*, c.on_failure,
                -- Doubled each time, up to a day, or to retry_delay itself where that is more; but
                -- never out of the range of time, which would fail the ends of all runs.
                CASE WHEN e.status IN ('CHAIN_FAILED', 'TIMED_OUT', 'DEAD')
                        AND was.attempt <= c.retries
                    THEN clock_timestamp() + greatest(
                        interval '0', least(c.retry_delay, interval '1000 years'),
                        least(least(c.retry_delay, interval '1 day')
                            * 2 ^ least(was.attempt - 1, 30), interval '1 day'))
                END AS retry_at
            FROM unnest(runs, attempts, statuses, errors, sqlstates, elements)
                AS e (run, attempt, status, error, sqlstate, element)
            JOIN timetable.run_status was ON was.run_status = e.run
            LEFT JOIN timetable.chain_execution_config c
                ON c.chain_execution_config = was.chain_execution_config
        ) AS e
        WHERE r.run_status = e.run AND r.execution_status IS NOT DISTINCT FROM 'STARTED'
            AND r.attempt = e.attempt AND r.client_name = worker
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
    PERFORM timetable.redact_runs(runs);
    PERFORM timetable.wake_after(runs);
    RETURN QUERY
    SELECT r.run_status,
        CASE WHEN r.attempt = e.attempt AND r.client_name = worker THEN r.execution_status::text
            ELSE 'TAKEN' END,
        e.attempt
    FROM unnest(runs, attempts) AS e (run, attempt)
    JOIN timetable.run_status r ON r.run_status = e.run;
END $$;

-- The claims whose answers were lost with a connection: the daemon knows all the runs that it began,
-- so that the others never began.
--
-- Requests are given back; a run that was resumed waits again. Fires are not, since later ones of
-- their configs may have been claimed, so that nobody would look for them: they are returned, still
-- under way, and the daemon either begins them or says that they were missed (adopt_runs).
CREATE OR REPLACE FUNCTION timetable.release_claims(
    worker text, known bigint[], OUT run bigint, OUT config bigint, OUT fire bigint
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH lost AS MATERIALIZED (
        SELECT r.run_status, r.chain_execution_config, r.run_request, r.scheduled_for, (
                SELECT max(q.run_request) FROM timetable.run_request q
                WHERE q.resumes = r.run_status) AS resumption
        FROM timetable.run_status r
        WHERE r.execution_status = 'STARTED' AND r.client_name = worker
            AND r.run_status <> ALL (known)
    ), given_back AS (
        DELETE FROM timetable.run_status r USING lost l
        WHERE r.run_status = l.run_status AND l.resumption IS NULL AND l.scheduled_for IS NULL
    ), waiting AS (
        UPDATE timetable.run_status r
        SET execution_status = 'WAITING', attempt = r.attempt - 1,
            -- Of a first attempt: it is not to look as if it had been under way all the time.
            started = CASE WHEN r.attempt > 1 THEN r.started END
        FROM lost l WHERE r.run_status = l.run_status AND l.resumption IS NOT NULL
    ), reopened AS (
        UPDATE timetable.run_request q SET claimed_at = NULL
        FROM lost l WHERE q.run_request = coalesce(l.resumption, l.run_request)
    )
    SELECT l.run_status, l.chain_execution_config,
        (extract(epoch FROM l.scheduled_for) * 1000000)::bigint
    FROM lost l
    WHERE l.resumption IS NULL AND l.scheduled_for IS NOT NULL;
END $$;

-- Takes up runs that were claimed by this worker and never began, as if they were claimed now; those
-- in missed are recorded as that.
CREATE OR REPLACE FUNCTION timetable.adopt_runs(
    runs bigint[], missed bigint[], worker text, OUT run bigint, OUT config bigint
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    UPDATE timetable.run_status r
    SET execution_status = 'MISSED', parameters = NULL, finished = clock_timestamp(),
        last_status_update = clock_timestamp(), missed_count = 1, missed_until = r.scheduled_for,
        reason = 'its claim was lost with the connection'
    WHERE r.run_status = ANY (missed) AND r.execution_status = 'STARTED'
        AND r.client_name = worker;
    PERFORM timetable.wake_after(missed);
    RETURN QUERY
    UPDATE timetable.run_status r
    SET started = clock_timestamp(), last_status_update = clock_timestamp()
    WHERE r.run_status = ANY (runs) AND r.execution_status = 'STARTED' AND r.client_name = worker
    RETURNING r.run_status, r.chain_execution_config;
END $$;

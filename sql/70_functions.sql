-- Functions for users.

CREATE OR REPLACE FUNCTION timetable.insert_base_task(task_name text, parent_task_id bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    base bigint;
    element bigint;
BEGIN
    SELECT task_id INTO base FROM timetable.base_task WHERE name = task_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no base task "%"', task_name
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'The names are in timetable.base_task.';
    END IF;
    INSERT INTO timetable.task_chain (parent_id, task_id) VALUES (parent_task_id, base)
    RETURNING chain_id INTO element;
    RETURN element;
END $$;
COMMENT ON FUNCTION timetable.insert_base_task(text, bigint) IS
    'Appends an element by the name of its base task to the element parent_task_id (a chain_id; NULL begins a chain) and returns its chain_id';

CREATE OR REPLACE FUNCTION timetable.get_running_jobs(config bigint) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT chain_execution_config, start_status
    FROM timetable.run_status
    WHERE chain_execution_config = config AND execution_status = 'STARTED'
    ORDER BY start_status
$$;
COMMENT ON FUNCTION timetable.get_running_jobs(bigint) IS
    'The runs of a config that are under way: SELECT * FROM timetable.get_running_jobs(1) AS (chain_execution_config bigint, start_status bigint)';

CREATE OR REPLACE FUNCTION timetable.check_task(config bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN c.schedule IS NULL THEN
        coalesce(c.run_at_minute = extract(minute FROM now.local), true)
        AND coalesce(c.run_at_hour = extract(hour FROM now.local), true)
        AND coalesce(c.run_at_month = extract(month FROM now.local), true)
        AND CASE
            WHEN c.run_at_day IS NOT NULL AND c.run_at_day_of_week IS NOT NULL THEN
                c.run_at_day = extract(day FROM now.local)
                OR c.run_at_day_of_week % 7 = extract(dow FROM now.local)
            ELSE coalesce(c.run_at_day = extract(day FROM now.local), true)
                AND coalesce(c.run_at_day_of_week % 7 = extract(dow FROM now.local), true)
            END
        END
    FROM timetable.chain_execution_config c,
        LATERAL (
            SELECT clock_timestamp()
                AT TIME ZONE coalesce(c.time_zone, current_setting('TimeZone')) AS local
        ) AS now
    WHERE c.chain_execution_config = config
$$;
COMMENT ON FUNCTION timetable.check_task(bigint) IS
    'Whether a config with run_at_ columns is due in this minute; NULL for one with a schedule';

-- The parameters of a run by element, whichever way they were given; raises what is wrong with them.
CREATE OR REPLACE FUNCTION timetable.parameters_by_element(config bigint, head bigint, parameters jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stray text;
BEGIN
    IF jsonb_typeof(parameters) = 'array' THEN
        IF EXISTS (SELECT FROM timetable.task_chain t WHERE t.parent_id = head) THEN
            RAISE EXCEPTION 'parameters: config % has a chain of several elements', config
                USING ERRCODE = 'invalid_parameter_value',
                    HINT = 'Name the elements: {"chain_id": [row, …], …}.';
        END IF;
        parameters := jsonb_build_object(head, parameters);
    ELSIF jsonb_typeof(parameters) <> 'object' THEN
        RAISE EXCEPTION 'parameters: a JSON % is neither an array of rows nor an object',
                jsonb_typeof(parameters)
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Each row is one invocation: [["a", 1], ["b", 2]], or {"chain_id": [row, …]}.';
    END IF;
    WITH RECURSIVE element AS (
        SELECT t.chain_id FROM timetable.task_chain t WHERE t.chain_id = head
        UNION
        SELECT t.chain_id FROM element e JOIN timetable.task_chain t ON t.parent_id = e.chain_id
    )
    SELECT p.key INTO stray
    FROM jsonb_each(parameters) AS p
    WHERE jsonb_typeof(p.value) <> 'array'
        OR p.key NOT IN (SELECT e.chain_id::text FROM element e)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'parameters: "%" is no element of the chain of config %, or no array of rows',
                stray, config
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'The keys are the chain_id of elements, each with an array of rows.';
    END IF;
    RETURN parameters;
END $$;

CREATE OR REPLACE FUNCTION timetable.run(
    config bigint, parameters jsonb DEFAULT NULL, run_after timestamptz DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head bigint;
    request bigint;
BEGIN
    IF NOT has_any_column_privilege('timetable.run_request', 'INSERT') THEN
        RETURN timetable.request_run(config, parameters, run_after);
    END IF;
    SELECT c.chain_id INTO head
    FROM timetable.chain_execution_config c WHERE c.chain_execution_config = config;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no config %', config USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO timetable.run_request (chain_execution_config, parameters, run_after)
    VALUES (config, timetable.parameters_by_element(config, head, parameters), run_after)
    RETURNING run_request INTO request;
    RETURN request;
END $$;
COMMENT ON FUNCTION timetable.run(bigint, jsonb, timestamptz) IS
    'Asks for one run, now or at run_after, also while no daemon is up; returns the run_request';

CREATE OR REPLACE FUNCTION timetable.run(
    chain_name text, parameters jsonb DEFAULT NULL, run_after timestamptz DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    config bigint;
BEGIN
    SELECT c.chain_execution_config INTO config
    FROM timetable.chain_execution_config c WHERE c.chain_name = run.chain_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no config with the chain_name "%"', chain_name
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN timetable.run(config, parameters, run_after);
END $$;
COMMENT ON FUNCTION timetable.run(text, jsonb, timestamptz) IS
    'Asks for one run of the config with this chain_name; see run(bigint, jsonb, timestamptz)';

-- Whoever may write run_status may cancel.
CREATE OR REPLACE FUNCTION timetable.cancel_directly(run bigint, reason text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was timetable.execution_status;
BEGIN
    SELECT r.execution_status INTO was
    FROM timetable.run_status r WHERE r.run_status = run FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no run %', run USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF was NOT IN ('STARTED', 'WAITING') THEN
        RETURN false;
    END IF;
    UPDATE timetable.run_status r
    SET cancel_requested_at = clock_timestamp(), cancel_requested_by = session_user,
        reason = coalesce(cancel_directly.reason, 'cancelled by ' || session_user)
    WHERE r.run_status = run;
    IF was = 'WAITING' THEN
        UPDATE timetable.run_status r
        SET execution_status = 'CANCELLED', retry_at = NULL, finished = clock_timestamp(),
            last_status_update = clock_timestamp()
        WHERE r.run_status = run;
        UPDATE timetable.run_request q SET claimed_at = clock_timestamp()
        WHERE q.resumes = run AND q.claimed_at IS NULL;
        PERFORM timetable.redact_runs(ARRAY[run]);
        PERFORM timetable.wake_after(ARRAY[run]);
        -- No daemon ends it, so none tells those who follow it.
        PERFORM pg_notify('timetable_news', run || '!');
    ELSE
        PERFORM pg_notify('timetable_cancel', run::text);
    END IF;
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION timetable.cancel(run bigint, reason text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF has_table_privilege('timetable.run_status', 'UPDATE') THEN
        RETURN timetable.cancel_directly(run, reason);
    END IF;
    RETURN timetable.cancel_run(run, reason);
END $$;
COMMENT ON FUNCTION timetable.cancel(bigint, text) IS
    'Ends a run that is under way or WAITING: SELECT timetable.cancel(run_status); false when it has ended already';

-- Retention: what is over the bounds of timetable.retention goes, and what a config's keep_for and
-- keep_runs say. In small batches, each a transaction of its own, along indexes.
--
-- What stays, whatever the bounds: runs under way or WAITING; runs that ended within misfire_window
-- (an hour at least, for clocks that are set back); and the last fire of each config. For these
-- rows are what keeps a fire from being claimed twice, and misfires count from the last one.

CREATE OR REPLACE FUNCTION timetable.prune_key() RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_catalog.hashtextextended('carillon retention', 0)
$$;

-- How long ago that was; NULL for an unbounded time. Long ones must not leave the range of time.
CREATE OR REPLACE FUNCTION timetable.so_long_ago(length interval) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN clock_timestamp() - least(length, interval '1000 years');
END $$;

-- The key up to which rows are too many or too large, whatever their age: "bound" in the state. The
-- bytes are counted from the newest row backwards, a chunk a call, until "bounded" is there.
CREATE OR REPLACE FUNCTION timetable.prune_bound(
    state jsonb, rule timetable.retention, key text, bytes text
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bound bigint;
    lowest bigint;
    chunk bigint;
BEGIN
    IF state -> 'lowest' IS NULL THEN
        IF rule.keep_rows IS NOT NULL THEN
            EXECUTE format(
                'SELECT %1$I FROM timetable.%2$I WHERE %1$I IS NOT NULL
                ORDER BY %1$I DESC OFFSET $1 LIMIT 1', key, rule.table_name)
            INTO bound USING rule.keep_rows;
            state := state || jsonb_build_object('bound', bound);
        END IF;
        IF rule.keep_bytes IS NULL OR pg_total_relation_size(
            format('timetable.%I', rule.table_name)::regclass) <= rule.keep_bytes
        THEN
            RETURN state || '{"bounded": true}';
        END IF;
        state := state || '{"bytes": 0, "lowest": 9223372036854775807}';
    END IF;
    EXECUTE format(
        'WITH size AS (
            SELECT %1$I AS key, (%3$s)::bigint AS bytes FROM timetable.%2$I
            WHERE %1$I < $1 ORDER BY %1$I DESC LIMIT 20000
        ), total AS (
            SELECT key, sum(bytes) OVER (ORDER BY key DESC) AS bytes FROM size
        )
        SELECT min(key), max(key) FILTER (WHERE bytes > $2), max(bytes)::bigint FROM total',
        key, rule.table_name, bytes)
    INTO lowest, bound, chunk
    USING (state ->> 'lowest')::bigint, rule.keep_bytes - (state ->> 'bytes')::bigint;
    IF bound IS NOT NULL OR lowest IS NULL THEN
        RETURN state || jsonb_build_object('bounded', true,
            'bound', greatest(bound, (state ->> 'bound')::bigint));
    END IF;
    RETURN state || jsonb_build_object(
        'lowest', lowest, 'bytes', (state ->> 'bytes')::bigint + chunk);
END $$;

-- Adds to what was removed; a step that is over gives way to the next.
CREATE OR REPLACE FUNCTION timetable.prune_step(
    state jsonb, table_name text, rows bigint, next_step text
) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    state := jsonb_set(state, ARRAY['removed', table_name],
        to_jsonb(coalesce((state -> 'removed' ->> table_name)::bigint, 0) + coalesce(rows, 0)));
    IF next_step IS NULL THEN
        RETURN state;
    END IF;
    RETURN jsonb_build_object('step', next_step, 'removed', state -> 'removed');
END $$;

-- One batch of runs with what belongs to them: config by config, since each has bounds of its own,
-- and from its oldest run on.
CREATE OR REPLACE FUNCTION timetable.prune_runs(
    state jsonb, rule timetable.retention, size integer
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    least_id CONSTANT bigint := '-9223372036854775808';
    config bigint := (state ->> 'config')::bigint;
    after bigint := (state ->> 'after')::bigint;
    own timetable.chain_execution_config;
    exists_ boolean;
    old timestamptz;
    safe timestamptz;
    bound bigint;
    last_fire bigint;
    claimed timestamptz;
    r record;
    doomed bigint[] := '{}';
    looked integer := 0;
    is_over boolean := false;
    gone record;
BEGIN
    WHILE looked < size LOOP
        IF after IS NULL THEN
            SELECT min(s.chain_execution_config) INTO config FROM timetable.run_status s
            WHERE s.chain_execution_config > coalesce(config, least_id);
            is_over := config IS NULL;
            EXIT WHEN is_over;
            after := least_id;
        END IF;
        SELECT * INTO own FROM timetable.chain_execution_config c
        WHERE c.chain_execution_config = config;
        exists_ := FOUND;
        old := coalesce(timetable.so_long_ago(coalesce(own.keep_for, rule.keep_for)), '-infinity');
        safe := timetable.so_long_ago(
            greatest(coalesce(own.misfire_window, interval '0'), interval '1 hour'));
        bound := NULL;
        IF own.keep_runs IS NOT NULL THEN
            SELECT s.run_status INTO bound FROM timetable.run_status s
            WHERE s.chain_execution_config = config
            ORDER BY s.run_status DESC OFFSET own.keep_runs LIMIT 1;
        END IF;
        bound := coalesce(greatest(bound, (state ->> 'bound')::bigint), least_id);
        last_fire := NULL;
        looked := looked + 1;
        FOR r IN
            SELECT s.run_status, s.execution_status, s.scheduled_for, s.started, s.finished,
                s.last_status_update
            FROM timetable.run_status s
            WHERE s.chain_execution_config = config AND s.run_status > after
            ORDER BY s.run_status
        LOOP
            -- Not later than it was claimed: later rows were claimed later, and ended later.
            claimed := coalesce(r.scheduled_for, r.started, r.finished, r.last_status_update);
            IF claimed >= safe OR (claimed >= old AND r.run_status > bound) THEN
                after := NULL;
                EXIT;
            END IF;
            looked := looked + 1;
            IF coalesce(r.execution_status, 'DEAD') NOT IN ('STARTED', 'WAITING')
                AND coalesce(r.finished, r.last_status_update, r.started) < safe
                AND (r.run_status <= bound
                    OR coalesce(r.finished, r.last_status_update, r.started) < old)
            THEN
                IF last_fire IS NULL AND exists_ THEN
                    SELECT s.run_status INTO last_fire FROM timetable.run_status s
                    WHERE s.chain_execution_config = config AND s.scheduled_for IS NOT NULL
                    ORDER BY s.scheduled_for DESC LIMIT 1;
                    last_fire := coalesce(last_fire, least_id);
                END IF;
                IF r.run_status IS DISTINCT FROM last_fire THEN
                    doomed := doomed || r.run_status;
                END IF;
            END IF;
            after := r.run_status;
            EXIT WHEN looked >= size;
        END LOOP;
        -- All of its rows were looked at, unless there was no room for more.
        IF looked < size THEN
            after := NULL;
        END IF;
    END LOOP;

    WITH gone AS (
        DELETE FROM timetable.run_status s
        WHERE s.run_status IN (
            -- What somebody holds goes another time.
            SELECT l.run_status FROM timetable.run_status l
            WHERE l.run_status = ANY (doomed)
                AND coalesce(l.execution_status, 'DEAD') NOT IN ('STARTED', 'WAITING')
            FOR UPDATE SKIP LOCKED)
        RETURNING s.run_status, s.run_request
    ), tasks AS (
        DELETE FROM timetable.execution_log e USING gone g WHERE e.run_status = g.run_status
        RETURNING 1
    ), requests AS (
        DELETE FROM timetable.run_request q USING gone g
        WHERE q.run_request = g.run_request AND q.claimed_at IS NOT NULL
    ), resumptions AS (
        DELETE FROM timetable.run_request q USING gone g
        WHERE q.resumes = g.run_status AND q.claimed_at IS NOT NULL
    )
    SELECT (SELECT count(*) FROM gone) AS runs, (SELECT count(*) FROM tasks) AS tasks INTO gone;

    state := timetable.prune_step(state, 'execution_log', gone.tasks, NULL);
    state := state || jsonb_build_object('config', config, 'after', after);
    RETURN timetable.prune_step(
        state, 'run_status', gone.runs, CASE WHEN is_over THEN 'execution_log' END);
END $$;

-- One batch of what tasks did, where that goes before its runs, or has none any more.
CREATE OR REPLACE FUNCTION timetable.prune_executions(
    state jsonb, rule timetable.retention, size integer
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    old CONSTANT timestamptz := coalesce(timetable.so_long_ago(rule.keep_for), '-infinity');
    bound CONSTANT bigint := coalesce((state ->> 'bound')::bigint, '-9223372036854775808');
    after CONSTANT bigint := coalesce((state ->> 'after')::bigint, '-9223372036854775808');
    -- Else what has a run goes with it: that of the last fire stays as long as that.
    is_stricter CONSTANT boolean := NOT EXISTS (
        SELECT FROM timetable.retention t
        WHERE t.table_name = 'run_status' AND t.keep_for <= rule.keep_for);
    through bigint;
    has_old boolean;
    removed bigint;
BEGIN
    SELECT max(few.run_status),
        bool_or(few.run_status <= bound OR coalesce(few.finished, few.last_run) < old)
    INTO through, has_old
    FROM (
        SELECT e.run_status, e.finished, e.last_run FROM timetable.execution_log e
        WHERE e.run_status > after ORDER BY e.run_status LIMIT size
    ) AS few;
    IF has_old IS NOT TRUE THEN
        -- Those of no run, which nothing of ours writes.
        DELETE FROM timetable.execution_log e
        WHERE e.run_status IS NULL AND coalesce(e.finished, e.last_run) < old;
        GET DIAGNOSTICS removed = ROW_COUNT;
        RETURN timetable.prune_step(state, 'execution_log', removed, 'log');
    END IF;
    -- Those of a config with a keep_for of its own go with their runs.
    DELETE FROM timetable.execution_log e
    WHERE e.run_status > after AND e.run_status <= through
        AND (e.run_status <= bound
            OR (coalesce(e.finished, e.last_run) < old AND NOT EXISTS (
                SELECT FROM timetable.chain_execution_config c
                WHERE c.chain_execution_config = e.chain_execution_config
                    AND c.keep_for IS NOT NULL)))
        AND NOT EXISTS (
            SELECT FROM timetable.run_status r
            WHERE r.run_status = e.run_status
                AND (r.execution_status IN ('STARTED', 'WAITING')
                    OR (e.run_status > bound AND NOT is_stricter)));
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN timetable.prune_step(
        state || jsonb_build_object('after', through), 'execution_log', removed, NULL);
END $$;

-- One batch of what the daemons said.
CREATE OR REPLACE FUNCTION timetable.prune_lines(
    state jsonb, rule timetable.retention, size integer
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    old CONSTANT timestamptz := coalesce(timetable.so_long_ago(rule.keep_for), '-infinity');
    bound CONSTANT bigint := coalesce((state ->> 'bound')::bigint, '-9223372036854775808');
    after CONSTANT bigint := coalesce((state ->> 'after')::bigint, '-9223372036854775808');
    done record;
BEGIN
    WITH few AS (
        SELECT l.id, l.id <= bound OR coalesce(l.ts < old, false) AS goes
        FROM timetable.log l WHERE l.id > after ORDER BY l.id LIMIT size
    ), gone AS (
        DELETE FROM timetable.log l USING few s WHERE l.id = s.id AND s.goes RETURNING 1
    )
    SELECT (SELECT max(id) FROM few) AS through, (SELECT count(*) FROM gone) AS rows INTO done;
    RETURN timetable.prune_step(
        state || jsonb_build_object('after', done.through), 'log', done.rows,
        CASE WHEN done.rows = 0 THEN 'rest' END);
END $$;

-- One batch of requests that were settled and have no run, then workers that are no more.
CREATE OR REPLACE FUNCTION timetable.prune_rest(
    state jsonb, rule timetable.retention, size integer
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    after CONSTANT bigint := coalesce((state ->> 'after')::bigint, '-9223372036854775808');
    done record;
BEGIN
    WITH few AS (
        SELECT q.run_request,
            q.claimed_at < timetable.so_long_ago('1 day')
            AND NOT EXISTS (
                SELECT FROM timetable.run_status r WHERE r.run_request = q.run_request)
            AND NOT EXISTS (
                SELECT FROM timetable.run_status r WHERE r.run_status = q.resumes) AS goes
        FROM timetable.run_request q
        WHERE q.run_request > after ORDER BY q.run_request LIMIT size
    ), gone AS (
        DELETE FROM timetable.run_request q USING few s
        WHERE q.run_request = s.run_request AND s.goes RETURNING 1
    )
    SELECT (SELECT max(run_request) FROM few) AS through, (SELECT count(*) FROM gone) AS rows
    INTO done;
    IF done.rows > 0 THEN
        RETURN state || jsonb_build_object('after', done.through);
    END IF;
    -- Not one that a config is bound to: by its row it is known until when it claimed what was due.
    DELETE FROM timetable.worker w
    WHERE w.stopped_at < timetable.so_long_ago(coalesce(rule.keep_for, interval '30 days'))
        AND NOT EXISTS (
            SELECT FROM timetable.chain_execution_config c WHERE c.client_name = w.client_name);
    UPDATE timetable.retention t
    SET pruned_at = clock_timestamp(),
        removed = coalesce((state -> 'removed' ->> t.table_name)::bigint, 0);
    RETURN jsonb_build_object('done', true, 'removed', state -> 'removed');
END $$;

-- One batch of all of that. Begins with '{}', or {"unless_within": interval}; what it returns is
-- given to the next call, until it holds "done": with what was "removed" from which table, or
-- "busy" when another session is at it.
CREATE OR REPLACE FUNCTION timetable.prune_some(state jsonb, size integer DEFAULT 1000)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE
-- By index, also by plans made while the tables were empty.
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET lock_timeout = '1s'
AS $$
DECLARE
    step CONSTANT text := coalesce(state ->> 'step', 'run_status');
    rule timetable.retention;
BEGIN
    IF NOT pg_try_advisory_xact_lock(timetable.prune_key()) THEN
        RETURN '{"done": true, "busy": true}';
    END IF;
    IF state ? 'unless_within' AND EXISTS (
        SELECT FROM timetable.retention t
        WHERE t.pruned_at BETWEEN clock_timestamp() - (state ->> 'unless_within')::interval
            AND clock_timestamp())
    THEN
        RETURN '{"done": true}';
    END IF;
    state := jsonb_build_object('removed', '{}'::jsonb) || (state - 'unless_within');
    SELECT * INTO rule FROM timetable.retention t
    WHERE t.table_name = CASE step WHEN 'rest' THEN 'run_status' ELSE step END;
    IF NOT state ? 'bounded' AND step <> 'rest' THEN
        RETURN timetable.prune_bound(
            state, rule,
            CASE step WHEN 'log' THEN 'id' ELSE 'run_status' END,
            -- With what the row itself and its entries in indexes take.
            CASE step WHEN 'log' THEN '80 + coalesce(pg_column_size(message), 0)
                + coalesce(pg_column_size(client_name), 0)'
            WHEN 'run_status' THEN '240 + coalesce(pg_column_size(parameters), 0)
                + coalesce(pg_column_size(error), 0) + coalesce(pg_column_size(reason), 0)'
            ELSE '120 + pg_column_size(name) + coalesce(pg_column_size(script), 0)
                + coalesce(pg_column_size(output), 0) + coalesce(pg_column_size(error), 0)
                + coalesce(pg_column_size(parameters), 0)
                + coalesce(pg_column_size(client_name), 0)' END)
            || jsonb_build_object('step', step);
    END IF;
    RETURN CASE step
        WHEN 'run_status' THEN timetable.prune_runs(state, rule, size)
        WHEN 'execution_log' THEN timetable.prune_executions(state, rule, size)
        WHEN 'log' THEN timetable.prune_lines(state, rule, size)
        ELSE timetable.prune_rest(state, rule, size) END;
END $$;

-- No SET: it would forbid to COMMIT.
CREATE OR REPLACE PROCEDURE timetable.prune(INOUT removed jsonb DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
    state pg_catalog.jsonb := '{}';
BEGIN
    LOOP
        state := timetable.prune_some(state);
        COMMIT;
        EXIT WHEN state OPERATOR(pg_catalog.->>) 'done' IS NOT NULL;
    END LOOP;
    IF state OPERATOR(pg_catalog.->>) 'busy' IS NOT NULL THEN
        RAISE NOTICE 'another session prunes now, so that this one does not';
    END IF;
    removed := state OPERATOR(pg_catalog.->) 'removed';
END $$;
COMMENT ON PROCEDURE timetable.prune(jsonb) IS
    'Removes what is over the bounds of timetable.retention, as the daemons do each hour: CALL timetable.prune()';

CREATE OR REPLACE FUNCTION timetable.notify_retention() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('timetable_config', 'retention ' || TG_OP);
    RETURN NULL;
END $$;

-- Not for what pruning itself writes there.
CREATE TRIGGER notify_change
    AFTER INSERT OR UPDATE OF table_name, keep_for, keep_rows, keep_bytes OR DELETE
    ON timetable.retention
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_retention();

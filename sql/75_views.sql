-- Views for people: what there is, what runs, what failed.

-- When a config fires, as text: its run_at_ columns as five fields of cron.
CREATE OR REPLACE FUNCTION timetable.schedule_text(c timetable.chain_execution_config) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN coalesce(c.schedule, concat_ws(' ',
        coalesce(c.run_at_minute::text, '*'), coalesce(c.run_at_hour::text, '*'),
        coalesce(c.run_at_day::text, '*'), coalesce(c.run_at_month::text, '*'),
        coalesce(c.run_at_day_of_week::text, '*')));
END $$;

-- What a config's schedule means, and when it fires next. NULL is also the answer for a row that can't
-- be read, so that it keeps nobody from seeing the others.
CREATE OR REPLACE FUNCTION timetable.job_in_words(c timetable.chain_execution_config) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN timetable.schedule_in_words(timetable.schedule_text(c), c.chain_execution_config);
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION timetable.job_next_fire(
    c timetable.chain_execution_config, zone text
) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    schedule CONSTANT text := timetable.schedule_text(c);
    last record;
    next_fire timestamptz;
BEGIN
    IF c.live IS NOT TRUE OR c.chain_id IS NULL OR c.paused_until = 'infinity' THEN
        RETURN NULL;
    END IF;
    IF schedule ~* '^\s*@after' THEN
        SELECT r.scheduled_for, r.finished INTO last FROM timetable.run_status r
        WHERE r.chain_execution_config = c.chain_execution_config
            AND r.scheduled_for IS NOT NULL
        ORDER BY r.scheduled_for DESC LIMIT 1;
        next_fire := CASE WHEN last.scheduled_for IS NULL THEN c.scheduled_since
            ELSE last.finished + timetable.duration_microseconds(schedule)::double precision
                * interval '1 microsecond' END;
        -- Nobody knows when a run under way will end.
        next_fire := CASE WHEN next_fire IS NOT NULL
            THEN greatest(next_fire, c.starts_at, c.paused_until) END;
        RETURN CASE WHEN c.ends_at IS NULL OR next_fire <= c.ends_at THEN next_fire END;
    END IF;
    RETURN (
        SELECT f.fire
        FROM timetable.fires_after(schedule, coalesce(c.time_zone, zone),
            greatest(clock_timestamp(), c.paused_until - interval '1 microsecond'), 1,
            c.chain_execution_config, c.starts_at, c.ends_at, c.jitter, c.on_gap, c.on_repeat)
            AS f (fire));
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

-- As in 72_rights, each view says by itself whose rows it shows.
CREATE OR REPLACE VIEW timetable.jobs WITH (security_barrier) AS
    SELECT c.chain_execution_config AS config, c.chain_name,
        CASE
            WHEN c.live IS NOT TRUE THEN 'not live'
            WHEN c.chain_id IS NULL THEN 'no chain'
            WHEN c.paused_until > pg_catalog.clock_timestamp() THEN 'paused'
            ELSE 'live'
        END AS state,
        timetable.schedule_text(c) AS schedule, timetable.job_in_words(c) AS in_words,
        coalesce(c.time_zone, z.name) AS time_zone,
        timetable.job_next_fire(c, z.name) AS next_fire,
        fire.scheduled_for AS last_fire, ended.run_status AS last_run,
        ended.execution_status AS last_outcome, ended.finished AS last_end,
        CASE WHEN fire.execution_status NOT IN ('MISSED', 'SKIPPED')
            THEN fire.started - fire.scheduled_for END AS lateness,
        CASE WHEN ended.execution_status <> 'CHAIN_DONE'
            THEN coalesce(ended.error, ended.reason) END AS last_error,
        (SELECT count(*) FROM timetable.run_status r
            WHERE r.chain_execution_config = c.chain_execution_config
                AND r.execution_status = 'STARTED') AS running,
        coalesce(asked.waiting, 0) AS waiting, asked.retry_at,
        c.client_name, c.paused_until, c.pause_note
    FROM timetable.chain_execution_config c
    CROSS JOIN (SELECT timetable.default_time_zone() AS name OFFSET 0) AS z
    LEFT JOIN LATERAL (
        SELECT r.scheduled_for, r.started, r.execution_status FROM timetable.run_status r
        WHERE r.chain_execution_config = c.chain_execution_config
            AND r.scheduled_for IS NOT NULL
        ORDER BY r.scheduled_for DESC LIMIT 1
    ) AS fire ON true
    LEFT JOIN LATERAL (
        SELECT r.run_status, r.execution_status, r.finished, r.error, r.reason
        FROM timetable.run_status r
        WHERE r.chain_execution_config = c.chain_execution_config AND r.finished IS NOT NULL
        ORDER BY r.run_status DESC LIMIT 1
    ) AS ended ON true
    LEFT JOIN (
        SELECT q.chain_execution_config, count(*) AS waiting,
            min(q.run_after) FILTER (WHERE q.requested_by = 'retries') AS retry_at
        FROM timetable.run_request q WHERE q.claimed_at IS NULL
        GROUP BY q.chain_execution_config
    ) AS asked ON asked.chain_execution_config = c.chain_execution_config
    WHERE (SELECT timetable.sees_all()) OR timetable.acts_as(current_user, c.owner);
COMMENT ON VIEW timetable.jobs IS
    'Each config: whether it is live, its schedule and what that means, when it fires next, and what became of its last fire and of the last run that ended; lateness is its last fire''s, waiting counts requests that have not begun, retry_at is when a failed run is tried again';
COMMENT ON COLUMN timetable.jobs.last_outcome IS
    'Of the last run that has ended, by whatever it was asked for';

-- Whether the caller may be told of what runs or waits of a config, by functions with the rights of
-- the owner: these can also be called by themselves, with rows that somebody made up.
CREATE OR REPLACE FUNCTION timetable.may_see_running(config bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    who CONSTANT text := timetable.caller();
    owner text;
BEGIN
    SELECT c.owner INTO owner FROM timetable.chain_execution_config c
    WHERE c.chain_execution_config = config;
    RETURN timetable.may_look_at(owner)
        OR (NOT timetable.acts_as(who, 'timetable_author')
            AND has_table_privilege(who, 'timetable.running', 'SELECT'));
END $$;

-- The name of the task that a run is at: the one after the last that has a row in execution_log,
-- or that one still, while it has rows of parameters left. With the rights of the owner, for views:
-- an author reads no base tasks.
CREATE OR REPLACE FUNCTION timetable.current_task(run timetable.run_status) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last bigint;
    rows bigint;
    element bigint;
    task text;
BEGIN
    SELECT * INTO run FROM timetable.run_status r WHERE r.run_status = run.run_status;
    IF NOT FOUND OR NOT timetable.may_see_running(run.chain_execution_config) THEN
        RETURN NULL;
    END IF;
    SELECT e.chain_id INTO last FROM timetable.execution_log e
    WHERE e.run_status = run.run_status AND e.attempt = run.attempt
    ORDER BY e.finished DESC LIMIT 1;
    IF last IS NULL THEN
        element := run.chain_id;
    ELSE
        SELECT count(*) INTO rows FROM timetable.execution_log e
        WHERE e.run_status = run.run_status AND e.attempt = run.attempt AND e.chain_id = last;
        IF rows < (CASE jsonb_typeof(run.parameters -> last::text) WHEN 'array'
            THEN jsonb_array_length(run.parameters -> last::text) ELSE 1 END)
        THEN
            element := last;
        ELSE
            SELECT t.chain_id INTO element FROM timetable.task_chain t WHERE t.parent_id = last;
        END IF;
    END IF;
    SELECT b.name INTO task
    FROM timetable.task_chain t JOIN timetable.base_task b ON b.task_id = t.task_id
    WHERE t.chain_id = element;
    RETURN task;
END $$;

-- Why a request has not begun; NULL when nothing is known to be in its way. With the rights of the
-- owner: of what keeps him waiting, an author learns the name alone.
CREATE OR REPLACE FUNCTION timetable.waits_for(q timetable.run_request) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c timetable.chain_execution_config;
    under_way bigint;
    reason text;
BEGIN
    SELECT * INTO c FROM timetable.chain_execution_config e
    WHERE e.chain_execution_config = q.chain_execution_config;
    IF NOT FOUND THEN
        RETURN 'its config does not exist any more';
    ELSIF NOT timetable.may_see_running(c.chain_execution_config) THEN
        RETURN NULL;
    END IF;
    IF q.run_after > clock_timestamp() THEN
        RETURN CASE q.requested_by WHEN 'retries' THEN 'its next attempt' ELSE 'its time' END
            || format(' is %s', date_trunc('second', q.run_after));
    END IF;
    reason := timetable.blocker(c.chain_execution_config, q.run_request);
    IF reason IS NOT NULL THEN
        RETURN reason;
    END IF;
    SELECT count(*) INTO under_way FROM timetable.run_status r
    WHERE r.chain_execution_config = c.chain_execution_config
        AND r.execution_status = 'STARTED';
    IF under_way >= coalesce(c.max_instances, 16) THEN
        RETURN format('max_instances: %s of this config are under way', under_way);
    END IF;
    RETURN timetable.missing_worker(c.client_name);
END $$;

-- Says so when no daemon is there that could run what is bound to a worker, or to none (NULL).
CREATE OR REPLACE FUNCTION timetable.missing_worker(wanted text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last record;
BEGIN
    IF EXISTS (
        SELECT FROM timetable.workers w
        WHERE w.state = 'serving' AND (wanted IS NULL OR w.client_name = wanted))
    THEN
        RETURN NULL;
    END IF;
    SELECT w.client_name, w.state, w.seen_at, w.stopped_at INTO last FROM timetable.workers w
    WHERE wanted IS NULL OR w.client_name = wanted
    ORDER BY w.seen_at DESC NULLS LAST LIMIT 1;
    RETURN CASE WHEN wanted IS NULL THEN 'no daemon serves this database'
        ELSE format('its worker "%s" does not serve', wanted) END
        || CASE WHEN last.client_name IS NULL THEN '; it never did'
            WHEN wanted IS NULL THEN format('; the last was "%s", %s', last.client_name, last.state)
            ELSE format('; it is %s', last.state) END
        || coalesce(' since ' || date_trunc('second', coalesce(last.stopped_at, last.seen_at)), '');
END $$;

CREATE OR REPLACE VIEW timetable.running WITH (security_barrier) AS
    SELECT r.run_status AS run, r.chain_execution_config AS config, c.chain_name,
        r.execution_status::text AS state, r.client_name AS worker, r.started AS since,
        pg_catalog.clock_timestamp() - r.started AS elapsed, r.attempt,
        timetable.current_task(r) AS task,
        r.cancel_requested_at IS NOT NULL AS is_cancelled,
        NULL::bigint AS request, NULL::text AS reason
    FROM timetable.run_status r
    LEFT JOIN timetable.chain_execution_config c
        ON c.chain_execution_config = r.chain_execution_config
    WHERE r.execution_status = 'STARTED'
        AND ((SELECT timetable.sees_all()) OR timetable.acts_as(current_user, c.owner))
    UNION ALL
    SELECT q.resumes, q.chain_execution_config, c.chain_name, 'WAITING', NULL,
        coalesce(q.blocked_at, q.requested_at),
        pg_catalog.clock_timestamp() - coalesce(q.blocked_at, q.requested_at),
        coalesce(r.attempt, 0) + 1, NULL, false, q.run_request, timetable.waits_for(q)
    FROM timetable.run_request q
    LEFT JOIN timetable.run_status r ON r.run_status = q.resumes
    LEFT JOIN timetable.chain_execution_config c
        ON c.chain_execution_config = q.chain_execution_config
    WHERE q.claimed_at IS NULL
        AND ((SELECT timetable.sees_all()) OR timetable.acts_as(current_user, c.owner));
COMMENT ON VIEW timetable.running IS
    'The runs under way, with the task that each is at, and what was asked for and waits, with what it waits for; since is when it began to run or to wait';

CREATE OR REPLACE VIEW timetable.failures WITH (security_barrier) AS
    SELECT r.finished AS at, r.run_status AS run, r.chain_execution_config AS config, c.chain_name,
        r.execution_status AS outcome, r.scheduled_for, r.attempt AS attempts,
        r.client_name AS worker, failed.name AS task,
        coalesce(r.error, CASE WHEN r.missed_count > 1 THEN pg_catalog.format(
            '%s fires, the last at %s: %s', r.missed_count, r.missed_until, r.reason) END,
            r.reason) AS error,
        r.sqlstate, failed.returncode
    FROM timetable.run_status r
    LEFT JOIN timetable.chain_execution_config c
        ON c.chain_execution_config = r.chain_execution_config
    LEFT JOIN LATERAL (
        SELECT e.name, e.returncode FROM timetable.execution_log e
        WHERE e.run_status = r.run_status AND e.attempt = r.attempt AND e.returncode <> 0
        ORDER BY e.finished DESC LIMIT 1
    ) AS failed ON r.execution_status <> 'MISSED'
    WHERE r.execution_status IN ('CHAIN_FAILED', 'TIMED_OUT', 'DEAD', 'CANCELLED', 'MISSED')
        AND ((SELECT timetable.sees_all()) OR timetable.acts_as(current_user, c.owner))
    ORDER BY r.finished DESC;
COMMENT ON VIEW timetable.failures IS
    'What did not end well, the newest first: failed, timed out, dead, cancelled, and fires that nobody could claim; with the task that failed, its SQLSTATE or exit code. What was SKIPPED stands in run_status';

-- What carillon installed as version 3 of its schema (commit d506187), with data in it: the first
-- version that upgrades begin at. Made from the files in sql/ of that commit; never changed.

-- The schema and its types. The labels of the seed come first, in the seed's order.

CREATE SCHEMA timetable;
COMMENT ON SCHEMA timetable IS 'Carillon: jobs, when they run, and what happened';

CREATE TABLE timetable.schema_version (
    version integer PRIMARY KEY,
    installed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE timetable.schema_version IS
    'One row per version of this schema; the highest is what is installed';

CREATE TYPE timetable.task_kind AS ENUM ('SQL', 'SHELL', 'BUILTIN');

CREATE TYPE timetable.log_type AS ENUM ('DEBUG', 'NOTICE', 'LOG', 'ERROR', 'PANIC', 'USER');

CREATE TYPE timetable.execution_status AS ENUM (
    'STARTED', 'CHAIN_FAILED', 'CHAIN_DONE', 'DEAD',
    'WAITING', 'TIMED_OUT', 'CANCELLED', 'SKIPPED', 'MISSED'
);

-- The seed's tables with their columns, names and defaults, and what was added to them.
-- A check is named by the sentence that it makes true: its name is what a user reads.

CREATE TABLE timetable.database_connection (
    database_connection bigserial PRIMARY KEY,
    connect_string text NOT NULL,
    comment text
);
COMMENT ON COLUMN timetable.database_connection.connect_string IS
    'A libpq URI or keyword string; keep passwords in a password file';

CREATE TABLE timetable.base_task (
    task_id bigserial PRIMARY KEY,
    name text NOT NULL UNIQUE,
    kind timetable.task_kind NOT NULL DEFAULT 'SQL',
    script text NOT NULL
);
COMMENT ON TABLE timetable.base_task IS 'One thing to do: SQL, a program (SHELL) or a built-in';
COMMENT ON COLUMN timetable.base_task.script IS
    'SQL: the statements; SHELL: the path of a program, no shell is used; BUILTIN: its name';

CREATE TABLE timetable.task_chain (
    chain_id bigserial PRIMARY KEY,
    parent_id bigint UNIQUE
        REFERENCES timetable.task_chain (chain_id) ON UPDATE CASCADE ON DELETE CASCADE,
    task_id bigint NOT NULL
        REFERENCES timetable.base_task (task_id) ON UPDATE CASCADE ON DELETE CASCADE,
    run_uid text,
    database_connection bigint
        REFERENCES timetable.database_connection (database_connection)
        ON UPDATE CASCADE ON DELETE CASCADE,
    ignore_error boolean DEFAULT false,
    autonomous boolean NOT NULL DEFAULT false,
    timeout interval,
    CONSTRAINT timeout_of_an_element_is_positive CHECK (timeout > interval '0')
);
COMMENT ON TABLE timetable.task_chain IS
    'Elements of chains; an element without parent_id is a head and gives its chain the id';
CREATE INDEX task_chain_task_id ON timetable.task_chain (task_id);

CREATE TABLE timetable.chain_execution_config (
    chain_execution_config bigserial PRIMARY KEY,
    chain_id bigint
        REFERENCES timetable.task_chain (chain_id) ON UPDATE CASCADE ON DELETE CASCADE,
    chain_name text NOT NULL UNIQUE,
    run_at_minute integer,
    run_at_hour integer,
    run_at_day integer,
    run_at_month integer,
    run_at_day_of_week integer,
    max_instances integer,
    live boolean DEFAULT false,
    self_destruct boolean DEFAULT false,
    exclusive_execution boolean DEFAULT false,
    excluded_execution_configs integer[],
    schedule text,
    time_zone text,
    starts_at timestamptz,
    ends_at timestamptz,
    client_name text,
    misfire text NOT NULL DEFAULT 'SKIP',
    misfire_window interval NOT NULL DEFAULT '1 day',
    misfire_grace interval NOT NULL DEFAULT '60 seconds',
    scheduled_since timestamptz DEFAULT clock_timestamp(),
    overlap text NOT NULL DEFAULT 'SKIP',
    timeout interval,
    jitter interval,
    on_gap text NOT NULL DEFAULT 'RUN',
    on_repeat text NOT NULL DEFAULT 'FIRST',
    retries integer NOT NULL DEFAULT 0,
    retry_delay interval NOT NULL DEFAULT '1 second',
    on_failure bigint
        REFERENCES timetable.chain_execution_config (chain_execution_config)
        ON UPDATE CASCADE ON DELETE SET NULL,

    CONSTRAINT run_at_minute_is_from_0_to_59 CHECK (run_at_minute BETWEEN 0 AND 59),
    CONSTRAINT run_at_hour_is_from_0_to_23 CHECK (run_at_hour BETWEEN 0 AND 23),
    CONSTRAINT run_at_day_is_from_1_to_31 CHECK (run_at_day BETWEEN 1 AND 31),
    CONSTRAINT run_at_month_is_from_1_to_12 CHECK (run_at_month BETWEEN 1 AND 12),
    CONSTRAINT run_at_day_of_week_is_from_0_to_7 CHECK (run_at_day_of_week BETWEEN 0 AND 7),
    -- With a day of the week, either day matches, so the config still fires.
    CONSTRAINT run_at_day_exists_in_run_at_month CHECK (
        run_at_day_of_week IS NOT NULL
        OR NOT (run_at_day > 29 AND run_at_month = 2)
        AND NOT (run_at_day > 30 AND run_at_month IN (4, 6, 9, 11))
    ),
    CONSTRAINT either_schedule_or_run_at_columns CHECK (
        schedule IS NULL
        OR num_nonnulls(
            run_at_minute, run_at_hour, run_at_day, run_at_month, run_at_day_of_week) = 0
    ),
    CONSTRAINT max_instances_is_positive CHECK (max_instances > 0),
    CONSTRAINT ends_at_is_after_starts_at CHECK (ends_at > starts_at),
    CONSTRAINT misfire_is_skip_or_once_or_all CHECK (misfire IN ('SKIP', 'ONCE', 'ALL')),
    CONSTRAINT misfire_window_is_not_negative CHECK (misfire_window >= interval '0'),
    CONSTRAINT misfire_grace_is_not_negative CHECK (misfire_grace >= interval '0'),
    CONSTRAINT overlap_is_skip_or_wait CHECK (overlap IN ('SKIP', 'WAIT')),
    CONSTRAINT timeout_is_positive CHECK (timeout > interval '0'),
    CONSTRAINT jitter_is_not_negative CHECK (jitter >= interval '0'),
    CONSTRAINT on_gap_is_run_or_skip CHECK (on_gap IN ('RUN', 'SKIP')),
    CONSTRAINT on_repeat_is_first_or_both CHECK (on_repeat IN ('FIRST', 'BOTH')),
    CONSTRAINT retries_is_not_negative CHECK (retries >= 0),
    CONSTRAINT retry_delay_is_not_negative CHECK (retry_delay >= interval '0'),
    CONSTRAINT on_failure_is_another_config CHECK (on_failure <> chain_execution_config)
);
COMMENT ON TABLE timetable.chain_execution_config IS
    'When a chain runs: schedule or run_at_ columns (NULL = any), limits, options';
COMMENT ON COLUMN timetable.chain_execution_config.max_instances IS
    'How many runs of this config may be under way at once; NULL = 16';
COMMENT ON COLUMN timetable.chain_execution_config.exclusive_execution IS
    'Its runs are alone: none begins while any other is under way, and none beside it';
COMMENT ON COLUMN timetable.chain_execution_config.excluded_execution_configs IS
    'Configs whose runs are never under way together with runs of this one';
COMMENT ON COLUMN timetable.chain_execution_config.overlap IS
    'A fire that has no room: SKIP it, or let it WAIT its turn (at most 100 of a config)';
COMMENT ON COLUMN timetable.chain_execution_config.self_destruct IS
    'Delete this config when its chain was done';
CREATE INDEX chain_execution_config_chain_id ON timetable.chain_execution_config (chain_id);
-- Those that keep others from running: looked at in every claim.
CREATE INDEX chain_execution_config_restricting
    ON timetable.chain_execution_config (chain_execution_config)
    WHERE exclusive_execution OR excluded_execution_configs <> '{}';
CREATE INDEX chain_execution_config_on_failure ON timetable.chain_execution_config (on_failure)
    WHERE on_failure IS NOT NULL;

CREATE TABLE timetable.chain_execution_parameters (
    chain_execution_config bigint
        REFERENCES timetable.chain_execution_config (chain_execution_config)
        ON UPDATE CASCADE ON DELETE CASCADE,
    chain_id bigint
        REFERENCES timetable.task_chain (chain_id) ON UPDATE CASCADE ON DELETE CASCADE,
    order_id integer CONSTRAINT order_id_is_positive CHECK (order_id > 0),
    value jsonb,
    PRIMARY KEY (chain_execution_config, chain_id, order_id)
);
COMMENT ON TABLE timetable.chain_execution_parameters IS
    'Parameters of one element of the chain under one config: each row is one invocation';
CREATE INDEX chain_execution_parameters_chain_id
    ON timetable.chain_execution_parameters (chain_id);

CREATE TABLE timetable.log (
    id bigserial PRIMARY KEY,
    ts timestamptz DEFAULT now(),
    client_name text,
    pid integer NOT NULL,
    log_level timetable.log_type NOT NULL,
    message text
);

-- No foreign keys from here on: what happened stays when what was configured goes.

CREATE TABLE timetable.execution_log (
    chain_execution_config bigint,
    chain_id bigint,
    task_id bigint,
    name text NOT NULL,
    script text,
    kind text,
    last_run timestamptz DEFAULT now(),
    finished timestamptz,
    returncode integer,
    pid bigint,
    run_status bigint,
    output text,
    error text,
    sqlstate text,
    parameters jsonb,
    client_name text,
    attempt integer
);
COMMENT ON TABLE timetable.execution_log IS 'One row for each invocation of a task';
CREATE INDEX execution_log_run_status ON timetable.execution_log (run_status);

CREATE TABLE timetable.run_request (
    run_request bigserial PRIMARY KEY,
    chain_execution_config bigint NOT NULL,
    parameters jsonb,
    run_after timestamptz CONSTRAINT run_after_is_finite CHECK (isfinite(run_after)),
    requested_by text NOT NULL DEFAULT session_user,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    claimed_at timestamptz,
    resumes bigint,
    failed_run bigint,
    blocked_at timestamptz
);
COMMENT ON TABLE timetable.run_request IS
    'Runs asked for now or at run_after; claimed_at tells when a worker took it';
COMMENT ON COLUMN timetable.run_request.resumes IS
    'The WAITING run that this request lets go on; NULL asks for a run of its own';
COMMENT ON COLUMN timetable.run_request.blocked_at IS
    'Since when it waits for runs that are in its way; whoever conflicts with it and came later waits too';
COMMENT ON COLUMN timetable.run_request.failed_run IS
    'The run whose failure asked for this one by on_failure';
CREATE INDEX run_request_resumes ON timetable.run_request (resumes) WHERE claimed_at IS NULL;
CREATE INDEX run_request_blocked ON timetable.run_request (run_request)
    WHERE claimed_at IS NULL AND blocked_at IS NOT NULL;
CREATE INDEX run_request_open ON timetable.run_request (run_request) WHERE claimed_at IS NULL;

CREATE TABLE timetable.run_status (
    run_status bigserial PRIMARY KEY,
    -- The seed's column for the first of several rows; here a run has one row.
    start_status bigint DEFAULT currval('timetable.run_status_run_status_seq'),
    execution_status timetable.execution_status,
    chain_id bigint,
    current_execution_element bigint,
    started timestamptz,
    last_status_update timestamptz DEFAULT clock_timestamp(),
    chain_execution_config bigint,
    scheduled_for timestamptz,
    client_name text,
    parameters jsonb,
    attempt integer NOT NULL DEFAULT 1,
    retry_at timestamptz,
    finished timestamptz,
    error text,
    sqlstate text,
    reason text,
    missed_count bigint,
    missed_until timestamptz,
    cancel_requested_at timestamptz,
    cancel_requested_by text,
    run_request bigint CONSTRAINT a_request_is_claimed_once UNIQUE,
    CONSTRAINT a_fire_is_claimed_once UNIQUE (chain_execution_config, scheduled_for)
);
COMMENT ON TABLE timetable.run_status IS
    'One row for each run, kept up to date; a fire that did not run has one too, with its reason';
CREATE INDEX run_status_under_way ON timetable.run_status (chain_execution_config)
    WHERE execution_status = 'STARTED';

CREATE TABLE timetable.worker (
    client_name text PRIMARY KEY,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz,
    claimed_until timestamptz,
    stopped_at timestamptz,
    stopped_by text
);
COMMENT ON TABLE timetable.worker IS 'One row for each daemon that ever served this database';
COMMENT ON COLUMN timetable.worker.seen_at IS
    'When it last proved to serve. NULL: it never served';
COMMENT ON COLUMN timetable.worker.claimed_until IS
    'Until then it claimed all that was due and it knew of';

COMMENT ON COLUMN timetable.worker.stopped_at IS
    'When it stopped, or was declared dead; NULL while it serves';
COMMENT ON COLUMN timetable.worker.stopped_by IS
    'The worker that declared it dead; NULL: it stopped by itself';

CREATE TABLE timetable.worker_backend (
    client_name text NOT NULL
        REFERENCES timetable.worker (client_name) ON UPDATE CASCADE ON DELETE CASCADE,
    pid integer NOT NULL,
    backend_start timestamptz NOT NULL,
    PRIMARY KEY (client_name, pid, backend_start)
);
COMMENT ON TABLE timetable.worker_backend IS
    'The sessions of a daemon: whoever takes over from a dead one ends them first';

-- pg_timezone_names takes 100 ms a look, so that the check of time_zone reads this copy.
CREATE TABLE timetable.known_time_zone (name text PRIMARY KEY);
INSERT INTO timetable.known_time_zone SELECT name FROM pg_catalog.pg_timezone_names;

-- The second reader of the schedule syntax: says why a schedule is refused, when it is written.
--
-- The first is Sources/Scheduling (Swift); TwoReadersTests demands equal verdicts of both. A valid
-- cron expression costs one regular expression; only what is refused, or may name a date that no
-- calendar has, is looked at piece by piece.

-- One field of a cron expression, in lower case: its list of items, not anchored.
CREATE OR REPLACE FUNCTION timetable.cron_field_pattern(field text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%2$s%1$s(?:,%1$s)*', replace(replace(
        '(?:[*?](?:/S)?|h(?:\(V-V\))?(?:/S)?|V(?:-V)?(?:/S)?' || extra || ')',
        -- A step, 1 to 9999, in up to four digits.
        'S', '(?:0{0,3}[1-9]|0{0,2}[1-9][0-9]|0?[1-9][0-9]{2}|[1-9][0-9]{3})'),
        'V', '(?:' || value || ')'), prefix)
    FROM (VALUES
        ('second', '0{0,2}[0-5]?[0-9]', '', ''),
        ('minute', '0{0,2}[0-5]?[0-9]', '', ''),
        ('hour', '0{0,2}(?:[01]?[0-9]|2[0-3])', '', ''),
        ('day', '0{0,2}(?:0?[1-9]|[12][0-9]|3[01])',
            '|lw|l(?:-0{0,2}(?:0?[1-9]|[12][0-9]|30))?|Vw', ''),
        ('month', '0{0,2}(?:0?[1-9]|1[0-2])|jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may'
            '|june?|july?|aug(?:ust)?|sep(?:tember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?',
            '', ''),
        ('day of week', '0{0,3}[0-7]|(?:sun|mon|fri)(?:day)?|tue(?:sday)?|wed(?:nesday)?'
            '|thu(?:rsday)?|sat(?:urday)?', '|V#[1-5]|Vl', '\+?')
    ) AS fields (name, value, extra, prefix)
    WHERE name = field
$$;

-- Five fields, or six with the second first. Planned once a session: a constant from then on.
CREATE OR REPLACE FUNCTION timetable.cron_pattern() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('^(?:%s[ \t\n\r]+)?%s[ \t\n\r]+%s[ \t\n\r]+%s[ \t\n\r]+%s[ \t\n\r]+%s$',
        timetable.cron_field_pattern('second'), timetable.cron_field_pattern('minute'),
        timetable.cron_field_pattern('hour'), timetable.cron_field_pattern('day'),
        timetable.cron_field_pattern('month'), timetable.cron_field_pattern('day of week'))
$$;

-- The plain items of a field (values, ranges, steps, H; no names) as sets: one row for each value,
-- with the item it comes from and, for H, which of its choices gives it. In plpgsql for its plans.
CREATE OR REPLACE FUNCTION timetable.cron_values(field text, lowest integer, span integer)
RETURNS TABLE (item bigint, hashed boolean, choice integer, value integer)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY WITH parts AS (
        SELECT n, regexp_match(part COLLATE "C",
            '^(?:([*?])|(h)(?:\(([^-]+)-([^)]+)\))?|([^-/]+)(?:-([^/]+))?)(?:/([0-9]+))?$') AS p
        FROM unnest(string_to_array(ltrim(field, '+'), ',')) WITH ORDINALITY AS parts (part, n)
        WHERE part COLLATE "C" !~ '^l|w$|l$|#'
    ), ends AS (
        SELECT n, p[2] IS NOT NULL AS hashed, p[7]::integer AS step,
            coalesce(coalesce(p[3], p[5])::integer, lowest) AS low,
            CASE
                WHEN p[5] IS NOT NULL AND coalesce(p[6], p[7]) IS NULL
                    THEN p[5]::integer
                WHEN coalesce(p[4], p[6]) IS NOT NULL
                    THEN coalesce(p[4], p[6])::integer
                -- Every month has 28 days: a bare H never skips one.
                WHEN p[2] IS NOT NULL AND span = 31 THEN 28
                ELSE lowest + span - 1
            END AS high
        FROM parts
    ), wrapped AS (
        -- 7 as a beginning is Sunday, 0; as an end it stands behind Saturday.
        SELECT n, hashed, step, CASE span WHEN 7 THEN low % 7 ELSE low END AS low,
            CASE WHEN span = 7 AND low = 7 THEN high % 7 ELSE high END AS high
        FROM ends
    ), ranges AS (
        SELECT n, hashed, step, low,
            CASE WHEN high >= low THEN high - low ELSE high + span - low END AS distance
        FROM wrapped
    ), steps AS (
        SELECT n, hashed, low,
            coalesce(step, CASE WHEN hashed THEN distance + 1 ELSE 1 END) AS step,
            -- A step from a range of one value goes on like 8/2.
            CASE WHEN NOT hashed AND step IS NOT NULL AND distance = 0
                THEN lowest + span - 1 - low ELSE distance END AS distance
        FROM ranges
    )
    SELECT n, hashed, first, (low - lowest + ahead) % span + lowest
    FROM steps,
        generate_series(0, CASE WHEN hashed THEN LEAST(step, distance + 1) - 1 ELSE 0 END) AS first,
        generate_series(first, distance, step) AS ahead;
END
$$;

-- A month field with numbers for its names.
CREATE OR REPLACE FUNCTION timetable.month_numbers(field text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    names CONSTANT text[] := '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}';
BEGIN
    IF field COLLATE "C" !~ '[a-z]{3}' THEN RETURN field; END IF;
    FOR i IN 1..12 LOOP
        field := regexp_replace(field, names[i] || '[a-z]*', i::text, 'g');
    END LOOP;
    RETURN field;
END
$$;

-- A weekday field with numbers for its names.
CREATE OR REPLACE FUNCTION timetable.weekday_numbers(field text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    names CONSTANT text[] := '{sun(?:day)?,mon(?:day)?,tue(?:sday)?,wed(?:nesday)?,thu(?:rsday)?,fri(?:day)?,sat(?:urday)?}';
BEGIN
    IF field COLLATE "C" !~ '[a-z]{3}' THEN RETURN field; END IF;
    FOR i IN 0..6 LOOP
        field := regexp_replace(field, names[i + 1], i::text, 'g');
    END LOOP;
    RETURN field;
END
$$;

-- Why no date ever matches a day, month and weekday field that are well-formed, or NULL.
CREATE OR REPLACE FUNCTION timetable.cron_never(day text, month text, weekday text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
    lengths CONSTANT integer[] := '{31,29,31,30,31,30,31,31,30,31,30,31}';
    months CONSTANT text[] := '{January,February,March,April,May,June,July,August,September,October,November,December}';
    least_day integer;
    longest_month integer;
    named integer[];
    days integer[];
    weekdays integer[];
BEGIN
    -- With either day field enough, the weekdays alone come round in every month.
    IF day COLLATE "C" !~ '^[*?]' AND weekday COLLATE "C" !~ '^[*?+]' THEN RETURN NULL; END IF;
    -- The usual cases by what an item begins with: a day that the months are sure to have.
    IF (weekday COLLATE "C" ~ '^[*?]$' OR day COLLATE "C" !~ '[lw]' AND weekday COLLATE "C" !~ 'l|#') AND (
        day COLLATE "C" ~ '(^|,)(?:[*?]|h(?!\()|0{0,2}(?:0?[1-9]|[12][0-9])(?![0-9])|l(?!-0{0,2}(?:29|30)))'
        OR month COLLATE "C" ~ '(^|,)(?:[*?]|0{0,2}(?:0?[13578]|1[02])(?![0-9])|jan|mar|may|jul|aug|oct|dec)'
        OR day COLLATE "C" ~ '(^|,)0{0,2}30' AND month COLLATE "C" ~ '(^|,)(?:0{0,2}(?:0?[469]|11)(?![0-9])|apr|jun|sep|nov)'
    ) THEN
        RETURN NULL;
    END IF;
    month := timetable.month_numbers(month);
    weekday := timetable.weekday_numbers(weekday);

    -- What the fields are sure to name, whatever H gives.
    SELECT min(worst) INTO least_day FROM (
        SELECT max(first) AS worst FROM (
            SELECT v.item, v.choice, min(v.value) AS first
            FROM timetable.cron_values(day, 1, 31) AS v GROUP BY 1, 2) AS choices
        GROUP BY item
        UNION ALL
        SELECT CASE WHEN part IN ('l', 'lw') THEN 1
            WHEN part LIKE 'l%' THEN substr(part, 3)::integer + 1
            ELSE rtrim(part, 'w')::integer END
        FROM unnest(string_to_array(day, ',')) AS part
        WHERE part COLLATE "C" ~ '^l|w$') AS items;
    SELECT max(worst), (SELECT array_agg(DISTINCT v.value) FROM timetable.cron_values(month, 1, 12) AS v)
    INTO longest_month, named FROM (
        SELECT min(longest) AS worst FROM (
            SELECT v.item, v.choice, max(lengths[v.value]) AS longest
            FROM timetable.cron_values(month, 1, 12) AS v GROUP BY 1, 2) AS choices
        GROUP BY item) AS items;
    IF least_day > longest_month THEN
        RETURN CASE
            WHEN (day || ',' || month) COLLATE "C" ~ '(^|,)h' THEN
                'could never fire: H may choose a month that has no '
            WHEN cardinality(named) = 1 THEN
                'can never fire: ' || months[named[1]] || ' has no '
            ELSE 'can never fire: none of these months has a '
        END || least_day || CASE least_day WHEN 31 THEN 'st' ELSE 'th' END;
    END IF;

    -- A date falls on each weekday in some year (29 February too, within 28 or 40 years).
    IF day COLLATE "C" !~ '[lw]' AND weekday COLLATE "C" !~ '[l#]' THEN RETURN NULL; END IF;
    days := ARRAY(SELECT DISTINCT v.value FROM timetable.cron_values(day, 1, 31) AS v);
    weekdays := ARRAY(SELECT DISTINCT v.value FROM timetable.cron_values(weekday, 0, 7) AS v);
    IF cardinality(days) = 31 AND day COLLATE "C" !~ 'h' THEN RETURN NULL; END IF;
    IF cardinality(weekdays) = 7 AND weekday COLLATE "C" !~ '(^|[,+])h' THEN RETURN NULL; END IF;
    IF (day || ',' || month || ',' || weekday) COLLATE "C" ~ '(^|[,+])h' THEN
        RETURN 'H is not allowed together with L, W or # where both day fields must match';
    END IF;
    IF timetable.cron_has_date(days, named, weekdays, day, weekday) THEN RETURN NULL; END IF;
    RETURN 'can never fire: no date matches both day fields';
END
$$;

-- Is there a month in which both day fields match some date? In 400 years each month, February
-- with 28 and with 29 days, begins on each weekday.
CREATE OR REPLACE FUNCTION timetable.cron_has_date(
    days integer[], months integer[], weekdays integer[], day text, weekday text
) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN (WITH kinds AS (
        SELECT length, first, (first + length - 1) % 7 AS last
        FROM (VALUES (1, 31), (2, 28), (2, 29), (3, 31), (4, 30), (5, 31), (6, 30), (7, 31), (8, 31),
            (9, 30), (10, 31), (11, 30), (12, 31)) AS lengths (month, length),
            generate_series(0, 6) AS first
        WHERE month = ANY (months)
    ), special AS (
        SELECT ARRAY(SELECT CASE part WHEN 'l' THEN 0 ELSE substr(part, 3)::integer END
                FROM unnest(string_to_array(day, ',')) AS part
                WHERE part COLLATE "C" ~ '^l(-|$)') AS back,
            ARRAY(SELECT rtrim(part, 'w')::integer FROM unnest(string_to_array(day, ',')) AS part
                WHERE part COLLATE "C" ~ '^[0-9]+w$') AS near,
            'lw' = ANY (string_to_array(day, ',')) AS last_workday,
            ARRAY(SELECT split_part(part, '#', 1)::integer % 7 * 10
                    + split_part(part, '#', 2)::integer
                FROM unnest(string_to_array(ltrim(weekday, '+'), ',')) AS part
                WHERE part LIKE '%#%') AS nth,
            ARRAY(SELECT rtrim(part, 'l')::integer % 7
                FROM unnest(string_to_array(ltrim(weekday, '+'), ',')) AS part
                WHERE part LIKE '%l') AS last
    )
    SELECT EXISTS (
        SELECT FROM kinds, special, generate_series(1, length) AS d,
            LATERAL (SELECT (first + d - 1) % 7 AS today) AS t
        WHERE (today = ANY (weekdays) OR today * 10 + (d + 6) / 7 = ANY (nth)
                OR (d + 7 > length AND today = ANY (special.last)))
            AND (d = ANY (days) OR length - d = ANY (back)
                OR (last_workday AND d = length - CASE kinds.last WHEN 6 THEN 1 WHEN 0 THEN 2 ELSE 0 END)
                OR EXISTS (SELECT FROM unnest(near) AS n
                    WHERE n <= length AND d = n + CASE (first + n - 1) % 7
                        WHEN 6 THEN CASE n WHEN 1 THEN 2 ELSE -1 END
                        WHEN 0 THEN CASE n WHEN length THEN -2 ELSE 1 END
                        ELSE 0 END))));
END
$$;

-- The length that a well-formed `@every` or `@after` names; in lower case.
CREATE OR REPLACE FUNCTION timetable.duration_microseconds(schedule text) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sum(floor(p[1]::numeric * CASE
        WHEN p[2] IN ('us', 'microsecond', 'microseconds') THEN 0.000001
        WHEN p[2] IN ('ms', 'millisecond', 'milliseconds') THEN 0.001
        WHEN p[2] LIKE 's%' THEN 1 WHEN p[2] LIKE 'm%' THEN 60 WHEN p[2] LIKE 'h%' THEN 3600
        WHEN p[2] LIKE 'd%' THEN 86400 ELSE 604800 END * 1000000))
    FROM regexp_matches(substr(schedule, 7), '([0-9]+(?:\.[0-9]+)?)[ \t\n\r]*([a-z]+)', 'g') AS p
$$;

-- Why `@every`, `@after`, `@at` or another name is refused, or NULL. In lower case, trimmed.
CREATE OR REPLACE FUNCTION timetable.named_schedule_error(schedule text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s CONSTANT text COLLATE "C" := schedule;
    part CONSTANT text := '(?:[0-9]{1,9}(?:\.[0-9]{1,6})?[ \t\n\r]*(?:us|microseconds?|ms|milliseconds?'
        '|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)[ \t\n\r]*)+';
    name CONSTANT text := substring(s FROM '^@(every|after|at)(?:[ \t\n\r]|$)');
    d text[];
BEGIN
    IF s IN ('@manual', '@reboot', '@yearly', '@annually', '@monthly', '@weekly', '@daily',
        '@midnight', '@hourly', '@every_minute', '@every_second') THEN
        RETURN NULL;
    ELSIF name IS NULL THEN
        RETURN left(s, 24) || ' is not allowed; @every, @after, @at, @manual, @reboot, @yearly, '
            '@annually, @monthly, @weekly, @daily, @midnight, @hourly, @every_minute and '
            '@every_second are';
    ELSIF name = 'at' THEN
        d := regexp_match(s, '^@at[ \t\n\r]+((?!0000)[0-9]{4})-(0?[1-9]|1[0-2])-(0?[1-9]|[12][0-9]|3[01])'
            '(?:t|[ \t\n\r]+)(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?[ \t\n\r]*'
            '(?:z|[+-](?:(?:0?[0-9]|1[0-5])(?::[0-5][0-9])?|(?:0[0-9]|1[0-5])[0-5][0-9]))?$');
        IF d IS NULL THEN
            RETURN '@at: a date from the year 0001 to 9999 and a time of day are allowed, as in '
                '@at 2027-01-31 09:00, with Z or an offset up to 15:59 or without';
        END IF;
        IF d[3]::integer > extract(day FROM make_date(d[1]::integer, d[2]::integer, 1)
            + interval '1 month' - interval '1 day') THEN
            RETURN '@at: ' || d[3] || ' is not allowed; the month ' || d[1] || '-' || d[2]
                || ' has no such day';
        END IF;
        RETURN NULL;
    END IF;
    IF s !~ ('^@(?:every|after)[ \t\n\r]+(?:''[ \t\n\r]*' || part || '''|' || part || ')$') THEN
        RETURN '@' || name || ': numbers with the units us, ms, s, m, h, d, w and their words are '
            'allowed, as in 90s, 1h30m or 10 minutes (months and years differ in length: @monthly)';
    END IF;
    IF timetable.duration_microseconds(s) NOT BETWEEN 100000 AND 36525 * 86400000000 THEN
        RETURN '@' || name || ': ' || left(btrim(substr(s, 7), E' \t\n\r'), 24)
            || ' is not allowed; 100 ms to 36525 days are';
    END IF;
    RETURN NULL;
END
$$;

-- Which field of a cron expression is refused: the first one, with the column of the item in it.
CREATE OR REPLACE FUNCTION timetable.cron_error(schedule text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s CONSTANT text COLLATE "C" := lower(schedule COLLATE "C");
    fields CONSTANT text[] := regexp_split_to_array(btrim(s, E' \t\n\r'), '[ \t\n\r]+');
    count_ CONSTANT integer := CASE WHEN fields = '{""}' THEN 0 ELSE cardinality(fields) END;
    names text[] := '{second,minute,hour,day,month,day of week}';
    allowed text[] := ARRAY['0 to 59', '0 to 59', '0 to 23',
        '1 to 31, L, L-1 to L-30, LW and 1W to 31W', '1 to 12 and JAN to DEC',
        '0 to 7, SUN to SAT, 5#1 to 5#5 and 5L'];
    pattern text;
    item text;
    place integer;
BEGIN
    IF count_ NOT IN (5, 6) THEN
        RETURN CASE count_ WHEN 0 THEN 'an empty schedule is' WHEN 1 THEN '1 field is'
            ELSE count_ || ' fields are' END
            || ' not allowed; 5 are (minute, hour, day, month, day of week), '
            'or 6 with seconds first, or @every, @at, @daily and the like';
    END IF;
    IF count_ = 5 THEN
        names := names[2:];
        allowed := allowed[2:];
    END IF;
    FOR i IN 1..count_ LOOP
        pattern := timetable.cron_field_pattern(names[i]);
        CONTINUE WHEN fields[i] COLLATE "C" ~ ('^' || pattern || '$');
        place := 1 + length(substring(s FROM
            '^[ \t\n\r]*(?:[^ \t\n\r]+[ \t\n\r]+){' || i - 1 || '}'));
        FOREACH item IN ARRAY string_to_array(fields[i], ',') LOOP
            EXIT WHEN item COLLATE "C" !~ ('^' || pattern || '$');
            place := place + length(item) + 1;
            -- A second item has no +.
            pattern := replace(pattern, '\+?', '');
        END LOOP;
        RETURN names[i] || ', column ' || place || ': '
            || CASE item WHEN '' THEN 'an empty list item' ELSE left(substr(schedule, place, length(item)), 24) END
            || ' is not allowed; ' || allowed[i] || ' are, and /1 to /9999 for steps';
    END LOOP;
    RETURN 'is not allowed';
END
$$;

CREATE OR REPLACE FUNCTION timetable.schedule_error(schedule text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s CONSTANT text COLLATE "C" := btrim(lower(schedule COLLATE "C"), E' \t\n\r');
    f text[];
    reason text;
BEGIN
    IF octet_length(schedule) > 1024 THEN
        RETURN octet_length(schedule) || ' bytes are not allowed; up to 1024 are';
    -- The plainest forms by a small expression: the whole one costs ten times as much.
    ELSIF s ~ ('^(?:\*(?:/[1-9][0-9]?)?|[1-5]?[0-9](?:-[1-5]?[0-9])?(?:,[1-5]?[0-9](?:-[1-5]?[0-9])?)*) '
        '(?:\*(?:/[1-9])?|(?:1?[0-9]|2[0-3])(?:-(?:1?[0-9]|2[0-3]))?(?:,(?:1?[0-9]|2[0-3])(?:-(?:1?[0-9]|2[0-3]))?)*) '
        '(?:\*|1?[1-9]|10|2[0-8]) (?:\*|[1-9]|1[0-2]) (?:\*|(?:[0-7]|sun|mon|tue|wed|thu|fri|sat)(?:-(?:[0-7]|sun|mon|tue|wed|thu|fri|sat))?(?:,(?:[0-7]|sun|mon|tue|wed|thu|fri|sat)(?:-(?:[0-7]|sun|mon|tue|wed|thu|fri|sat))?)*)$') THEN
        RETURN NULL;
    ELSIF s LIKE '@%' THEN
        RETURN timetable.named_schedule_error(s);
    ELSIF s !~ timetable.cron_pattern() THEN
        RETURN timetable.cron_error(schedule);
    ELSIF s ~ '[ \t\n\r][*?][ \t\n\r]+[^ \t\n\r]+[ \t\n\r]+[^ \t\n\r]+$' THEN
        -- Any day: some weekday of any kind comes in every month there is.
        RETURN NULL;
    END IF;
    f := regexp_match(s, '([^ \t\n\r]+)[ \t\n\r]+([^ \t\n\r]+)[ \t\n\r]+([^ \t\n\r]+)$');
    reason := timetable.cron_never(f[1], f[2], f[3]);
    IF reason IS NULL THEN RETURN NULL; END IF;
    RETURN 'day, column ' || 1 + length(substring(schedule FROM '^(.*[ \t\n\r])[^ \t\n\r]+[ \t\n\r]+[^ \t\n\r]+[ \t\n\r]+[^ \t\n\r]+[ \t\n\r]*$'))
        || ': ' || reason;
END
$$;

COMMENT ON FUNCTION timetable.schedule_error(text) IS
    'Why a schedule is refused (field, column, what is allowed), or NULL when it is good';

-- The second reader of the calendar: when a config fires, told without a daemon.
--
-- The first is Sources/Scheduling (Swift), which the daemon uses; NextFiresTests demands equal
-- answers of both. Sections of the same name there say more about each rule.
--
-- Zones: this reader asks the server for its offsets, the daemon reads the zone files of its host.
-- Where the server has rules of its own (not Debian, which builds it --with-system-tzdata) or runs
-- on another host, an older tzdata on one side makes the two differ, for times that it changed.

-- FireRule's range, and a bit: 0001-01-01 to 9999-12-31 lie well within, infinity beyond.
CREATE FUNCTION timetable.microseconds(instant timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN instant < '0001-01-01 00:00:00+00 BC' THEN -100000000000000000
        WHEN instant > '11000-01-01 00:00:00+00' THEN 300000000000000000
        ELSE (extract(epoch FROM instant) * 1000000)::bigint END
$$;

CREATE FUNCTION timetable.instant(microseconds bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    -- Whole seconds apart: a double holds both parts exactly.
    SELECT timestamptz '1970-01-01 00:00:00+00' + microseconds / 1000000 * interval '1 second'
        + microseconds % 1000000 * interval '1 microsecond'
$$;

-- StableHash.mix: splitmix64 over two words. Sums and products modulo 2^64 go through numeric.
CREATE FUNCTION timetable.stable_hash(first bigint, second bigint) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    two_to_64 CONSTANT numeric := 18446744073709551616;
    factors CONSTANT numeric[] := '{13787848793156543929,10723151780598845931}';
    shifts CONSTANT integer[] := '{30,27}';
    n numeric := 0;
    z bigint;
BEGIN
    FOREACH z IN ARRAY ARRAY[first, second] LOOP
        n := mod(n + z + 11400714819323198485 + two_to_64, two_to_64);
        FOR i IN 1..2 LOOP
            z := CASE WHEN n >= two_to_64 / 2 THEN n - two_to_64 ELSE n END;
            z := z # ((z >> shifts[i]) & ((1::bigint << (64 - shifts[i])) - 1));
            n := mod((z + two_to_64) * factors[i], two_to_64);
        END LOOP;
        z := CASE WHEN n >= two_to_64 / 2 THEN n - two_to_64 ELSE n END;
        z := z # ((z >> 31) & ((1::bigint << 33) - 1));
        n := mod(z + two_to_64, two_to_64);
    END LOOP;
    RETURN n;
END
$$;

-- CronExpression: what the six fields name, as bit sets; bit n is the value n, Sunday is 0.
CREATE TYPE timetable.cron_sets AS (
    seconds bigint, minutes bigint, hours bigint, days bigint, months bigint, weekdays bigint,
    -- L-n: bit n; nW: bit n; d#n: bit 7 × (n − 1) + d; dL: bit 35 + d.
    last_days bigint, nearest_workdays bigint, nth_weekdays bigint,
    last_workday boolean, special_days boolean, both_days boolean, real_time boolean
);

-- Reads a cron expression that schedule_error accepts; the config's id decides H.
CREATE FUNCTION timetable.cron_sets(schedule text, config bigint) RETURNS timetable.cron_sets
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    lowest CONSTANT integer[] := '{0,0,0,1,1,0}';
    span CONSTANT integer[] := '{60,60,24,31,12,7}';
    f text[] := regexp_split_to_array(
        btrim(lower(schedule COLLATE "C"), E' \t\n\r') COLLATE "C", '[ \t\n\r]+');
    sets bigint[];
    hash numeric;
    sunday text;
    c timetable.cron_sets;
BEGIN
    IF cardinality(f) = 5 THEN f := array_prepend('0', f); END IF;
    f[5] := timetable.month_numbers(f[5]);
    f[6] := timetable.weekday_numbers(f[6]);
    FOR i IN 1..6 LOOP
        IF f[i] COLLATE "C" ~ '^[*?]$' THEN
            sets[i] := ((1::bigint << span[i]) - 1) << lowest[i];
        ELSIF f[i] COLLATE "C" ~ '^[0-9]+$' THEN
            sets[i] := 1::bigint << CASE i WHEN 6 THEN f[i]::integer % 7 ELSE f[i]::integer END;
        ELSE
            IF f[i] LIKE '%h%' THEN hash := timetable.stable_hash(config, i - 1); END IF;
            sets[i] := (SELECT coalesce(bit_or(1::bigint << v.value), 0)
                FROM (SELECT v.*, max(v.choice) OVER (PARTITION BY v.item) + 1 AS choices
                    FROM timetable.cron_values(f[i], lowest[i], span[i]) AS v) AS v
                WHERE NOT v.hashed OR v.choice = mod(hash, v.choices));
        END IF;
    END LOOP;
    c.seconds := sets[1];
    c.minutes := sets[2];
    c.hours := sets[3];
    c.days := sets[4];
    c.months := sets[5];
    c.weekdays := sets[6];
    c.last_days := 0;
    c.nearest_workdays := 0;
    c.nth_weekdays := 0;
    c.last_workday := false;
    IF f[4] COLLATE "C" ~ '[lw]' THEN
        SELECT coalesce(bit_or(1::bigint << CASE part WHEN 'l' THEN 0 ELSE substr(part, 3)::integer END)
                FILTER (WHERE part COLLATE "C" ~ '^l(-|$)'), 0),
            coalesce(bit_or(1::bigint << rtrim(part, 'w')::integer)
                FILTER (WHERE part COLLATE "C" ~ '^[0-9]+w$'), 0),
            coalesce(bool_or(part = 'lw'), false)
        INTO c.last_days, c.nearest_workdays, c.last_workday
        FROM unnest(string_to_array(f[4], ',')) AS part;
    END IF;
    IF f[6] COLLATE "C" ~ '[l#]' THEN
        SELECT coalesce(bit_or(1::bigint << CASE WHEN part LIKE '%#%'
                THEN 7 * (split_part(part, '#', 2)::integer - 1) + split_part(part, '#', 1)::integer % 7
                ELSE 35 + rtrim(part, 'l')::integer % 7 END), 0)
        INTO c.nth_weekdays
        FROM unnest(string_to_array(ltrim(f[6], '+'), ',')) AS part
        WHERE part COLLATE "C" ~ '[l#]';
    END IF;
    c.special_days := c.last_workday OR c.last_days <> 0 OR c.nearest_workdays <> 0
        OR c.nth_weekdays <> 0;
    c.both_days := f[4] COLLATE "C" ~ '^[*?]' OR f[6] COLLATE "C" ~ '^[*?+]';
    c.real_time := (f[1] || ' ' || f[2] || ' ' || f[3]) COLLATE "C" ~ '(^| )[*?]';
    RETURN c;
END
$$;

-- CronExpression.matchingDays: the days of a month as bits 1 to 31.
CREATE FUNCTION timetable.matching_days(
    c timetable.cron_sets, length integer, first_weekday integer
) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    by_date bigint := c.days;
    -- A set of weekdays, laid over the days from 1 on: seven bits, repeated five times.
    weeks CONSTANT bigint := 270549121;
    by_weekday bigint :=
        ((((c.weekdays | (c.weekdays << 7)) >> first_weekday) & 127) * weeks) << 1;
    week bigint;
    weekday integer;
BEGIN
    IF c.special_days THEN
        FOR n IN 0..30 LOOP
            IF (c.last_days >> n) & 1 = 1 AND n < length THEN
                by_date := by_date | (1::bigint << length - n);
            END IF;
        END LOOP;
        FOR n IN 1..length LOOP
            CONTINUE WHEN (c.nearest_workdays >> n) & 1 = 0;
            -- Saturday goes back, Sunday forward, and neither leaves the month.
            weekday := (first_weekday + n - 1) % 7;
            by_date := by_date | (1::bigint << n + CASE weekday
                WHEN 6 THEN CASE n WHEN 1 THEN 2 ELSE -1 END
                WHEN 0 THEN CASE n WHEN length THEN -2 ELSE 1 END
                ELSE 0 END);
        END LOOP;
        IF c.last_workday THEN
            weekday := (first_weekday + length - 1) % 7;
            by_date := by_date
                | (1::bigint << length - CASE weekday WHEN 6 THEN 1 WHEN 0 THEN 2 ELSE 0 END);
        END IF;
        FOR n IN 0..5 LOOP
            week := (c.nth_weekdays >> 7 * n) & 127;
            CONTINUE WHEN week = 0;
            week := ((((week | (week << 7)) >> first_weekday) & 127) * weeks) << 1;
            by_weekday := by_weekday
                | (week & (127::bigint << CASE n WHEN 5 THEN length - 6 ELSE 7 * n + 1 END));
        END LOOP;
    END IF;
    RETURN (CASE WHEN c.both_days THEN by_date & by_weekday ELSE by_date | by_weekday END)
        & ((1::bigint << length + 1) - 2);
END
$$;

-- The lowest bit of a set at or above a place; 64 when there is none.
CREATE FUNCTION timetable.lowest_bit(bits bigint, place integer) RETURNS integer
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    FOR n IN place..62 LOOP
        IF (bits >> n) & 1 = 1 THEN RETURN n; END IF;
    END LOOP;
    RETURN 64;
END
$$;

-- CronExpression.nextLocal: the first matching local time at or after `start`, in seconds since
-- 1970 on a clock without changes, or NULL past the year 9999.
CREATE FUNCTION timetable.cron_next_local(c timetable.cron_sets, start bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s CONSTANT bigint := greatest(start, -62135596800);
    -- Days since 1970; counted from the year 1, for division rounds towards 0.
    day_number CONSTANT integer := (s + 62135596800) / 86400 - 719162;
    today date;
    year_ integer;
    month_ integer;
    day_ integer;
    length integer;
    first_day date;
    days bigint;
    hour_ integer;
    minute_ integer;
    second_ integer;
    first_time integer;
    years integer := 0;
BEGIN
    IF s > 253402300799 THEN RETURN NULL; END IF;
    today := date '1970-01-01' + day_number;
    year_ := extract(year FROM today);
    month_ := extract(month FROM today);
    day_ := extract(day FROM today);
    LOOP
        IF (c.months >> month_) & 1 = 1 THEN
            first_day := make_date(year_, month_, 1);
            length := CASE month_
                WHEN 2 THEN CASE WHEN year_ % 4 = 0 AND (year_ % 100 <> 0 OR year_ % 400 = 0)
                    THEN 29 ELSE 28 END
                WHEN 4 THEN 30 WHEN 6 THEN 30 WHEN 9 THEN 30 WHEN 11 THEN 30 ELSE 31 END;
            days := timetable.matching_days(c, length, extract(dow FROM first_day)::integer);
            IF (days >> day_) & 1 = 1 THEN
                -- Only on the first day that is looked at: is there a time left in it?
                hour_ := (s - day_number::bigint * 86400) / 3600;
                minute_ := (s - day_number::bigint * 86400) / 60 % 60;
                IF (c.hours >> hour_) & 1 = 1 THEN
                    IF (c.minutes >> minute_) & 1 = 1 THEN
                        second_ := timetable.lowest_bit(
                            c.seconds, ((s - day_number::bigint * 86400) % 60)::integer);
                        IF second_ < 60 THEN
                            RETURN day_number::bigint * 86400 + hour_ * 3600 + minute_ * 60 + second_;
                        END IF;
                    END IF;
                    minute_ := timetable.lowest_bit(c.minutes, minute_ + 1);
                    IF minute_ < 60 THEN
                        RETURN day_number::bigint * 86400 + hour_ * 3600 + minute_ * 60
                            + timetable.lowest_bit(c.seconds, 0);
                    END IF;
                END IF;
                hour_ := timetable.lowest_bit(c.hours, hour_ + 1);
                IF hour_ < 24 THEN
                    RETURN day_number::bigint * 86400 + hour_ * 3600
                        + timetable.lowest_bit(c.minutes, 0) * 60 + timetable.lowest_bit(c.seconds, 0);
                END IF;
            END IF;
            day_ := timetable.lowest_bit(days, day_ + 1);
            IF day_ < 64 THEN
                first_time := timetable.lowest_bit(c.hours, 0) * 3600
                    + timetable.lowest_bit(c.minutes, 0) * 60 + timetable.lowest_bit(c.seconds, 0);
                RETURN (first_day - date '1970-01-01' + day_ - 1)::bigint * 86400 + first_time;
            END IF;
        END IF;
        day_ := 0;
        month_ := timetable.lowest_bit(c.months, month_ + 1);
        IF month_ > 12 THEN
            month_ := timetable.lowest_bit(c.months, 0);
            year_ := year_ + 1;
            years := years + 1;
            -- Dates and weekdays repeat after 400 years.
            IF year_ > 9999 OR years > 400 THEN RETURN NULL; END IF;
        END IF;
    END LOOP;
END
$$;

-- The segments of the session's zone: from when on which offset holds in [low, high), in seconds.
-- The first one begins at `low`, whatever was before.
--
-- The server has no list of changes, so its clock is looked at every six hours, and halved between:
-- no zone has ever changed twice within days. By the setting TimeZone and not AT TIME ZONE, which
-- takes CET or EST for an abbreviation without daylight time.
CREATE FUNCTION timetable.zone_segments(
    low bigint, high bigint, OUT starts bigint[], OUT offsets bigint[]
)
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
    epoch CONSTANT timestamptz := '1970-01-01 00:00:00+00';
    before bigint;
    after bigint;
    middle bigint;
BEGIN
    SELECT array_agg(s.t ORDER BY s.t), array_agg(s.shift ORDER BY s.t) INTO starts, offsets
    FROM (SELECT p.t, p.shift, lag(p.shift) OVER (ORDER BY p.t) AS former
        FROM (SELECT g.t, date_part('epoch', (epoch + g.t * interval '1 second')::timestamp)::bigint
                - g.t AS shift
            FROM generate_series(low, high, 21600) AS g (t)) AS p) AS s
    WHERE s.shift IS DISTINCT FROM s.former;
    FOR i IN 2..cardinality(starts) LOOP
        before := starts[i] - 21600;
        after := starts[i];
        WHILE after - before > 1 LOOP
            middle := (before + after) / 2;
            IF date_part('epoch', (epoch + middle * interval '1 second')::timestamp)::bigint - middle
                = offsets[i]
            THEN
                after := middle;
            ELSE
                before := middle;
            END IF;
        END LOOP;
        starts[i] := after;
    END LOOP;
END
$$;

-- LocalClock.next: the first second strictly after `second` at which a cron expression fires in the
-- session's zone.
--
-- Windows of some days are walked segment by segment; where nothing matches for longer, the next
-- window is where the next match is. Offsets differ by at most 51 hours: three days cover them.
CREATE FUNCTION timetable.cron_next(
    c timetable.cron_sets, second bigint, runs_after_gap boolean, repeats boolean
) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    day_ CONSTANT bigint := 86400;
    -- Past the last change that a zone file lists, everything repeats after 400 years.
    give_up CONSTANT bigint := greatest(second, 4102444800) + 401 * 366 * day_;
    -- Everything up to here is known not to fire.
    done bigint := second;
    until bigint;
    starts bigint[];
    offsets bigint[];
    local_start bigint;
    reached bigint;
    match bigint;
BEGIN
    WHILE done < give_up LOOP
        until := done + 6 * day_;
        SELECT z.starts, z.offsets INTO starts, offsets
        FROM timetable.zone_segments(done - 3 * day_, until) AS z;
        reached := NULL;
        FOR i IN 1..cardinality(starts) LOOP
            IF i > 1 THEN
                -- The local times below this one have all been shown before.
                reached := greatest(reached, starts[i] + offsets[i - 1]);
            END IF;
            CONTINUE WHEN i < cardinality(starts) AND starts[i + 1] <= done + 1;
            local_start := starts[i] + offsets[i];
            IF runs_after_gap AND starts[i] > second AND starts[i] > done
                AND local_start - reached BETWEEN 1 AND 10800
                AND timetable.cron_next_local(c, reached) < local_start
            THEN
                RETURN starts[i];
            END IF;
            local_start := greatest(starts[i], done + 1) + offsets[i];
            IF NOT repeats THEN local_start := greatest(local_start, reached); END IF;
            match := timetable.cron_next_local(c, local_start);
            IF match IS NULL THEN RETURN NULL; END IF;
            IF match < coalesce(starts[i + 1], until) + offsets[i] THEN
                RETURN match - offsets[i];
            END IF;
        END LOOP;
        -- What a change near the end of the window shows again needs a look.
        done := CASE WHEN until - starts[cardinality(starts)] >= 3 * day_
            THEN greatest(until, match - 2 * day_) ELSE until END - 1;
    END LOOP;
    RETURN NULL;
END
$$;

-- AtTime.instant: when the session's clock first shows a local time. Both in microseconds.
CREATE FUNCTION timetable.instant_of_local(microseconds bigint, runs_after_gap boolean)
RETURNS bigint
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fraction CONSTANT bigint := mod(mod(microseconds, 1000000) + 1000000, 1000000);
    local CONSTANT bigint := (microseconds - fraction) / 1000000;
    starts bigint[];
    offsets bigint[];
    reached bigint;
BEGIN
    SELECT z.starts, z.offsets INTO starts, offsets
    FROM timetable.zone_segments(local - 6 * 86400, local + 3 * 86400) AS z;
    FOR i IN 1..cardinality(starts) LOOP
        IF i > 1 THEN reached := greatest(reached, starts[i] + offsets[i - 1]); END IF;
        CONTINUE WHEN local >= starts[i + 1] + offsets[i];
        IF local >= starts[i] + offsets[i] THEN
            RETURN (local - offsets[i]) * 1000000 + fraction;
        END IF;
        -- After a gap the time is the first instant that exists: the fraction has gone, too.
        RETURN CASE WHEN runs_after_gap AND starts[i] + offsets[i] - reached <= 10800
            THEN starts[i] * 1000000 END;
    END LOOP;
    RETURN NULL;
END
$$;

-- FireRule: everything that decides when one config fires by the clock, read.
CREATE TYPE timetable.fire_rule AS (
    config bigint,
    -- One of the three, or none for what the clock does not decide.
    cron timetable.cron_sets,
    every bigint,
    at bigint,
    -- The text of @at named no offset.
    at_is_local boolean,
    runs_after_gap boolean, repeats boolean,
    -- Microseconds; those of starts_at are NULL for -infinity.
    starts bigint, ends bigint, jitter bigint
);

CREATE FUNCTION timetable.fire_rule(
    schedule text, config bigint, starts_at timestamptz, ends_at timestamptz, jitter interval,
    on_gap text, on_repeat text
) RETURNS timetable.fire_rule
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC'
AS $$
DECLARE
    s text COLLATE "C" := btrim(lower(schedule COLLATE "C"), E' \t\n\r');
    d text[];
    rule timetable.fire_rule;
BEGIN
    s := CASE s WHEN '@yearly' THEN '0 0 1 1 *' WHEN '@annually' THEN '0 0 1 1 *'
        WHEN '@monthly' THEN '0 0 1 * *' WHEN '@weekly' THEN '0 0 * * 0'
        WHEN '@daily' THEN '0 0 * * *' WHEN '@midnight' THEN '0 0 * * *'
        WHEN '@hourly' THEN '0 * * * *' WHEN '@every_minute' THEN '* * * * *'
        WHEN '@every_second' THEN '* * * * * *' ELSE s END;
    rule.config := config;
    IF s NOT LIKE '@%' THEN
        rule.cron := timetable.cron_sets(s, config);
    ELSIF s ~ '^@every[ \t\n\r]' THEN
        rule.every := timetable.duration_microseconds(s);
    ELSIF s ~ '^@at[ \t\n\r]' THEN
        d := regexp_match(s, '^@at[ \t\n\r]+([0-9]+)-([0-9]+)-([0-9]+)(?:t|[ \t\n\r]+)'
            '([0-9]+):([0-9]+)(?::([0-9]+)(?:\.([0-9]+))?)?[ \t\n\r]*'
            '(?:(z)|([+-])([0-9]{1,2}):?([0-9]{2})?)?$');
        rule.at := (make_date(d[1]::integer, d[2]::integer, d[3]::integer) - date '1970-01-01')::bigint
                * 86400000000
            + (d[4]::bigint * 3600 + d[5]::bigint * 60 + coalesce(d[6]::bigint, 0)) * 1000000
            + rpad(coalesce(d[7], ''), 6, '0')::bigint
            - coalesce((d[9] || '1')::bigint
                * (d[10]::bigint * 3600 + coalesce(d[11]::bigint, 0) * 60) * 1000000, 0);
        rule.at_is_local := d[8] IS NULL AND d[9] IS NULL;
    END IF;
    rule.runs_after_gap := on_gap IS DISTINCT FROM 'SKIP';
    rule.repeats := coalesce(on_repeat = 'BOTH', false);
    rule.starts := timetable.microseconds(starts_at);
    -- Before the year 1 it counts as not given.
    IF rule.starts < -62135596800000000 THEN rule.starts := NULL; END IF;
    rule.ends := timetable.microseconds(ends_at);
    rule.jitter := greatest(0, least(300000000000000000,
        coalesce(extract(epoch FROM jitter) * 1000000, 0))::bigint);
    RETURN rule;
END
$$;

-- FireRule.nominal: the first planned time strictly after `instant`, jitter left out.
CREATE FUNCTION timetable.planned_fire(rule timetable.fire_rule, instant bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first CONSTANT bigint := -62135596800000000;
    last CONSTANT bigint := 253402300799999999;
    after bigint := greatest(instant, first - 1, rule.starts - 1);
    found_ bigint;
BEGIN
    IF after >= last THEN RETURN NULL; END IF;
    IF rule.every IS NOT NULL THEN
        found_ := after - coalesce(rule.starts, 0);
        found_ := after + rule.every - mod(mod(found_, rule.every) + rule.every, rule.every);
    ELSIF rule.at IS NOT NULL THEN
        found_ := CASE WHEN rule.at_is_local
            THEN timetable.instant_of_local(rule.at, rule.runs_after_gap) ELSE rule.at END;
    ELSIF rule.cron IS DISTINCT FROM NULL::timetable.cron_sets THEN
        found_ := 1000000 * timetable.cron_next(
            -- Rounded down: counted from the first second of the range, or one before.
            rule.cron, (after - first + 1000000) / 1000000 + first / 1000000 - 1,
            rule.runs_after_gap AND NOT (rule.cron).real_time,
            rule.repeats OR (rule.cron).real_time);
    END IF;
    RETURN CASE WHEN found_ > after AND found_ <= least(last, rule.ends) THEN found_ END;
END
$$;

-- FireRule.moved: a planned time with its jitter, before the next planned one.
CREATE FUNCTION timetable.jittered_fire(rule timetable.fire_rule, planned bigint) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    room CONSTANT bigint := least(rule.jitter, timetable.planned_fire(rule, planned) - planned - 1,
        least(rule.ends, 253402300799999999) - planned);
BEGIN
    IF room <= 0 THEN RETURN planned; END IF;
    RETURN planned + mod(timetable.stable_hash(rule.config, planned), room + 1)::bigint;
END
$$;

-- FireRule.latest: the last planned time in (after, through], or NULL. Steps back from the end, a
-- minute, half an hour … until one is met, then halves.
CREATE FUNCTION timetable.last_planned_fire(
    rule timetable.fire_rule, after bigint, through bigint
) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    until bigint := least(through, 253402300799999999);
    best bigint := timetable.planned_fire(rule, greatest(after, -62135596800000001));
    fire bigint;
    step bigint := 60000000;
    middle bigint;
BEGIN
    IF best > until THEN RETURN NULL; END IF;
    -- No fire lies in (until, through].
    WHILE until - step > best LOOP
        middle := until - step;
        fire := timetable.planned_fire(rule, middle);
        IF fire <= until THEN
            best := fire;
            EXIT;
        END IF;
        until := middle;
        step := step * 32;
    END LOOP;
    LOOP
        fire := timetable.planned_fire(rule, best);
        IF fire > until OR fire IS NULL THEN RETURN best; END IF;
        best := fire;
        middle := best + (until - best) / 2;
        fire := timetable.planned_fire(rule, middle);
        IF fire <= until THEN best := fire; ELSE until := middle; END IF;
    END LOOP;
END
$$;

-- FireRule.next: the first fire strictly after `instant`. Microseconds.
CREATE FUNCTION timetable.fire_after(rule timetable.fire_rule, instant bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moved bigint;
BEGIN
    IF rule.jitter > 0 THEN
        -- The planned time before may have been moved behind `instant`.
        moved := timetable.jittered_fire(
            rule, timetable.last_planned_fire(rule, instant - rule.jitter, instant));
        IF moved > instant THEN RETURN moved; END IF;
        RETURN timetable.jittered_fire(rule, timetable.planned_fire(rule, instant));
    END IF;
    RETURN timetable.planned_fire(rule, instant);
END
$$;

-- The first `n` fires after an instant of a schedule that schedule_error accepts. Nothing for
-- @manual, @reboot and @after, which no clock decides.
CREATE FUNCTION timetable.fires_after(
    schedule text, zone text, after timestamptz, n integer, config bigint, starts_at timestamptz,
    ends_at timestamptz, jitter interval, on_gap text, on_repeat text
) RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE ROWS 5
-- Left again at the end of the function, with what is set in it.
SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC'
AS $$
DECLARE
    rule CONSTANT timetable.fire_rule := timetable.fire_rule(
        schedule, config, starts_at, ends_at, jitter, on_gap, on_repeat);
    fire bigint := timetable.microseconds(after);
BEGIN
    PERFORM set_config('TimeZone', zone, true);
    FOR i IN 1..n LOOP
        fire := timetable.fire_after(rule, fire);
        EXIT WHEN fire IS NULL;
        RETURN NEXT timetable.instant(fire);
    END LOOP;
END
$$;

CREATE FUNCTION timetable.next_fire(
    schedule text, zone text, after timestamptz DEFAULT clock_timestamp(), config bigint DEFAULT 0,
    starts_at timestamptz DEFAULT NULL, ends_at timestamptz DEFAULT NULL,
    jitter interval DEFAULT NULL, on_gap text DEFAULT 'RUN', on_repeat text DEFAULT 'FIRST'
) RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reason CONSTANT text := timetable.schedule_error(schedule);
BEGIN
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION 'schedule: %', reason USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN (SELECT f.fire FROM timetable.fires_after(
        schedule, zone, after, 1, config, starts_at, ends_at, jitter, on_gap, on_repeat) AS f (fire));
END
$$;
COMMENT ON FUNCTION timetable.next_fire(
    text, text, timestamptz, bigint, timestamptz, timestamptz, interval, text, text) IS
    'When a schedule next fires after an instant in a time zone; config decides H and jitter';

-- The zone of configs that name none: the database's. What a session has set for itself says
-- nothing about the daemon's, so its own setting counts only where the database has none.
CREATE FUNCTION timetable.default_time_zone() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(
        (SELECT substr(s.setting, 10)
        FROM pg_db_role_setting AS r, unnest(r.setconfig) AS s (setting)
        WHERE r.setrole = 0 AND s.setting ILIKE 'timezone=%'
            AND r.setdatabase = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())),
        (SELECT p.reset_val FROM pg_settings AS p WHERE p.name = 'TimeZone'))
$$;

-- The first n fires of a config after an instant.
CREATE FUNCTION timetable.config_fires_after(
    c timetable.chain_execution_config, after timestamptz, n integer
) RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT * FROM timetable.fires_after(
        coalesce(c.schedule, concat_ws(' ', coalesce(c.run_at_minute::text, '*'),
            coalesce(c.run_at_hour::text, '*'), coalesce(c.run_at_day::text, '*'),
            coalesce(c.run_at_month::text, '*'), coalesce(c.run_at_day_of_week::text, '*'))),
        coalesce(c.time_zone, timetable.default_time_zone()), after, n, c.chain_execution_config,
        c.starts_at, c.ends_at, c.jitter, c.on_gap, c.on_repeat);
END
$$;

CREATE FUNCTION timetable.next_fires(config bigint, n integer DEFAULT 5) RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c timetable.chain_execution_config;
BEGIN
    IF n NOT BETWEEN 0 AND 1000 THEN
        RAISE EXCEPTION 'n: % is not allowed; 0 to 1000 are', n
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO c FROM timetable.chain_execution_config AS e
    WHERE e.chain_execution_config = config;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no config %', config USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF c.live IS NOT TRUE OR c.chain_id IS NULL THEN RETURN; END IF;
    RETURN QUERY SELECT * FROM timetable.config_fires_after(c, clock_timestamp(), n);
END
$$;
COMMENT ON FUNCTION timetable.next_fires(bigint, integer) IS
    'When a config fires next by the clock, as a daemon will do it; nothing when it is not live or has no chain';

CREATE FUNCTION timetable.next_fires(chain_name text, n integer DEFAULT 5)
RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    config bigint;
BEGIN
    SELECT c.chain_execution_config INTO config
    FROM timetable.chain_execution_config AS c WHERE c.chain_name = next_fires.chain_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no config with the chain_name "%"', chain_name
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY SELECT * FROM timetable.next_fires(config, n);
END
$$;
COMMENT ON FUNCTION timetable.next_fires(text, integer) IS
    'When the config with this chain_name fires next; see next_fires(bigint, integer)';

-- What a row can't be checked for alone: refused by statement-level triggers, which look at all
-- rows of a statement at once.

CREATE FUNCTION timetable.check_configs() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bad record;
BEGIN
    SELECT n.chain_name, e.reason INTO bad
    FROM new_rows n, LATERAL timetable.schedule_error(n.schedule) AS e (reason)
    WHERE e.reason IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column "schedule" of config "%": %', bad.chain_name, bad.reason
            USING ERRCODE = 'check_violation', SCHEMA = 'timetable',
                TABLE = 'chain_execution_config', COLUMN = 'schedule';
    END IF;

    SELECT n.chain_name, n.time_zone INTO bad
    FROM new_rows n
    WHERE n.time_zone IS NOT NULL
        AND NOT EXISTS (SELECT FROM timetable.known_time_zone z WHERE z.name = n.time_zone)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column "time_zone" of config "%": "%" is not a known time zone',
                bad.chain_name, bad.time_zone
            USING ERRCODE = 'check_violation', SCHEMA = 'timetable',
                TABLE = 'chain_execution_config', COLUMN = 'time_zone',
                HINT = 'Use a name such as Europe/Berlin, as in timetable.known_time_zone.';
    END IF;

    SELECT n.chain_name, n.chain_id INTO bad
    FROM new_rows n
    JOIN timetable.task_chain t ON t.chain_id = n.chain_id
    WHERE t.parent_id IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column "chain_id" of config "%": % is not the head of a chain',
                bad.chain_name, bad.chain_id
            USING ERRCODE = 'check_violation', SCHEMA = 'timetable',
                TABLE = 'chain_execution_config', COLUMN = 'chain_id',
                HINT = 'Use the chain_id of the element whose parent_id is NULL.';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER check_inserted_configs AFTER INSERT ON timetable.chain_execution_config
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.check_configs();
CREATE TRIGGER check_updated_configs AFTER UPDATE ON timetable.chain_execution_config
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.check_configs();

CREATE FUNCTION timetable.check_elements() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bad record;
BEGIN
    -- Two elements never share a parent, so a walk upwards from a changed element comes to a head,
    -- or comes back to where it began.
    WITH RECURSIVE above (start, chain_id, steps) AS (
        SELECT n.chain_id, n.parent_id, 1 FROM new_rows n WHERE n.parent_id IS NOT NULL
        UNION ALL
        SELECT a.start, t.parent_id, a.steps + 1
        FROM above a
        JOIN timetable.task_chain t ON t.chain_id = a.chain_id
        WHERE t.parent_id IS NOT NULL AND a.chain_id <> a.start AND a.steps < 10000
    )
    SELECT start INTO bad FROM above WHERE chain_id = start LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column "parent_id" of element %: the chain would run in a circle', bad.start
            USING ERRCODE = 'check_violation', SCHEMA = 'timetable', TABLE = 'task_chain',
                COLUMN = 'parent_id';
    END IF;

    SELECT c.chain_name, n.chain_id INTO bad
    FROM new_rows n
    JOIN timetable.chain_execution_config c ON c.chain_id = n.chain_id
    WHERE n.parent_id IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column "parent_id" of element %: it is the head of config "%"',
                bad.chain_id, bad.chain_name
            USING ERRCODE = 'check_violation', SCHEMA = 'timetable', TABLE = 'task_chain',
                COLUMN = 'parent_id';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER check_inserted_elements AFTER INSERT ON timetable.task_chain
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.check_elements();
CREATE TRIGGER check_updated_elements AFTER UPDATE ON timetable.task_chain
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.check_elements();

-- Fires count as missed only from the moment at which they were first meant to happen: by that
-- schedule, within that window, and with a chain.
CREATE FUNCTION timetable.note_scheduled_since() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.scheduled_since := clock_timestamp();
    RETURN NEW;
END $$;

CREATE TRIGGER note_scheduled_since BEFORE UPDATE ON timetable.chain_execution_config
    FOR EACH ROW
    WHEN (
        (NEW.live AND OLD.live IS NOT TRUE)
        OR (NEW.chain_id IS NOT NULL AND OLD.chain_id IS NULL)
        OR (NEW.schedule, NEW.time_zone, NEW.run_at_minute, NEW.run_at_hour, NEW.run_at_day,
            NEW.run_at_month, NEW.run_at_day_of_week, NEW.starts_at, NEW.ends_at,
            NEW.jitter, NEW.on_gap, NEW.on_repeat)
        IS DISTINCT FROM
            (OLD.schedule, OLD.time_zone, OLD.run_at_minute, OLD.run_at_hour, OLD.run_at_day,
            OLD.run_at_month, OLD.run_at_day_of_week, OLD.starts_at, OLD.ends_at,
            OLD.jitter, OLD.on_gap, OLD.on_repeat)
    )
    EXECUTE FUNCTION timetable.note_scheduled_since();

-- Deleting a base task takes its elements out of their chains: what came after such an element
-- follows what came before it. Configs of a chain that loses its head get the next element as
-- head; a chain that has no other goes with its configs.

CREATE FUNCTION timetable.close_gaps() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    element bigint;
    previous bigint;
    following bigint;
BEGIN
    FOR element IN
        SELECT t.chain_id FROM timetable.task_chain t WHERE t.task_id = OLD.task_id
    LOOP
        -- As it is now: a neighbour may have gone in this very loop.
        SELECT t.parent_id INTO previous FROM timetable.task_chain t WHERE t.chain_id = element;
        -- Cut off before the element goes, since two can't have one parent.
        UPDATE timetable.task_chain t SET parent_id = NULL WHERE t.parent_id = element
        RETURNING t.chain_id INTO following;
        IF previous IS NULL AND following IS NOT NULL THEN
            UPDATE timetable.chain_execution_config c SET chain_id = following
            WHERE c.chain_id = element;
        END IF;
        DELETE FROM timetable.task_chain t WHERE t.chain_id = element;
        IF previous IS NOT NULL AND following IS NOT NULL THEN
            UPDATE timetable.task_chain t SET parent_id = previous WHERE t.chain_id = following;
        END IF;
    END LOOP;
    RETURN OLD;
END $$;

CREATE TRIGGER close_gaps BEFORE DELETE ON timetable.base_task
    FOR EACH ROW EXECUTE FUNCTION timetable.close_gaps();

-- Every table that decides what runs tells the daemons which configs a statement touched.
-- Payload on timetable_config: table, operation, then config ids or "all", separated by blanks.

CREATE FUNCTION timetable.send_config_change(source text, operation text, configs bigint[])
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- The daemon's own writes: it knows.
    IF coalesce(cardinality(configs), 0) = 0
        OR current_setting('timetable.quiet', true) = 'on' THEN
        RETURN;
    END IF;
    IF cardinality(configs) > 2000 THEN
        PERFORM pg_notify('timetable_config', source || ' ' || operation || ' all');
        RETURN;
    END IF;
    -- A payload of 8,000 bytes or more would abort the user's statement, so they are cut before.
    PERFORM pg_notify(
        'timetable_config', source || ' ' || operation || ' ' || string_agg(piece.id, ' '))
    FROM (
        SELECT id::text AS id,
            sum(length(id::text) + 1) OVER (ORDER BY id) / 7800 AS message
        FROM (SELECT DISTINCT unnest(configs) AS id) AS distinct_ids
    ) AS piece
    GROUP BY piece.message;
END $$;

CREATE FUNCTION timetable.notify_all() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('timetable_config', TG_TABLE_NAME || ' ' || TG_OP || ' all');
    RETURN NULL;
END $$;

CREATE FUNCTION timetable.notify_configs() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    configs bigint[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- A config that is not live changes nothing yet.
        SELECT array_agg(chain_execution_config) INTO configs FROM new_rows WHERE live;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(chain_execution_config) INTO configs FROM old_rows WHERE live;
    ELSE
        -- scheduled_since follows from the others.
        SELECT array_agg(id) INTO configs
        FROM (
            SELECT chain_execution_config AS id
            FROM (
                SELECT chain_execution_config, to_jsonb(o) - 'scheduled_since' FROM old_rows o
                EXCEPT
                SELECT chain_execution_config, to_jsonb(n) - 'scheduled_since' FROM new_rows n
            ) AS gone
            UNION
            SELECT chain_execution_config
            FROM (
                SELECT chain_execution_config, to_jsonb(n) - 'scheduled_since' FROM new_rows n
                EXCEPT
                SELECT chain_execution_config, to_jsonb(o) - 'scheduled_since' FROM old_rows o
            ) AS come
        ) AS changed;
    END IF;
    PERFORM timetable.send_config_change(TG_TABLE_NAME, TG_OP, configs);
    -- What kept them waiting may be gone: max_instances, client_name, an exclusion.
    IF TG_OP <> 'INSERT' AND current_setting('timetable.quiet', true) IS DISTINCT FROM 'on'
        AND EXISTS (
            SELECT FROM timetable.run_request q
            WHERE q.claimed_at IS NULL
                AND (q.blocked_at IS NOT NULL OR q.chain_execution_config = ANY (configs)))
    THEN
        PERFORM pg_notify('timetable_run', '{"requests": "all"}');
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION timetable.notify_parameters() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    configs bigint[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(DISTINCT chain_execution_config) INTO configs FROM new_rows;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(DISTINCT chain_execution_config) INTO configs FROM old_rows;
    ELSE
        SELECT array_agg(DISTINCT chain_execution_config) INTO configs
        FROM (
            (TABLE old_rows EXCEPT TABLE new_rows) UNION ALL (TABLE new_rows EXCEPT TABLE old_rows)
        ) AS changed;
    END IF;
    PERFORM timetable.send_config_change(TG_TABLE_NAME, TG_OP, configs);
    RETURN NULL;
END $$;

-- The configs whose chains hold one of these elements: up from each to its head.
CREATE FUNCTION timetable.configs_of_elements(elements bigint[]) RETURNS bigint[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE above (chain_id, parent_id, steps) AS (
        SELECT t.chain_id, t.parent_id, 1
        FROM timetable.task_chain t WHERE t.chain_id = ANY (elements)
        UNION
        SELECT t.chain_id, t.parent_id, a.steps + 1
        FROM above a JOIN timetable.task_chain t ON t.chain_id = a.parent_id
        WHERE a.steps < 10000
    )
    SELECT array_agg(DISTINCT c.chain_execution_config)
    FROM above a
    JOIN timetable.chain_execution_config c ON c.chain_id = a.chain_id
    WHERE a.parent_id IS NULL AND c.live
$$;

CREATE FUNCTION timetable.notify_elements() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    elements bigint[];
BEGIN
    -- A deleted element is gone; what hung above it still leads to the head.
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(chain_id) INTO elements FROM new_rows;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(parent_id) INTO elements FROM old_rows;
    ELSE
        SELECT array_agg(id) INTO elements
        FROM (
            SELECT chain_id AS id FROM (TABLE new_rows EXCEPT TABLE old_rows) AS come
            UNION SELECT parent_id FROM (TABLE old_rows EXCEPT TABLE new_rows) AS gone
        ) AS changed;
    END IF;
    PERFORM timetable.send_config_change(
        TG_TABLE_NAME, TG_OP, timetable.configs_of_elements(elements));
    RETURN NULL;
END $$;

CREATE FUNCTION timetable.notify_tasks() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM timetable.send_config_change(
        TG_TABLE_NAME, TG_OP, timetable.configs_of_elements(array_agg(t.chain_id)))
    FROM timetable.task_chain t
    WHERE t.task_id IN (SELECT task_id FROM (TABLE new_rows EXCEPT TABLE old_rows) AS changed);
    RETURN NULL;
END $$;

CREATE FUNCTION timetable.notify_connections() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM timetable.send_config_change(
        TG_TABLE_NAME, TG_OP, timetable.configs_of_elements(array_agg(t.chain_id)))
    FROM timetable.task_chain t
    WHERE t.database_connection IN (
        SELECT database_connection FROM (TABLE new_rows EXCEPT TABLE old_rows) AS changed);
    RETURN NULL;
END $$;

CREATE FUNCTION timetable.notify_requests() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('timetable.quiet', true) = 'on' THEN
        RETURN NULL;
    END IF;
    -- More than a few hundred: one message to look, since all open requests are found by an index.
    IF (SELECT count(*) FROM (SELECT FROM new_rows LIMIT 301) AS few) > 300 THEN
        PERFORM pg_notify('timetable_run', '{"requests": "all"}');
    ELSE
        PERFORM pg_notify(
            'timetable_run', '{"requests": [' || string_agg(run_request::text, ', ') || ']}')
        FROM new_rows HAVING count(*) > 0;
    END IF;
    RETURN NULL;
END $$;

-- Transition tables allow one event a trigger.
CREATE TRIGGER notify_insert AFTER INSERT ON timetable.chain_execution_config
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_configs();
CREATE TRIGGER notify_update AFTER UPDATE ON timetable.chain_execution_config
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_configs();
CREATE TRIGGER notify_delete AFTER DELETE ON timetable.chain_execution_config
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_configs();
CREATE TRIGGER notify_truncate AFTER TRUNCATE ON timetable.chain_execution_config
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_all();

CREATE TRIGGER notify_insert AFTER INSERT ON timetable.chain_execution_parameters
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_parameters();
CREATE TRIGGER notify_update AFTER UPDATE ON timetable.chain_execution_parameters
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_parameters();
CREATE TRIGGER notify_delete AFTER DELETE ON timetable.chain_execution_parameters
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_parameters();
CREATE TRIGGER notify_truncate AFTER TRUNCATE ON timetable.chain_execution_parameters
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_all();

CREATE TRIGGER notify_insert AFTER INSERT ON timetable.task_chain
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_elements();
CREATE TRIGGER notify_update AFTER UPDATE ON timetable.task_chain
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_elements();
CREATE TRIGGER notify_delete AFTER DELETE ON timetable.task_chain
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_elements();
CREATE TRIGGER notify_truncate AFTER TRUNCATE ON timetable.task_chain
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_all();

-- A new base task or connection is in no chain yet; a deleted one takes its elements with it.
CREATE TRIGGER notify_update AFTER UPDATE ON timetable.base_task
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_tasks();
CREATE TRIGGER notify_update AFTER UPDATE ON timetable.database_connection
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_connections();

CREATE TRIGGER notify_insert AFTER INSERT ON timetable.run_request
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.notify_requests();

-- Secrets in parameters: a run keeps them until it has ended, its record does not.

-- One row of parameters. As in Redaction.swift only an object holds secrets: the values of keys that
-- begin with "pass", other than a PasswordFile, and the logins of URLs (RFC 3986, section 3.2: the
-- authority ends at / ? #).
CREATE FUNCTION timetable.redacted_row(parameters jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF jsonb_typeof(parameters) <> 'object' THEN
        RETURN parameters;
    END IF;
    -- In its JSON, where a quotation mark or a control character in a text has a backslash.
    RETURN coalesce((
        SELECT jsonb_object_agg(p.key, CASE
            WHEN p.key ~* '^pass' AND lower(p.key) <> 'passwordfile' THEN '"***"' ELSE p.value END)
        FROM jsonb_each(
            regexp_replace(parameters::text, '://[^/?#\\" ]*@', '://***@', 'g')::jsonb) AS p), '{}');
END $$;

-- The parameters of a run: an object with an array of rows for each element. They may also be
-- malformed in any way, when somebody wrote a run_request by himself.
CREATE FUNCTION timetable.redacted(parameters jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF jsonb_typeof(parameters) = 'array' THEN
        RETURN coalesce((
            SELECT jsonb_agg(timetable.redacted_row(r.value) ORDER BY r.ordinality)
            FROM jsonb_array_elements(parameters) WITH ORDINALITY AS r), '[]');
    ELSIF jsonb_typeof(parameters) <> 'object' THEN
        RETURN parameters;
    END IF;
    RETURN coalesce((
        SELECT jsonb_object_agg(p.key, CASE
            WHEN jsonb_typeof(p.value) = 'array' THEN timetable.redacted(p.value)
            WHEN p.key ~* '^pass' THEN '"***"'
            ELSE timetable.redacted_row(p.value) END)
        FROM jsonb_each(parameters) AS p), '{}');
END $$;

-- Takes the secrets out of the records of runs that have ended.
CREATE FUNCTION timetable.redact_runs(runs bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE timetable.run_status r SET parameters = timetable.redacted(r.parameters)
    WHERE r.run_status = ANY (runs) AND r.finished IS NOT NULL
        AND r.parameters <> timetable.redacted(r.parameters);
    UPDATE timetable.run_request q SET parameters = timetable.redacted(q.parameters)
    FROM timetable.run_status r
    WHERE r.run_status = ANY (runs) AND r.finished IS NOT NULL AND q.run_request = r.run_request
        AND q.parameters <> timetable.redacted(q.parameters);
END $$;

-- Claims, called by the daemon only.

-- Functions in SQL are planned anew at every call (PostgreSQL 15: 0.5 to 2 ms for these), those in
-- plpgsql once a session: so what is on the path of a run is in plpgsql and calls no SQL function.

-- What keeps a run of a config from beginning, besides its own max_instances; NULL is nothing. For a
-- request, only others that waited before it; a fire stands behind all that wait.
CREATE FUNCTION timetable.blocker(config bigint, request bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    me timetable.chain_execution_config;
    reason text;
BEGIN
    SELECT * INTO me FROM timetable.chain_execution_config c
    WHERE c.chain_execution_config = config;
    SELECT format(
            CASE WHEN me.exclusive_execution THEN 'exclusive_execution: run %s of "%s" is under way'
                WHEN other.exclusive_execution THEN
                    'run %s of "%s" is under way, which has exclusive_execution'
                ELSE 'excluded_execution_configs: run %s of "%s" is under way' END,
            r.run_status, other.chain_name)
    INTO reason
    FROM timetable.run_status r
    LEFT JOIN timetable.chain_execution_config other
        ON other.chain_execution_config = r.chain_execution_config
    WHERE r.execution_status = 'STARTED' AND (
        me.exclusive_execution OR other.exclusive_execution
        OR r.chain_execution_config = ANY (me.excluded_execution_configs)
        OR config = ANY (other.excluded_execution_configs))
    LIMIT 1;
    IF reason IS NOT NULL THEN
        RETURN reason;
    END IF;
    -- Else runs that begin again and again would keep out for ever what needs them all gone. What
    -- only a worker that is not there may run keeps nobody waiting.
    SELECT format('"%s" waited before it (request %s)', other.chain_name, q.run_request)
    INTO reason
    FROM timetable.run_request q
    JOIN timetable.chain_execution_config other
        ON other.chain_execution_config = q.chain_execution_config
    WHERE q.claimed_at IS NULL AND q.blocked_at IS NOT NULL
        AND coalesce(q.run_request < request, true)
        AND (
            me.exclusive_execution OR other.exclusive_execution
            OR q.chain_execution_config = ANY (me.excluded_execution_configs)
            OR config = ANY (other.excluded_execution_configs))
        AND (other.client_name IS NULL OR EXISTS (
            SELECT FROM timetable.worker w
            WHERE w.client_name = other.client_name
                AND w.seen_at > clock_timestamp() - interval '1 minute'))
    LIMIT 1;
    RETURN reason;
END $$;

-- Locks what decides about runs of these configs until the claim commits, and tells whether each
-- has to be judged by itself: then a claim is never decided beside another one that it may exclude.
CREATE FUNCTION timetable.lock_claim(configs bigint[]) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    restricts boolean;
    is_exclusive boolean;
BEGIN
    SELECT
        coalesce(bool_or(c.exclusive_execution), false),
        coalesce(bool_or(c.chain_execution_config = ANY (configs)
            OR c.excluded_execution_configs::bigint[] && configs), false)
    INTO is_exclusive, restricts
    FROM timetable.chain_execution_config c
    WHERE c.exclusive_execution OR c.excluded_execution_configs <> '{}';
    -- 'ca' is Carillon's key space; its key 0 is all configs, and in the seed's numbers no config.
    IF restricts THEN
        PERFORM pg_advisory_xact_lock(x'6361'::bigint << 48);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(x'6361'::bigint << 48);
    END IF;
    -- In order: two claims never count the runs of one config at the same time, and never wait for
    -- each other in a circle.
    PERFORM pg_advisory_xact_lock((x'6361'::bigint << 48) # id)
    FROM (SELECT DISTINCT unnest(configs) AS id ORDER BY 1) AS sorted;
    RETURN restricts OR is_exclusive;
END $$;

-- Raises unless the session's statement before this one happened: they are numbered from 1. What is
-- already on its way behind a claim that was refused must not happen, since after a later claim
-- nobody looks for an earlier fire. NULL: in any order.
CREATE FUNCTION timetable.keep_order(number bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF number IS NULL THEN
        RETURN;
    END IF;
    IF coalesce(nullif(current_setting('timetable.claims', true), ''), '0')::bigint <> number - 1
    THEN
        RAISE EXCEPTION 'what was to happen before was refused'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    -- Undone with the statement.
    PERFORM set_config('timetable.claims', number::text, false);
END $$;

-- Claims fires for a worker: config, instant, and the scheduled_since of the schedule by which it is
-- due, both in microseconds since 1970. A config only once in a call, since its runs are counted
-- before any of them begins.
-- outcome: STARTED, ours now; SKIPPED, ours and recorded as not run; WAITING, ours, with a request
-- that resumes it; TAKEN, another's; EARLY, the instant lies ahead of the database's clock; GONE,
-- no such live config for this worker, or with another schedule by now.
CREATE FUNCTION timetable.claim_fires(
    configs bigint[], fires bigint[], sinces bigint[], worker text, number bigint DEFAULT NULL,
    OUT config bigint, OUT fire bigint, OUT outcome text, OUT run bigint, OUT clock bigint
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    since bigint;
BEGIN
    PERFORM timetable.keep_order(number);
    -- A statement of its own: later snapshots are younger than the locks.
    IF NOT timetable.lock_claim(configs) THEN
        RETURN QUERY SELECT * FROM timetable.claim_judged(configs, fires, sinces, NULL, worker);
        RETURN;
    END IF;
    FOR config, fire, since IN
        SELECT f.config, f.fire, f.since
        FROM unnest(configs, fires, sinces) AS f (config, fire, since) ORDER BY 2, 1
    LOOP
        RETURN QUERY
        SELECT * FROM timetable.claim_judged(
            ARRAY[config], ARRAY[fire], ARRAY[since], timetable.blocker(config, NULL), worker);
    END LOOP;
END $$;

-- Fires of which we know what is in their way, besides max_instances: the same for all.
CREATE FUNCTION timetable.claim_judged(
    configs bigint[], fires bigint[], sinces bigint[], blocker text, worker text,
    OUT config bigint, OUT fire bigint, OUT outcome text, OUT run bigint, OUT clock bigint
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH found AS (
        SELECT f.config, f.fire,
            timestamptz 'epoch' + f.fire * interval '1 microsecond' AS instant,
            c.chain_id, c.overlap,
            CASE
                WHEN c.live IS NOT TRUE OR c.chain_id IS NULL OR c.client_name <> worker
                    OR f.since IS DISTINCT FROM CASE WHEN c.scheduled_since IS NOT NULL THEN
                        greatest(least(extract(epoch FROM c.scheduled_since) * 1000000, 9e18),
                            -9e18)::bigint END
                    THEN 'GONE'
                WHEN f.fire > extract(epoch FROM clock_timestamp()) * 1000000 THEN 'EARLY'
                -- Another worker found that it was missed.
                WHEN (
                    SELECT r.missed_until FROM timetable.run_status r
                    WHERE r.chain_execution_config = f.config AND r.scheduled_for <=
                        timestamptz 'epoch' + f.fire * interval '1 microsecond'
                    ORDER BY r.scheduled_for DESC LIMIT 1
                ) >= timestamptz 'epoch' + f.fire * interval '1 microsecond' THEN 'TAKEN'
                ELSE 'STARTED'
            END AS verdict,
            coalesce(blocker, CASE WHEN (
                    SELECT count(*) FROM timetable.run_status r
                    WHERE r.chain_execution_config = f.config AND r.execution_status = 'STARTED'
                ) >= coalesce(c.max_instances, 16)
                THEN format('%s runs of this config are under way, max_instances allows no more',
                    coalesce(c.max_instances, 16)) END) AS reason
        FROM unnest(configs, fires, sinces) AS f (config, fire, since)
        LEFT JOIN timetable.chain_execution_config c ON c.chain_execution_config = f.config
    ), judged AS (
        SELECT f.config, f.fire, f.instant, f.chain_id, f.reason,
            CASE
                WHEN f.verdict <> 'STARTED' OR f.reason IS NULL THEN f.verdict
                WHEN f.overlap = 'WAIT' AND (
                    SELECT count(*) FROM timetable.run_request q
                    WHERE q.chain_execution_config = f.config AND q.claimed_at IS NULL
                        AND q.blocked_at IS NOT NULL) < 100 THEN 'WAITING'
                ELSE 'SKIPPED'
            END AS verdict
        FROM found f
    ), claimed AS (
        INSERT INTO timetable.run_status AS r (
            execution_status, chain_id, current_execution_element, started, finished,
            chain_execution_config, scheduled_for, client_name, parameters, reason, attempt)
        SELECT j.verdict::timetable.execution_status, j.chain_id, j.chain_id,
            CASE j.verdict WHEN 'WAITING' THEN NULL ELSE clock_timestamp() END,
            CASE j.verdict WHEN 'SKIPPED' THEN clock_timestamp() END,
            j.config, j.instant, worker, CASE WHEN j.verdict <> 'SKIPPED' THEN (
                SELECT jsonb_object_agg(p.chain_id, p.rows)
                FROM (
                    SELECT chain_id, jsonb_agg(value ORDER BY order_id) AS rows
                    FROM timetable.chain_execution_parameters
                    WHERE chain_execution_config = j.config AND chain_id IS NOT NULL
                    GROUP BY chain_id
                ) AS p
                HAVING count(*) > 0) END,
            j.reason, CASE j.verdict WHEN 'WAITING' THEN 0 ELSE 1 END
        FROM judged j
        WHERE j.verdict IN ('STARTED', 'SKIPPED', 'WAITING')
        ORDER BY j.config, j.instant
        ON CONFLICT ON CONSTRAINT a_fire_is_claimed_once DO NOTHING
        RETURNING r.run_status, r.chain_execution_config, r.scheduled_for, r.execution_status
    ), asked AS (
        INSERT INTO timetable.run_request
            (chain_execution_config, requested_by, resumes, blocked_at)
        SELECT c.chain_execution_config, 'overlap', c.run_status, clock_timestamp()
        FROM claimed c WHERE c.execution_status = 'WAITING'
    )
    SELECT j.config, j.fire,
        CASE WHEN j.verdict IN ('STARTED', 'SKIPPED', 'WAITING') AND c.run_status IS NULL
            THEN 'TAKEN' ELSE j.verdict END,
        c.run_status,
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    FROM judged j
    LEFT JOIN claimed c
        ON c.chain_execution_config = j.config AND c.scheduled_for = j.instant;
END $$;

-- Records fires that nobody could claim in time: for each config those from first to last, so many,
-- decided by the version of its schedule that since tells. What other workers claimed or recorded of
-- them in the meantime, late as they were, is left out: they account for all up to there.
CREATE FUNCTION timetable.record_missed(
    configs bigint[], firsts bigint[], lasts bigint[], counts bigint[], sinces bigint[], worker text,
    number bigint DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    missed record;
    rule timetable.chain_execution_config;
    accounted timestamptz;
    passed bigint;
    later timestamptz;
BEGIN
    PERFORM timetable.keep_order(number);
    -- Not beside a claim of one of these.
    PERFORM timetable.lock_claim(configs);
    FOR missed IN
        SELECT m.config, m.count,
            timestamptz 'epoch' + m.first * interval '1 microsecond' AS first,
            timestamptz 'epoch' + m.last * interval '1 microsecond' AS last
        FROM unnest(configs, firsts, lasts, counts, sinces) AS m (config, first, last, count, since)
        JOIN timetable.chain_execution_config c ON c.chain_execution_config = m.config
        -- What was decided by a schedule that is no more the config's is decided again.
        WHERE c.live AND (c.client_name IS NULL OR c.client_name = worker)
            AND m.since IS NOT DISTINCT FROM CASE WHEN c.scheduled_since IS NOT NULL THEN
                greatest(least(extract(epoch FROM c.scheduled_since) * 1000000, 9e18),
                    -9e18)::bigint END
        ORDER BY m.config, m.first
    LOOP
        SELECT greatest(r.scheduled_for, r.missed_until) INTO accounted
        FROM timetable.run_status r
        WHERE r.chain_execution_config = missed.config AND r.scheduled_for <= missed.last
        ORDER BY r.scheduled_for DESC LIMIT 1;
        SELECT * INTO rule FROM timetable.chain_execution_config c
        WHERE c.chain_execution_config = missed.config;
        IF accounted >= missed.first THEN
            CONTINUE WHEN accounted >= missed.last;
            missed.count := missed.count - 1;
            LOOP
                SELECT count(*) FILTER (WHERE f <= accounted),
                    min(f) FILTER (WHERE f > accounted), coalesce(max(f), missed.first)
                INTO passed, later, missed.first
                FROM timetable.config_fires_after(rule, missed.first, 100) AS f;
                missed.count := missed.count - passed;
                EXIT WHEN later IS NOT NULL OR passed = 0;
            END LOOP;
            CONTINUE WHEN later IS NULL;
            missed.first := later;
        END IF;
        INSERT INTO timetable.run_status (
            execution_status, chain_id, finished, chain_execution_config, scheduled_for,
            missed_until, missed_count, client_name, reason)
        VALUES ('MISSED', rule.chain_id, clock_timestamp(), missed.config, missed.first,
            missed.last, missed.count, worker, 'no worker could claim it in time');
    END LOOP;
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

-- Claims requests for a worker. outcome: STARTED; WAITING, its own config has no room for it now;
-- BLOCKED, others are in its way; TAKEN; ELSEWHERE, only another worker may have it; EARLY with the
-- instant from which it may run; GONE, its config does not exist any more. A request that resumes
-- a WAITING run starts the next attempt of that run.
CREATE FUNCTION timetable.claim_requests(
    requests bigint[], worker text,
    OUT request bigint, OUT config bigint, OUT outcome text, OUT run bigint, OUT run_after bigint,
    OUT clock bigint
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    wanted bigint;
    wanted_config bigint;
    configs bigint[] := ARRAY(
        SELECT DISTINCT q.chain_execution_config FROM timetable.run_request q
        WHERE q.run_request = ANY (requests) AND q.claimed_at IS NULL);
BEGIN
    IF NOT timetable.lock_claim(configs) THEN
        RETURN QUERY SELECT * FROM timetable.claim_asked(requests, NULL, worker);
        RETURN;
    END IF;
    FOR wanted, wanted_config IN
        SELECT a.id, q.chain_execution_config
        FROM unnest(requests) AS a (id)
        LEFT JOIN timetable.run_request q ON q.run_request = a.id
        ORDER BY a.id
    LOOP
        RETURN QUERY
        SELECT * FROM timetable.claim_asked(
            ARRAY[wanted], timetable.blocker(wanted_config, wanted), worker);
    END LOOP;
END $$;

-- Requests of which we know what is in their way, besides max_instances: the same for all.
CREATE FUNCTION timetable.claim_asked(
    requests bigint[], blocker text, worker text,
    OUT request bigint, OUT config bigint, OUT outcome text, OUT run bigint, OUT run_after bigint,
    OUT clock bigint
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
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
                WHEN o.run_after > clock_timestamp() THEN 'EARLY'
                WHEN blocker IS NOT NULL THEN 'BLOCKED'
                WHEN o.place + u.under_way > coalesce(c.max_instances, 16) THEN 'WAITING'
                WHEN c.client_name <> worker THEN 'ELSEWHERE'
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
        SET claimed_at = CASE WHEN j.verdict IN ('STARTED', 'GONE', 'OVER')
                THEN clock_timestamp() END,
            parameters = CASE j.verdict WHEN 'GONE' THEN timetable.redacted(q.parameters)
                ELSE q.parameters END,
            blocked_at = coalesce(q.blocked_at, CASE WHEN j.verdict IN ('WAITING', 'BLOCKED')
                THEN clock_timestamp() END)
        FROM judged j
        WHERE q.run_request = j.run_request AND (
            j.verdict IN ('STARTED', 'GONE', 'OVER')
            OR (j.verdict IN ('WAITING', 'BLOCKED') AND q.blocked_at IS NULL))
    ), resumed AS (
        UPDATE timetable.run_status r
        SET execution_status = CASE j.verdict WHEN 'GONE' THEN 'CHAIN_FAILED' ELSE 'STARTED'
                END::timetable.execution_status,
            attempt = r.attempt + CASE j.verdict WHEN 'GONE' THEN 0 ELSE 1 END,
            client_name = worker, retry_at = NULL, reason = NULL,
            current_execution_element = r.chain_id,
            parameters = CASE j.verdict WHEN 'GONE' THEN timetable.redacted(r.parameters)
                ELSE r.parameters END,
            started = coalesce(r.started, clock_timestamp()), last_status_update = clock_timestamp(),
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
            CASE j.verdict WHEN 'GONE' THEN timetable.redacted(j.parameters)
                ELSE coalesce(own.parameters || j.parameters, j.parameters, own.parameters) END,
            j.run_request,
            CASE j.verdict WHEN 'GONE' THEN 'the config does not exist, or has no chain' END
        FROM judged j
        LEFT JOIN LATERAL (
            SELECT jsonb_object_agg(p.chain_id, p.rows) AS parameters
            FROM (
                SELECT chain_id, jsonb_agg(value ORDER BY order_id) AS rows
                FROM timetable.chain_execution_parameters
                WHERE chain_execution_config = j.chain_execution_config
                    AND chain_id IS NOT NULL
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

-- Ends of runs, called by the daemon only.

-- Ends a run well, in the transaction of its chain: both commit or neither. Raises when this
-- attempt is not under way in this worker's hands any more, so that its work is not done either.
-- With config_to_wake, that config waits for the end of its run (@after) on every daemon.
-- False when the transaction is read only: then nothing is recorded here.
CREATE FUNCTION timetable.chain_done(
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
CREATE FUNCTION timetable.hold_run(run bigint, attempt integer, worker text) RETURNS void
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
-- elements: where each failed, for current_execution_element.
-- Returns the end that each run has now, TAKEN when another attempt or worker has it.
CREATE FUNCTION timetable.end_runs(
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
CREATE FUNCTION timetable.release_claims(
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
        SET execution_status = 'WAITING', attempt = r.attempt - 1
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
CREATE FUNCTION timetable.adopt_runs(
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

-- Workers: who lives, and what becomes of what a dead one had under way. Called by the daemons only.

-- The advisory locks of this database that somebody holds, each by its 64-bit key.
CREATE VIEW timetable.held_lock AS
    SELECT DISTINCT (l.classid::bigint << 32) | l.objid::bigint AS key
    FROM pg_catalog.pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.database = (
        SELECT d.oid FROM pg_catalog.pg_database d
        WHERE d.datname = pg_catalog.current_database());

-- A daemon holds the first as long as it is connected, a stand-by for its name shares the second.
CREATE FUNCTION timetable.name_key(worker text) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_catalog.hashtextextended('carillon worker ' OPERATOR(pg_catalog.||) worker, 0)
$$;
CREATE FUNCTION timetable.standby_key(worker text) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
    SELECT pg_catalog.hashtextextended('carillon standby ' OPERATOR(pg_catalog.||) worker, 0)
$$;

-- Ends the sessions that a worker left behind, but not those in keep, and returns how many are
-- still there: to be called until it returns 0.
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
CREATE FUNCTION timetable.mark_dead(
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
CREATE FUNCTION timetable.bury(
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

CREATE VIEW timetable.workers AS
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

-- Functions for users.

CREATE FUNCTION timetable.insert_base_task(task_name text, parent_task_id bigint) RETURNS bigint
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

CREATE FUNCTION timetable.get_running_jobs(config bigint) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT chain_execution_config, start_status
    FROM timetable.run_status
    WHERE chain_execution_config = config AND execution_status = 'STARTED'
    ORDER BY start_status
$$;
COMMENT ON FUNCTION timetable.get_running_jobs(bigint) IS
    'The runs of a config that are under way: SELECT * FROM timetable.get_running_jobs(1) AS (chain_execution_config bigint, start_status bigint)';

CREATE FUNCTION timetable.check_task(config bigint) RETURNS boolean
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

CREATE FUNCTION timetable.run(
    config bigint, parameters jsonb DEFAULT NULL, run_after timestamptz DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head bigint;
    stray text;
    request bigint;
BEGIN
    SELECT c.chain_id INTO head
    FROM timetable.chain_execution_config c WHERE c.chain_execution_config = config;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no config %', config USING ERRCODE = 'invalid_parameter_value';
    END IF;
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
    INSERT INTO timetable.run_request (chain_execution_config, parameters, run_after)
    VALUES (config, parameters, run_after)
    RETURNING run_request INTO request;
    RETURN request;
END $$;
COMMENT ON FUNCTION timetable.run(bigint, jsonb, timestamptz) IS
    'Asks for one run, now or at run_after, also while no daemon is up; returns the run_request';

CREATE FUNCTION timetable.run(
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

CREATE FUNCTION timetable.cancel(run bigint, reason text DEFAULT NULL) RETURNS boolean
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
        reason = coalesce(cancel.reason, 'cancelled by ' || session_user)
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
    ELSE
        PERFORM pg_notify('timetable_cancel', run::text);
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION timetable.cancel(bigint, text) IS
    'Ends a run that is under way or WAITING: SELECT timetable.cancel(run_status); false when it has ended already';

-- The built-ins, in the seed's order: a user's first own base task gets id 6.

INSERT INTO timetable.base_task (name, kind, script) VALUES
    ('NoOp', 'BUILTIN', 'NoOp'),
    ('Sleep', 'BUILTIN', 'Sleep'),
    ('Log', 'BUILTIN', 'Log'),
    ('SendMail', 'BUILTIN', 'SendMail'),
    ('Download', 'BUILTIN', 'Download');

-- Those that the seed did not have: numbers below its own, which no sequence gives.
INSERT INTO timetable.base_task (task_id, name, kind, script) VALUES
    (-1, 'CopyFromFile', 'BUILTIN', 'CopyFromFile'),
    (-2, 'CopyToFile', 'BUILTIN', 'CopyToFile'),
    (-3, 'CopyFromProgram', 'BUILTIN', 'CopyFromProgram'),
    (-4, 'CopyToProgram', 'BUILTIN', 'CopyToProgram'),
    (-5, 'Shutdown', 'BUILTIN', 'Shutdown');

INSERT INTO timetable.schema_version (version) VALUES (3);

-- Data, of each kind.

INSERT INTO timetable.database_connection (connect_string, comment)
VALUES ('host=/nowhere dbname=other', 'elsewhere');
INSERT INTO timetable.base_task (name, kind, script) VALUES
    ('/bin/date test', 'SHELL', '/bin/date'),
    ('clear report', 'SQL', 'DELETE FROM report'),
    ('fill report', 'SQL', 'INSERT INTO report SELECT $1');
INSERT INTO timetable.task_chain (task_id) VALUES (6), (7);
INSERT INTO timetable.task_chain (parent_id, task_id, run_uid, ignore_error, timeout)
VALUES (2, 8, 'postgres', true, '5 minutes');
INSERT INTO timetable.task_chain (parent_id, task_id, database_connection, autonomous)
VALUES (3, 1, 1, true);
INSERT INTO timetable.chain_execution_config (chain_id, chain_name, live)
VALUES (1, 'output date every minute', true);
INSERT INTO timetable.chain_execution_config (
    chain_id, chain_name, schedule, time_zone, max_instances, overlap, timeout, jitter, misfire,
    retries, retry_delay, on_failure, client_name, starts_at, ends_at, live)
VALUES (2, 'daily report', '30 2 * * *', 'Europe/Berlin', 1, 'WAIT', '10 minutes', '1 minute', 'ONCE',
    2, '5 seconds', 1, 'worker002', '2026-01-01 00:00+00', '2030-01-01 00:00+00', true);
INSERT INTO timetable.chain_execution_config (
    chain_id, chain_name, run_at_minute, run_at_hour, run_at_day_of_week, exclusive_execution,
    excluded_execution_configs, self_destruct, live)
VALUES (1, 'alone on Monday', 5, 4, 1, true, '{1, 2}', true, false);
INSERT INTO timetable.chain_execution_parameters VALUES (2, 3, 1, '["2026-01-01"]'), (2, 3, 2, '["x"]');
INSERT INTO timetable.run_request (
    chain_execution_config, parameters, run_after, requested_by, requested_at, claimed_at)
VALUES (1, NULL, NULL, 'postgres', '2026-03-01 10:00+00', '2026-03-01 10:00:01+00'),
    (2, '{"3": [["later"]]}', '2040-01-01 00:00+00', 'postgres', '2026-03-01 10:00+00', NULL);
INSERT INTO timetable.run_status (
    execution_status, chain_id, current_execution_element, started, finished, last_status_update,
    chain_execution_config, scheduled_for, client_name, parameters, attempt, error, sqlstate, reason,
    missed_count, missed_until, run_request)
VALUES
    ('CHAIN_DONE', 1, 1, '2026-03-01 10:00:01+00', '2026-03-01 10:00:02+00', '2026-03-01 10:00:02+00',
        1, NULL, 'worker001', NULL, 1, NULL, NULL, NULL, NULL, NULL, 1),
    ('CHAIN_FAILED', 2, 3, '2026-03-01 01:30+00', '2026-03-01 01:31+00', '2026-03-01 01:31+00',
        2, '2026-03-01 01:30+00', 'worker002', '{"3": [["2026-01-01"], ["x"]]}', 3, 'no such day', '22007',
        NULL, NULL, NULL, NULL),
    ('MISSED', 2, NULL, NULL, '2026-03-04 09:00+00', '2026-03-04 09:00+00',
        2, '2026-03-02 01:30+00', 'worker002', NULL, 1, NULL, NULL, 'no worker could claim it in time',
        3, '2026-03-04 01:30+00', NULL),
    ('DEAD', 1, 1, '2026-03-01 10:01+00', '2026-03-01 10:02+00', '2026-03-01 10:02+00',
        1, '2026-03-01 10:01+00', 'worker001', NULL, 1, 'its daemon ended while it was under way', NULL,
        NULL, NULL, NULL, NULL);
INSERT INTO timetable.execution_log (
    chain_execution_config, chain_id, task_id, name, script, kind, last_run, finished, returncode, pid,
    run_status, output, error, sqlstate, parameters, client_name, attempt)
VALUES
    (1, 1, 6, '/bin/date test', '/bin/date', 'SHELL', '2026-03-01 10:00:01+00', '2026-03-01 10:00:02+00',
        0, 4711, 1, 'Sun Mar  1 10:00:01 UTC 2026', NULL, NULL, NULL, 'worker001', 1),
    (2, 3, 8, 'fill report', 'INSERT INTO report SELECT $1', 'SQL', '2026-03-01 01:30+00',
        '2026-03-01 01:31+00', 1, NULL, 2, NULL, 'no such day', '22007', '["x"]', 'worker002', 3);
INSERT INTO timetable.log (ts, client_name, pid, log_level, message)
VALUES ('2026-03-01 09:59+00', 'worker001', 4700, 'LOG', 'ready: 2 schedules');
INSERT INTO timetable.worker (client_name, host, pid, version, started_at, seen_at, claimed_until, stopped_at)
VALUES ('worker001', 'here', 4700, '0.3.0', '2026-03-01 09:59+00', '2026-03-04 09:00+00',
    '2026-03-04 09:00+00', '2026-03-04 09:01+00');
INSERT INTO timetable.worker_backend VALUES ('worker001', 4712, '2026-03-01 09:59+00');

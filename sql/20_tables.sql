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
    paused_until timestamptz,
    paused_at timestamptz,
    paused_by text,
    pause_note text,
    owner text NOT NULL DEFAULT current_user,
    keep_for interval,
    keep_runs integer,
    origin text,

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
    CONSTRAINT on_failure_is_another_config CHECK (on_failure <> chain_execution_config),
    CONSTRAINT keep_for_is_positive CHECK (keep_for > interval '0'),
    CONSTRAINT keep_runs_is_positive CHECK (keep_runs > 0)
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
COMMENT ON COLUMN timetable.chain_execution_config.origin IS
    'What carillon import made it from; NULL: made by hand or from a file';
COMMENT ON COLUMN timetable.chain_execution_config.self_destruct IS
    'Delete this config when its chain was done';
COMMENT ON COLUMN timetable.chain_execution_config.paused_until IS
    'No fire before it; infinity: until it is resumed; NULL: not paused. See pause_job, resume_job';
COMMENT ON COLUMN timetable.chain_execution_config.owner IS
    'The role that may change it besides timetable_admin, where there are roles';
COMMENT ON COLUMN timetable.chain_execution_config.keep_for IS
    'How long its runs are kept once they ended; NULL = as timetable.retention says';
COMMENT ON COLUMN timetable.chain_execution_config.keep_runs IS
    'How many of its runs are kept; NULL = any number';
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
    secret boolean NOT NULL DEFAULT false,
    PRIMARY KEY (chain_execution_config, chain_id, order_id)
);
COMMENT ON TABLE timetable.chain_execution_parameters IS
    'Parameters of one element of the chain under one config: each row is one invocation';
COMMENT ON COLUMN timetable.chain_execution_parameters.secret IS
    'Shown as *** in every record and log, and to readers';
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
CREATE INDEX run_request_resumes ON timetable.run_request (resumes) WHERE resumes IS NOT NULL;
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
    run_request bigint,
    CONSTRAINT a_fire_is_claimed_once UNIQUE (chain_execution_config, scheduled_for)
);
COMMENT ON TABLE timetable.run_status IS
    'One row for each run, kept up to date; a fire that did not run has one too, with its reason';
CREATE INDEX run_status_under_way ON timetable.run_status (chain_execution_config)
    WHERE execution_status = 'STARTED';
-- Of no cost to the runs of fires.
CREATE UNIQUE INDEX a_request_is_claimed_once ON timetable.run_status (run_request)
    WHERE run_request IS NOT NULL;
-- The last runs of a config, and the oldest.
CREATE INDEX run_status_of_config ON timetable.run_status (chain_execution_config, run_status);
-- What failed since when, and of a config; of no cost to those that did not.
CREATE INDEX run_status_failed ON timetable.run_status (finished)
    WHERE execution_status IN ('CHAIN_FAILED', 'TIMED_OUT', 'DEAD', 'CANCELLED', 'MISSED');
CREATE INDEX run_status_failed_of_config
    ON timetable.run_status (chain_execution_config, finished)
    WHERE execution_status IN ('CHAIN_FAILED', 'TIMED_OUT', 'DEAD', 'CANCELLED', 'MISSED');

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

CREATE TABLE timetable.chain_author (
    chain_id bigint
        REFERENCES timetable.task_chain (chain_id) ON UPDATE CASCADE ON DELETE CASCADE,
    role text,
    PRIMARY KEY (chain_id, role)
);
COMMENT ON TABLE timetable.chain_author IS
    'Chains for which a role (timetable_author: all authors) may have configs of its own';

-- One row a run, and soon one that is dead: found again before a fifth of the table is.
ALTER TABLE timetable.run_status SET (autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE timetable.run_request SET (autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE timetable.execution_log SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE timetable.log SET (autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE timetable.retention (
    table_name text PRIMARY KEY,
    keep_for interval,
    keep_rows bigint,
    keep_bytes bigint,
    pruned_at timestamptz,
    removed bigint,
    CONSTRAINT table_name_is_log_or_execution_log_or_run_status
        CHECK (table_name IN ('log', 'execution_log', 'run_status')),
    CONSTRAINT keep_for_is_positive CHECK (keep_for > interval '0'),
    CONSTRAINT keep_rows_is_positive CHECK (keep_rows > 0),
    CONSTRAINT keep_bytes_is_positive CHECK (keep_bytes > 0)
);
COMMENT ON TABLE timetable.retention IS
    'How long history is kept: what is over any of the bounds goes, oldest first; NULL = no bound';
COMMENT ON COLUMN timetable.retention.keep_for IS
    'Since the end of a run, or since a line was written; a config''s own keep_for beats it';
COMMENT ON COLUMN timetable.retention.keep_bytes IS
    'What the rows take, about; the file keeps its size, since its room is used again';
COMMENT ON COLUMN timetable.retention.pruned_at IS 'When that was last seen to';
COMMENT ON COLUMN timetable.retention.removed IS 'How many rows went then';
INSERT INTO timetable.retention (table_name, keep_for)
VALUES ('log', '30 days'), ('execution_log', '30 days'), ('run_status', '30 days');

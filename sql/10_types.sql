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

-- A cron expression as sets of bits, and when a config fires: see 35_next_fires.
CREATE TYPE timetable.cron_sets AS (
    seconds bigint, minutes bigint, hours bigint, days bigint, months bigint, weekdays bigint,
    -- L-n: bit n; nW: bit n; d#n: bit 7 × (n − 1) + d; dL: bit 35 + d.
    last_days bigint, nearest_workdays bigint, nth_weekdays bigint,
    last_workday boolean, special_days boolean, both_days boolean, real_time boolean
);

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

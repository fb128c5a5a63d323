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

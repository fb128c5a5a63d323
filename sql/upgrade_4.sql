-- From version 3 to 4: what is new in tables and types. Columns are appended here and in 20_tables
-- in the same order; functions, views and triggers are made anew after this by the files 30 to 70.

DO $$ BEGIN
    IF (SELECT max(version) FROM timetable.schema_version) <> 3 THEN
        RAISE EXCEPTION 'the schema timetable does not have version 3';
    END IF;
END $$;

ALTER TABLE timetable.chain_execution_config
    ADD COLUMN paused_until timestamptz,
    ADD COLUMN paused_at timestamptz,
    ADD COLUMN paused_by text,
    ADD COLUMN pause_note text,
    ADD COLUMN owner text NOT NULL DEFAULT current_user;
COMMENT ON COLUMN timetable.chain_execution_config.paused_until IS
    'No fire before it; infinity: until it is resumed; NULL: not paused. See pause_job, resume_job';
COMMENT ON COLUMN timetable.chain_execution_config.owner IS
    'The role that may change it besides timetable_admin, where there are roles';

ALTER TABLE timetable.chain_execution_parameters
    ADD COLUMN secret boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN timetable.chain_execution_parameters.secret IS
    'Shown as *** in every record and log, and to readers';

CREATE TABLE timetable.chain_author (
    chain_id bigint
        REFERENCES timetable.task_chain (chain_id) ON UPDATE CASCADE ON DELETE CASCADE,
    role text,
    PRIMARY KEY (chain_id, role)
);
COMMENT ON TABLE timetable.chain_author IS
    'Chains for which a role (timetable_author: all authors) may have configs of its own';

ALTER TABLE timetable.chain_execution_config
    ADD COLUMN keep_for interval,
    ADD COLUMN keep_runs integer,
    ADD CONSTRAINT keep_for_is_positive CHECK (keep_for > interval '0'),
    ADD CONSTRAINT keep_runs_is_positive CHECK (keep_runs > 0);
COMMENT ON COLUMN timetable.chain_execution_config.keep_for IS
    'How long its runs are kept once they ended; NULL = as timetable.retention says';
COMMENT ON COLUMN timetable.chain_execution_config.keep_runs IS
    'How many of its runs are kept; NULL = any number';

DROP INDEX timetable.run_request_resumes;
CREATE INDEX run_request_resumes ON timetable.run_request (resumes) WHERE resumes IS NOT NULL;
ALTER TABLE timetable.run_status DROP CONSTRAINT a_request_is_claimed_once;
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

INSERT INTO timetable.schema_version (version) VALUES (4);
ALTER TABLE timetable.chain_execution_config ADD COLUMN origin text;
COMMENT ON COLUMN timetable.chain_execution_config.origin IS
    'What carillon import made it from; NULL: made by hand or from a file';

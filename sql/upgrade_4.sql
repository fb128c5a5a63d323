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

INSERT INTO timetable.schema_version (version) VALUES (4);

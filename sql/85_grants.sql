-- What the roles of 80 may do, and which rows an author sees. Can be run again, and is to be after
-- each upgrade: nothing that is new is anybody's before.

GRANT USAGE ON SCHEMA timetable
    TO timetable_admin, timetable_author, timetable_operator, timetable_reader;

-- Admin: everything but the version.
GRANT ALL ON ALL TABLES IN SCHEMA timetable TO timetable_admin;
GRANT ALL ON ALL SEQUENCES IN SCHEMA timetable TO timetable_admin;
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON timetable.schema_version FROM timetable_admin;

-- Reader: no connect strings, no parameters but in the views that hide what is secret.
GRANT SELECT ON timetable.schema_version, timetable.base_task, timetable.task_chain,
    timetable.chain_execution_config, timetable.execution_log, timetable.log, timetable.worker,
    timetable.workers, timetable.retention, timetable.known_time_zone, timetable.chain_author,
    timetable.shown_parameters, timetable.shown_run_parameters, timetable.jobs,
    timetable.running, timetable.failures
    TO timetable_reader;
GRANT SELECT (database_connection, comment) ON timetable.database_connection TO timetable_reader;

-- Author: configs and their parameters, of which row security leaves him his own.
GRANT SELECT, DELETE ON timetable.chain_execution_config TO timetable_author;
GRANT SELECT, INSERT, UPDATE, DELETE ON timetable.chain_execution_parameters TO timetable_author;
GRANT SELECT ON timetable.execution_log, timetable.known_time_zone, timetable.chain_author,
    timetable.shown_parameters, timetable.shown_run_parameters, timetable.open_chain,
    timetable.jobs, timetable.running, timetable.failures
    TO timetable_author;
GRANT SELECT (chain_id, parent_id) ON timetable.task_chain TO timetable_author;
GRANT USAGE ON SEQUENCE timetable.chain_execution_config_chain_execution_config_seq
    TO timetable_author;
GRANT EXECUTE ON FUNCTION timetable.code_elements(bigint[]) TO timetable_author;

GRANT EXECUTE ON FUNCTION timetable.request_run(bigint, jsonb, timestamptz),
    timetable.cancel_run(bigint, text), timetable.set_pause(bigint, timestamptz, text)
    TO timetable_admin, timetable_author, timetable_operator;

DO $$ DECLARE
    columns text;
    source text;
BEGIN
    -- An id that the sequence comes to later would stop others; scheduled_since and the pause are
    -- the triggers' and set_pause's.
    SELECT string_agg(quote_ident(attname), ', ') INTO columns
    FROM pg_catalog.pg_attribute
    WHERE attrelid = 'timetable.chain_execution_config'::regclass AND attnum > 0
        AND NOT attisdropped AND attname NOT IN ('chain_execution_config', 'scheduled_since',
            'paused_until', 'paused_at', 'paused_by', 'pause_note');
    EXECUTE format('GRANT INSERT (%1$s), UPDATE (%1$s) ON timetable.chain_execution_config '
        'TO timetable_author', columns);

    -- While a run is under way, its parameters hold what is secret.
    FOREACH source IN ARRAY '{run_status, run_request}'::text[] LOOP
        SELECT string_agg(quote_ident(attname), ', ') INTO columns
        FROM pg_catalog.pg_attribute
        WHERE attrelid = ('timetable.' || source)::regclass AND attnum > 0 AND NOT attisdropped
            AND attname <> 'parameters';
        EXECUTE format(
            'GRANT SELECT (%s) ON timetable.%I TO timetable_reader, timetable_author',
            columns, source);
    END LOOP;
END $$;

SET LOCAL client_min_messages = warning;

-- Row security binds neither the owner of a table, and so the daemon, nor a superuser. It is for
-- authors; whoever was granted a table in another way sees all of it, as before.
DO $$ DECLARE
    -- Roles whose rights the user has: looked up once a statement.
    mine CONSTANT text := 'IN (SELECT r.rolname FROM pg_catalog.pg_roles r '
        'WHERE pg_catalog.pg_has_role(r.oid, ''USAGE''))';
    own CONSTANT text := 'chain_execution_config IN (SELECT c.chain_execution_config '
        'FROM timetable.chain_execution_config c WHERE c.owner ' || mine || ')';
    source text;
    rule text;
BEGIN
    FOR source, rule IN VALUES
        ('chain_execution_config', 'owner ' || mine), ('chain_execution_parameters', own),
        ('run_status', own), ('run_request', own), ('execution_log', own),
        ('chain_author', 'role ' || mine)
    LOOP
        EXECUTE format('ALTER TABLE timetable.%I ENABLE ROW LEVEL SECURITY', source);
        EXECUTE format('DROP POLICY IF EXISTS not_an_author ON timetable.%I', source);
        EXECUTE format('CREATE POLICY not_an_author ON timetable.%I USING ((SELECT NOT '
            'pg_catalog.pg_has_role(''timetable_author'', ''USAGE'')))', source);
        EXECUTE format('DROP POLICY IF EXISTS admin ON timetable.%I', source);
        EXECUTE format('CREATE POLICY admin ON timetable.%I TO timetable_admin USING (true)', source);
        EXECUTE format('DROP POLICY IF EXISTS own ON timetable.%I', source);
        EXECUTE format('CREATE POLICY own ON timetable.%I TO timetable_author USING (%s)',
            source, rule);
        -- Parameters are no reader's.
        EXECUTE format('DROP POLICY IF EXISTS reader ON timetable.%I', source);
        CONTINUE WHEN source = 'chain_execution_parameters';
        EXECUTE format('CREATE POLICY reader ON timetable.%I FOR SELECT TO timetable_reader '
            'USING (true)', source);
    END LOOP;
END $$;

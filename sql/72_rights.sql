-- What roles may do who may not write the tables: run, cancel and pause, each through a function that
-- has the rights of the owner and looks at who asks. The functions of 70 and 75 take this way for
-- them; for all others they do it with the rights of whoever calls.

-- Who asks. Here current_user is the owner of the function; SET ROLE counts, as everywhere.
CREATE OR REPLACE FUNCTION timetable.caller() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN coalesce(nullif(current_setting('role'), 'none'), session_user);
END $$;

-- Whether a role has the rights of another one, which need not exist.
CREATE OR REPLACE FUNCTION timetable.acts_as(who text, role text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN coalesce((
        SELECT pg_has_role(w.oid, r.oid, 'USAGE') FROM pg_roles w, pg_roles r
        WHERE w.rolname = who AND r.rolname = role), false);
END $$;

-- The right of the caller on a config: all; own, an author's; operate; or none, which raises.
CREATE OR REPLACE FUNCTION timetable.right_on(config bigint) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    who CONSTANT text := timetable.caller();
    owner text;
BEGIN
    SELECT c.owner INTO owner
    FROM timetable.chain_execution_config c WHERE c.chain_execution_config = config;
    IF timetable.acts_as(who, 'timetable_admin') THEN
        RETURN 'all';
    ELSIF timetable.acts_as(who, 'timetable_author') AND timetable.acts_as(who, owner) THEN
        RETURN 'own';
    ELSIF timetable.acts_as(who, 'timetable_operator') THEN
        RETURN 'operate';
    END IF;
    RAISE EXCEPTION 'role "%" may not run, cancel or pause config %', who, config
        USING ERRCODE = 'insufficient_privilege',
            HINT = 'timetable_operator may, and an author his own.';
END $$;

-- What elements take parameters that are as good as code: paths, programs and SQL of the daemon's.
CREATE OR REPLACE FUNCTION timetable.code_elements(elements bigint[]) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT t.chain_id FROM timetable.task_chain t JOIN timetable.base_task b USING (task_id)
    WHERE t.chain_id = ANY (elements) AND b.kind = 'BUILTIN'
        AND b.script NOT IN ('NoOp', 'Sleep', 'Log', 'Shutdown');
END $$;

CREATE OR REPLACE FUNCTION timetable.refuse_code(elements bigint[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    element bigint;
BEGIN
    SELECT e INTO element FROM timetable.code_elements(elements) AS e LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'parameters of element % are for timetable_admin alone: they name files, programs or SQL that the daemon has rights for',
                element
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION timetable.request_run(
    config bigint, parameters jsonb, run_after timestamptz
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head bigint;
    granted text := timetable.right_on(config);
    request bigint;
BEGIN
    SELECT c.chain_id INTO head
    FROM timetable.chain_execution_config c WHERE c.chain_execution_config = config;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no config %', config USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF parameters IS NOT NULL AND granted = 'operate' THEN
        -- They may be anything, and the chain was made for those that its config has.
        RAISE EXCEPTION 'role "%" may run config % with its own parameters only',
                timetable.caller(), config
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    parameters := timetable.parameters_by_element(config, head, parameters);
    IF granted <> 'all' THEN
        PERFORM timetable.refuse_code(
            ARRAY(SELECT k::bigint FROM jsonb_object_keys(coalesce(parameters, '{}')) AS k));
    END IF;
    INSERT INTO timetable.run_request (chain_execution_config, parameters, run_after)
    VALUES (config, parameters, run_after)
    RETURNING run_request INTO request;
    RETURN request;
END $$;

CREATE OR REPLACE FUNCTION timetable.cancel_run(run bigint, reason text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM timetable.right_on((
        SELECT r.chain_execution_config FROM timetable.run_status r WHERE r.run_status = run));
    RETURN timetable.cancel_directly(run, reason);
END $$;

CREATE OR REPLACE FUNCTION timetable.set_pause(config bigint, until timestamptz, note text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM timetable.right_on(config);
    RETURN timetable.set_pause_directly(config, until, note);
END $$;

-- Whether the config was paused before.
CREATE OR REPLACE FUNCTION timetable.set_pause_directly(
    config bigint, until timestamptz, note text
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was timestamptz;
BEGIN
    SELECT c.paused_until INTO was
    FROM timetable.chain_execution_config c WHERE c.chain_execution_config = config;
    UPDATE timetable.chain_execution_config c SET paused_until = until, pause_note = note
    WHERE c.chain_execution_config = config;
    RETURN coalesce(was > clock_timestamp(), false);
END $$;

-- What an author may not write, besides the rows of others, which row security keeps from him. With
-- his own rights: current_user is whoever writes.
CREATE OR REPLACE FUNCTION timetable.is_only_author() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN row_security_active('timetable.chain_execution_config')
        AND timetable.acts_as(current_user, 'timetable_author')
        AND NOT timetable.acts_as(current_user, 'timetable_admin');
END $$;

CREATE OR REPLACE FUNCTION timetable.owns_all(configs bigint[]) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN NOT EXISTS (
        SELECT FROM unnest(configs) AS id
        WHERE NOT EXISTS (
            SELECT FROM timetable.chain_execution_config c
            WHERE c.chain_execution_config = id AND timetable.acts_as(current_user, c.owner)));
END $$;

CREATE OR REPLACE FUNCTION timetable.check_authored_configs() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bad record;
BEGIN
    IF NOT timetable.is_only_author() THEN
        RETURN NULL;
    END IF;
    SELECT n.chain_name, b.col, b.reason INTO bad
    FROM new_rows n, LATERAL (VALUES
        ('chain_id', n.chain_id IS NOT NULL AND NOT EXISTS (
                SELECT FROM timetable.chain_author a
                WHERE a.chain_id = n.chain_id AND timetable.acts_as(current_user, a.role)),
            format('chain %s is not open to role "%s" (timetable.chain_author)',
                n.chain_id, current_user)),
        ('exclusive_execution', n.exclusive_execution,
            'it would keep out the runs of others; timetable_admin may'),
        ('excluded_execution_configs',
            NOT timetable.owns_all(n.excluded_execution_configs::bigint[]),
            'it may name configs of its own owner only'),
        ('on_failure', n.on_failure IS NOT NULL AND NOT timetable.owns_all(ARRAY[n.on_failure]),
            'it may name a config of its own owner only')) AS b (col, is_bad, reason)
    WHERE b.is_bad
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column "%" of config "%": %', bad.col, bad.chain_name, bad.reason
            USING ERRCODE = 'insufficient_privilege', SCHEMA = 'timetable',
                TABLE = 'chain_execution_config', COLUMN = bad.col;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER check_inserted_rights AFTER INSERT ON timetable.chain_execution_config
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.check_authored_configs();
CREATE TRIGGER check_updated_rights AFTER UPDATE ON timetable.chain_execution_config
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.check_authored_configs();

CREATE OR REPLACE FUNCTION timetable.check_authored_parameters() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF timetable.is_only_author() THEN
        PERFORM timetable.refuse_code(ARRAY(SELECT DISTINCT n.chain_id FROM new_rows n));
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER check_inserted_rights AFTER INSERT ON timetable.chain_execution_parameters
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.check_authored_parameters();
CREATE TRIGGER check_updated_rights AFTER UPDATE ON timetable.chain_execution_parameters
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.check_authored_parameters();

REVOKE ALL ON FUNCTION timetable.code_elements(bigint[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION timetable.request_run(bigint, jsonb, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION timetable.cancel_run(bigint, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION timetable.set_pause(bigint, timestamptz, text) FROM PUBLIC;

-- What roles may read of tables that hold more. A view has the rights of its owner, so each says by
-- itself whose rows it shows: an author sees his own, whoever else was granted the view sees all.
CREATE OR REPLACE FUNCTION timetable.sees_all() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN NOT timetable.acts_as(current_user, 'timetable_author')
        OR timetable.acts_as(current_user, 'timetable_reader');
END $$;

-- The same in a function with the rights of the owner: whether the caller may look at what a role
-- owns.
CREATE OR REPLACE FUNCTION timetable.may_look_at(owner text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    who CONSTANT text := timetable.caller();
BEGIN
    RETURN timetable.acts_as(who, 'timetable_reader') OR CASE
        WHEN timetable.acts_as(who, 'timetable_author') THEN timetable.acts_as(who, owner)
        ELSE has_table_privilege(who, 'timetable.chain_execution_config', 'SELECT') END;
END $$;

CREATE OR REPLACE VIEW timetable.shown_parameters WITH (security_barrier) AS
    SELECT p.chain_execution_config, p.chain_id, p.order_id,
        CASE WHEN p.secret THEN '"***"' ELSE timetable.redacted_row(p.value) END AS value, p.secret
    FROM timetable.chain_execution_parameters p
    JOIN timetable.chain_execution_config c USING (chain_execution_config)
    WHERE (SELECT timetable.sees_all()) OR timetable.acts_as(current_user, c.owner);
COMMENT ON VIEW timetable.shown_parameters IS
    'chain_execution_parameters for readers: what is secret is shown as ***';

CREATE OR REPLACE VIEW timetable.shown_run_parameters WITH (security_barrier) AS
    SELECT r.run_status, r.chain_execution_config, timetable.redacted(r.parameters) AS parameters
    FROM timetable.run_status r
    LEFT JOIN timetable.chain_execution_config c USING (chain_execution_config)
    WHERE (SELECT timetable.sees_all()) OR timetable.acts_as(current_user, c.owner);
COMMENT ON VIEW timetable.shown_run_parameters IS
    'The parameters of each run for readers, also of those under way: what is secret is shown as ***';

CREATE OR REPLACE VIEW timetable.open_chain WITH (security_barrier) AS
    WITH RECURSIVE element AS (
        SELECT t.chain_id AS head, 1 AS position, t.chain_id, t.task_id
        FROM timetable.task_chain t
        WHERE t.parent_id IS NULL AND EXISTS (
            SELECT FROM timetable.chain_author a
            WHERE a.chain_id = t.chain_id AND timetable.acts_as(current_user, a.role))
        UNION ALL
        SELECT e.head, e.position + 1, t.chain_id, t.task_id
        FROM element e JOIN timetable.task_chain t ON t.parent_id = e.chain_id
        WHERE e.position < 10000
    )
    SELECT e.head AS chain_id, e.position, e.chain_id AS element, b.name, b.kind
    FROM element e JOIN timetable.base_task b USING (task_id);
COMMENT ON VIEW timetable.open_chain IS
    'The chains that are open to you as an author, with their elements in order';

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

REVOKE ALL ON FUNCTION timetable.code_elements(bigint[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION timetable.request_run(bigint, jsonb, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION timetable.cancel_run(bigint, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION timetable.set_pause(bigint, timestamptz, text) FROM PUBLIC;

-- Jobs by name, for those who stay in psql. A job is a config, with its chain and base tasks.

CREATE OR REPLACE FUNCTION timetable.config_named(name text) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    config bigint;
BEGIN
    SELECT c.chain_execution_config INTO config
    FROM timetable.chain_execution_config c
    WHERE c.chain_name = name
        OR c.chain_execution_config = CASE WHEN name ~ '^[0-9]{1,18}$' THEN name::bigint END
    ORDER BY c.chain_name = name DESC LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no config with the chain_name or the id "%"', name
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN config;
END $$;
COMMENT ON FUNCTION timetable.config_named(text) IS
    'The id of the config with this chain_name or, where none has it, this id';

CREATE OR REPLACE FUNCTION timetable.pause_job(
    name text, note text DEFAULT NULL, until timestamptz DEFAULT 'infinity'
) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    config CONSTANT bigint := timetable.config_named(name);
BEGIN
    IF (until > clock_timestamp()) IS NOT TRUE THEN
        RAISE EXCEPTION 'until: % is not in the future', coalesce(until::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Leave it out to pause until resume_job.';
    END IF;
    IF has_column_privilege('timetable.chain_execution_config', 'paused_until', 'UPDATE') THEN
        PERFORM timetable.set_pause_directly(config, until, note);
    ELSE
        PERFORM timetable.set_pause(config, until, note);
    END IF;
END $$;
COMMENT ON FUNCTION timetable.pause_job(text, text, timestamptz) IS
    'Lets a job not fire until resume_job, or until an instant; what would have been due meanwhile is not made up for. timetable.run still starts it: SELECT timetable.pause_job(''nightly'', ''disk is full'', until := ''tomorrow 08:00'')';

CREATE OR REPLACE FUNCTION timetable.resume_job(name text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    config CONSTANT bigint := timetable.config_named(name);
BEGIN
    IF has_column_privilege('timetable.chain_execution_config', 'paused_until', 'UPDATE') THEN
        RETURN timetable.set_pause_directly(config, NULL, NULL);
    END IF;
    RETURN timetable.set_pause(config, NULL, NULL);
END $$;
COMMENT ON FUNCTION timetable.resume_job(text) IS
    'Ends the pause of a job; false when it was not paused';

CREATE OR REPLACE FUNCTION timetable.next_run(name text) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    config CONSTANT bigint := timetable.config_named(name);
BEGIN
    RETURN least(
        (SELECT f FROM timetable.next_fires(config, 1) AS f),
        (SELECT min(greatest(q.run_after, q.requested_at)) FROM timetable.run_request q
            WHERE q.chain_execution_config = config AND q.claimed_at IS NULL));
END $$;
COMMENT ON FUNCTION timetable.next_run(text) IS
    'When a job runs next: its next fire, or what was asked for and has not begun, retries among it; NULL when nothing is known (@manual, @after, @reboot)';

-- The row in database_connection for a connect string, or for the number of a row.
CREATE OR REPLACE FUNCTION timetable.connection_for(database_connection text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    id bigint;
BEGIN
    IF database_connection ~ '^[0-9]{1,18}$' THEN
        RETURN database_connection::bigint;
    END IF;
    SELECT d.database_connection INTO id FROM timetable.database_connection d
    WHERE d.connect_string = connection_for.database_connection LIMIT 1;
    IF NOT FOUND AND database_connection IS NOT NULL THEN
        INSERT INTO timetable.database_connection AS d (connect_string)
        VALUES (connection_for.database_connection) RETURNING d.database_connection INTO id;
    END IF;
    RETURN id;
END $$;

-- Gives a job's chain, which must be its own and of one element, what it has to do; without a chain
-- it makes one. Returns the chain.
CREATE OR REPLACE FUNCTION timetable.set_command(
    name text, chain bigint, kind timetable.task_kind, script text
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    base bigint;
BEGIN
    IF chain IS NOT NULL THEN
        IF EXISTS (SELECT FROM timetable.task_chain t WHERE t.parent_id = chain)
            OR (SELECT count(*) FROM timetable.chain_execution_config c WHERE c.chain_id = chain) > 1
        THEN
            RAISE EXCEPTION 'job "%": its chain % has several elements, or other configs', name, chain
                USING ERRCODE = 'object_not_in_prerequisite_state',
                    HINT = 'Change timetable.base_task and timetable.task_chain yourself.';
        END IF;
        SELECT t.task_id INTO base FROM timetable.task_chain t WHERE t.chain_id = chain;
        IF (SELECT count(*) FROM timetable.task_chain t WHERE t.task_id = base) = 1
            AND (SELECT b.kind <> 'BUILTIN' FROM timetable.base_task b WHERE b.task_id = base)
        THEN
            UPDATE timetable.base_task b SET kind = set_command.kind, script = set_command.script
            WHERE b.task_id = base;
            RETURN chain;
        END IF;
    END IF;
    BEGIN
        INSERT INTO timetable.base_task AS b (name, kind, script)
        VALUES (set_command.name, set_command.kind, set_command.script)
        RETURNING b.task_id INTO base;
    EXCEPTION WHEN unique_violation THEN
        RAISE EXCEPTION 'there is a base task "%" already', name
            USING ERRCODE = 'unique_violation',
                HINT = 'Give the job another name, or the chain of that base task by chain.';
    END;
    IF chain IS NULL THEN
        INSERT INTO timetable.task_chain AS t (task_id) VALUES (base)
        RETURNING t.chain_id INTO chain;
    ELSE
        UPDATE timetable.task_chain t SET task_id = base WHERE t.chain_id = chain;
    END IF;
    RETURN chain;
END $$;

CREATE OR REPLACE FUNCTION timetable.set_parameters(
    config bigint, chain bigint, parameters jsonb, secret boolean
) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM timetable.chain_execution_parameters p WHERE p.chain_execution_config = config;
    INSERT INTO timetable.chain_execution_parameters
        (chain_execution_config, chain_id, order_id, value, secret)
    SELECT config, e.key::bigint, r.ordinality, r.value, coalesce(set_parameters.secret, false)
    FROM jsonb_each(timetable.parameters_by_element(config, chain, parameters)) AS e,
        jsonb_array_elements(e.value) WITH ORDINALITY AS r;
END $$;

CREATE OR REPLACE FUNCTION timetable.add_job(
    name text, schedule text DEFAULT NULL, command text DEFAULT NULL, program text DEFAULT NULL,
    arguments text[] DEFAULT NULL, chain bigint DEFAULT NULL, parameters jsonb DEFAULT NULL,
    secret boolean DEFAULT NULL, live boolean DEFAULT NULL, time_zone text DEFAULT NULL,
    starts_at timestamptz DEFAULT NULL, ends_at timestamptz DEFAULT NULL,
    jitter interval DEFAULT NULL, max_instances integer DEFAULT NULL, overlap text DEFAULT NULL,
    misfire text DEFAULT NULL, misfire_window interval DEFAULT NULL,
    misfire_grace interval DEFAULT NULL, retries integer DEFAULT NULL,
    retry_delay interval DEFAULT NULL, timeout interval DEFAULT NULL,
    on_failure text DEFAULT NULL, client_name text DEFAULT NULL, self_destruct boolean DEFAULT NULL,
    exclusive boolean DEFAULT NULL, excluded text[] DEFAULT NULL,
    run_uid text DEFAULT NULL, database_connection text DEFAULT NULL,
    autonomous boolean DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    config bigint;
    head bigint;
    given CONSTANT integer := num_nonnulls(command, program, chain);
    is_new boolean;
BEGIN
    SELECT c.chain_execution_config, c.chain_id INTO config, head
    FROM timetable.chain_execution_config c WHERE c.chain_name = name;
    is_new := NOT FOUND;
    IF coalesce(btrim(name), '') = '' THEN
        RAISE EXCEPTION 'a job needs a name' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF given > 1 OR (is_new AND given = 0) THEN
        RAISE EXCEPTION 'job "%": give one of command (SQL), program and chain', name
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF is_new AND schedule IS NULL THEN
        RAISE EXCEPTION 'job "%": a new one needs a schedule', name
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Such as ''30 2 * * *''; ''@manual'' runs only when it is asked for.';
    ELSIF arguments IS NOT NULL AND parameters IS NOT NULL THEN
        RAISE EXCEPTION 'job "%": arguments are the only row of parameters; give one of them', name
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    head := coalesce(chain, head);
    IF command IS NOT NULL OR program IS NOT NULL THEN
        head := timetable.set_command(
            name, head, CASE WHEN program IS NULL THEN 'SQL' ELSE 'SHELL' END::timetable.task_kind,
            coalesce(program, command));
    END IF;
    IF num_nonnulls(run_uid, database_connection, autonomous) > 0 THEN
        UPDATE timetable.task_chain t
        SET run_uid = coalesce(add_job.run_uid, t.run_uid),
            database_connection = coalesce(
                timetable.connection_for(add_job.database_connection), t.database_connection),
            autonomous = coalesce(add_job.autonomous, t.autonomous)
        WHERE t.chain_id = head;
    END IF;
    IF is_new THEN
        -- Its options come with the next statement, and make it live.
        INSERT INTO timetable.chain_execution_config AS c (chain_id, chain_name, schedule)
        VALUES (head, name, add_job.schedule)
        RETURNING c.chain_execution_config INTO config;
        live := coalesce(live, true);
    END IF;
    IF parameters IS NOT NULL OR arguments IS NOT NULL THEN
        PERFORM timetable.set_parameters(
            config, head, coalesce(parameters, jsonb_build_array(arguments)), secret);
    ELSIF secret IS NOT NULL THEN
        UPDATE timetable.chain_execution_parameters p SET secret = add_job.secret
        WHERE p.chain_execution_config = config;
    END IF;
    UPDATE timetable.chain_execution_config c
    SET chain_id = head, schedule = coalesce(add_job.schedule, c.schedule),
        run_at_minute = CASE WHEN add_job.schedule IS NULL THEN c.run_at_minute END,
        run_at_hour = CASE WHEN add_job.schedule IS NULL THEN c.run_at_hour END,
        run_at_day = CASE WHEN add_job.schedule IS NULL THEN c.run_at_day END,
        run_at_month = CASE WHEN add_job.schedule IS NULL THEN c.run_at_month END,
        run_at_day_of_week = CASE WHEN add_job.schedule IS NULL THEN c.run_at_day_of_week END,
        live = coalesce(add_job.live, c.live), time_zone = coalesce(add_job.time_zone, c.time_zone),
        starts_at = coalesce(add_job.starts_at, c.starts_at),
        ends_at = coalesce(add_job.ends_at, c.ends_at),
        jitter = coalesce(add_job.jitter, c.jitter),
        max_instances = coalesce(add_job.max_instances, c.max_instances),
        overlap = coalesce(upper(add_job.overlap), c.overlap),
        misfire = coalesce(upper(add_job.misfire), c.misfire),
        misfire_window = coalesce(add_job.misfire_window, c.misfire_window),
        misfire_grace = coalesce(add_job.misfire_grace, c.misfire_grace),
        retries = coalesce(add_job.retries, c.retries),
        retry_delay = coalesce(add_job.retry_delay, c.retry_delay),
        timeout = coalesce(add_job.timeout, c.timeout),
        on_failure = CASE WHEN add_job.on_failure IS NULL THEN c.on_failure
            ELSE timetable.config_named(add_job.on_failure) END,
        client_name = coalesce(add_job.client_name, c.client_name),
        self_destruct = coalesce(add_job.self_destruct, c.self_destruct),
        exclusive_execution = coalesce(add_job.exclusive, c.exclusive_execution),
        excluded_execution_configs = CASE WHEN excluded IS NULL THEN c.excluded_execution_configs
            ELSE ARRAY(SELECT timetable.config_named(e)::integer FROM unnest(excluded) AS e) END
    WHERE c.chain_execution_config = config;
    RETURN config;
END $$;
COMMENT ON FUNCTION timetable.add_job IS
    'Makes a job, or changes what is given of the one with this name; returns its config: SELECT timetable.add_job(''vacuum'', ''30 2 * * *'', ''VACUUM'', autonomous := true). One of command (SQL), program with arguments, and chain (an existing one); parameters is an array of rows, [["a", 1], ["b", 2]]; on_failure and excluded name other jobs; the others are columns of chain_execution_config and task_chain';

CREATE OR REPLACE FUNCTION timetable.delete_job(name text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    config CONSTANT bigint := timetable.config_named(name);
    head bigint;
    tasks bigint[];
BEGIN
    DELETE FROM timetable.chain_execution_config c WHERE c.chain_execution_config = config
    RETURNING c.chain_id INTO head;
    -- An author has the config alone; a chain that is open to authors waits for the next one.
    IF NOT has_table_privilege('timetable.task_chain', 'DELETE')
        OR EXISTS (SELECT FROM timetable.chain_execution_config c WHERE c.chain_id = head)
        OR EXISTS (SELECT FROM timetable.chain_author a WHERE a.chain_id = head)
    THEN
        RETURN;
    END IF;
    WITH RECURSIVE element AS (
        SELECT t.chain_id, t.task_id FROM timetable.task_chain t WHERE t.chain_id = head
        UNION
        SELECT t.chain_id, t.task_id
        FROM element e JOIN timetable.task_chain t ON t.parent_id = e.chain_id
    )
    SELECT array_agg(DISTINCT e.task_id) INTO tasks FROM element e;
    DELETE FROM timetable.task_chain t WHERE t.chain_id = head;
    DELETE FROM timetable.base_task b
    WHERE b.task_id = ANY (tasks) AND b.kind <> 'BUILTIN'
        AND NOT EXISTS (SELECT FROM timetable.task_chain t WHERE t.task_id = b.task_id);
END $$;
COMMENT ON FUNCTION timetable.delete_job(text) IS
    'Deletes a job with its parameters and, where nothing else uses them, its chain and base tasks; what it ran stays recorded';

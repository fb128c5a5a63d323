-- Every table that decides what runs tells the daemons which configs a statement touched.
-- Payload on timetable_config: table, operation, then config ids or "all", separated by blanks.

CREATE OR REPLACE FUNCTION timetable.send_config_change(source text, operation text, configs bigint[])
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

CREATE OR REPLACE FUNCTION timetable.notify_all() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('timetable_config', TG_TABLE_NAME || ' ' || TG_OP || ' all');
    RETURN NULL;
END $$;

-- With the rights of the owner: an author does not read the requests of others.
CREATE OR REPLACE FUNCTION timetable.notify_configs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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

REVOKE ALL ON FUNCTION timetable.notify_configs() FROM PUBLIC;

CREATE OR REPLACE FUNCTION timetable.notify_parameters() RETURNS trigger
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
CREATE OR REPLACE FUNCTION timetable.configs_of_elements(elements bigint[]) RETURNS bigint[]
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

CREATE OR REPLACE FUNCTION timetable.notify_elements() RETURNS trigger
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

CREATE OR REPLACE FUNCTION timetable.notify_tasks() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM timetable.send_config_change(
        TG_TABLE_NAME, TG_OP, timetable.configs_of_elements(array_agg(t.chain_id)))
    FROM timetable.task_chain t
    WHERE t.task_id IN (SELECT task_id FROM (TABLE new_rows EXCEPT TABLE old_rows) AS changed);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION timetable.notify_connections() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM timetable.send_config_change(
        TG_TABLE_NAME, TG_OP, timetable.configs_of_elements(array_agg(t.chain_id)))
    FROM timetable.task_chain t
    WHERE t.database_connection IN (
        SELECT database_connection FROM (TABLE new_rows EXCEPT TABLE old_rows) AS changed);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION timetable.notify_requests() RETURNS trigger
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

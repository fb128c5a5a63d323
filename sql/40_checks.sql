-- What a row can't be checked for alone: refused by statement-level triggers, which look at all
-- rows of a statement at once.

-- With the rights of the owner: an author reads neither time zones nor chains.
CREATE OR REPLACE FUNCTION timetable.check_configs() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bad record;
BEGIN
    SELECT n.chain_name, e.reason INTO bad
    FROM new_rows n, LATERAL timetable.schedule_error(n.schedule) AS e (reason)
    WHERE e.reason IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column "schedule" of config "%": %', bad.chain_name, bad.reason
            USING ERRCODE = 'check_violation', SCHEMA = 'timetable',
                TABLE = 'chain_execution_config', COLUMN = 'schedule';
    END IF;

    SELECT n.chain_name, n.time_zone INTO bad
    FROM new_rows n
    WHERE n.time_zone IS NOT NULL
        AND NOT EXISTS (SELECT FROM timetable.known_time_zone z WHERE z.name = n.time_zone)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column "time_zone" of config "%": "%" is not a known time zone',
                bad.chain_name, bad.time_zone
            USING ERRCODE = 'check_violation', SCHEMA = 'timetable',
                TABLE = 'chain_execution_config', COLUMN = 'time_zone',
                HINT = 'Use a name such as Europe/Berlin, as in timetable.known_time_zone.';
    END IF;

    SELECT n.chain_name, n.chain_id INTO bad
    FROM new_rows n
    JOIN timetable.task_chain t ON t.chain_id = n.chain_id
    WHERE t.parent_id IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column "chain_id" of config "%": % is not the head of a chain',
                bad.chain_name, bad.chain_id
            USING ERRCODE = 'check_violation', SCHEMA = 'timetable',
                TABLE = 'chain_execution_config', COLUMN = 'chain_id',
                HINT = 'Use the chain_id of the element whose parent_id is NULL.';
    END IF;
    RETURN NULL;
END $$;

REVOKE ALL ON FUNCTION timetable.check_configs() FROM PUBLIC;

CREATE TRIGGER check_inserted_configs AFTER INSERT ON timetable.chain_execution_config
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.check_configs();
CREATE TRIGGER check_updated_configs AFTER UPDATE ON timetable.chain_execution_config
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.check_configs();

CREATE OR REPLACE FUNCTION timetable.check_elements() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    bad record;
BEGIN
    -- Two elements never share a parent, so a walk upwards from a changed element comes to a head,
    -- or comes back to where it began.
    WITH RECURSIVE above (start, chain_id, steps) AS (
        SELECT n.chain_id, n.parent_id, 1 FROM new_rows n WHERE n.parent_id IS NOT NULL
        UNION ALL
        SELECT a.start, t.parent_id, a.steps + 1
        FROM above a
        JOIN timetable.task_chain t ON t.chain_id = a.chain_id
        WHERE t.parent_id IS NOT NULL AND a.chain_id <> a.start AND a.steps < 10000
    )
    SELECT start INTO bad FROM above WHERE chain_id = start LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column "parent_id" of element %: the chain would run in a circle', bad.start
            USING ERRCODE = 'check_violation', SCHEMA = 'timetable', TABLE = 'task_chain',
                COLUMN = 'parent_id';
    END IF;

    SELECT c.chain_name, n.chain_id INTO bad
    FROM new_rows n
    JOIN timetable.chain_execution_config c ON c.chain_id = n.chain_id
    WHERE n.parent_id IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column "parent_id" of element %: it is the head of config "%"',
                bad.chain_id, bad.chain_name
            USING ERRCODE = 'check_violation', SCHEMA = 'timetable', TABLE = 'task_chain',
                COLUMN = 'parent_id';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER check_inserted_elements AFTER INSERT ON timetable.task_chain
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.check_elements();
CREATE TRIGGER check_updated_elements AFTER UPDATE ON timetable.task_chain
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION timetable.check_elements();

-- Since when a config that is paused until an instant is scheduled. A fire at that instant is after
-- the pause, hence a little before it, and always another little: daemons tell one version of a
-- schedule from the next by this.
CREATE OR REPLACE FUNCTION timetable.since_of_pause(until timestamptz, former timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    since CONSTANT timestamptz := until - (1 + floor(random() * 998)) * interval '1 microsecond';
BEGIN
    RETURN CASE WHEN since = former THEN since - interval '1 microsecond' ELSE since END;
END $$;

-- Fires count as missed only from the moment at which they were first meant to happen: by that
-- schedule, within that window, and with a chain.
CREATE OR REPLACE FUNCTION timetable.note_scheduled_since() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.scheduled_since := clock_timestamp();
    IF NEW.paused_until > NEW.scheduled_since AND isfinite(NEW.paused_until) THEN
        NEW.scheduled_since := timetable.since_of_pause(NEW.paused_until, OLD.scheduled_since);
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER note_scheduled_since BEFORE UPDATE ON timetable.chain_execution_config
    FOR EACH ROW
    WHEN (
        (NEW.live AND OLD.live IS NOT TRUE)
        OR (NEW.chain_id IS NOT NULL AND OLD.chain_id IS NULL)
        OR (NEW.schedule, NEW.time_zone, NEW.run_at_minute, NEW.run_at_hour, NEW.run_at_day,
            NEW.run_at_month, NEW.run_at_day_of_week, NEW.starts_at, NEW.ends_at,
            NEW.jitter, NEW.on_gap, NEW.on_repeat)
        IS DISTINCT FROM
            (OLD.schedule, OLD.time_zone, OLD.run_at_minute, OLD.run_at_hour, OLD.run_at_day,
            OLD.run_at_month, OLD.run_at_day_of_week, OLD.starts_at, OLD.ends_at,
            OLD.jitter, OLD.on_gap, OLD.on_repeat)
    )
    EXECUTE FUNCTION timetable.note_scheduled_since();

-- A pause is no time in which a config was meant to fire: what would have been due in it is not
-- missed. Its end needs no write; one without an end is read like a config that is not live.
CREATE OR REPLACE FUNCTION timetable.note_pause() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    now CONSTANT timestamptz := clock_timestamp();
BEGIN
    IF NEW.paused_until > now THEN
        NEW.paused_at := now;
        NEW.paused_by := session_user;
        IF isfinite(NEW.paused_until) THEN
            NEW.scheduled_since := timetable.since_of_pause(NEW.paused_until, OLD.scheduled_since);
        END IF;
    ELSE
        NEW.paused_until := NULL;
        NEW.paused_at := NULL;
        NEW.paused_by := NULL;
        NEW.pause_note := NULL;
        IF OLD.paused_until > now THEN
            NEW.scheduled_since := now;
        END IF;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER note_inserted_pause BEFORE INSERT ON timetable.chain_execution_config
    FOR EACH ROW WHEN (NEW.paused_until IS NOT NULL)
    EXECUTE FUNCTION timetable.note_pause();
CREATE TRIGGER note_pause BEFORE UPDATE ON timetable.chain_execution_config
    FOR EACH ROW WHEN (NEW.paused_until IS DISTINCT FROM OLD.paused_until)
    EXECUTE FUNCTION timetable.note_pause();

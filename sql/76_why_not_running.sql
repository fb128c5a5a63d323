-- Why a config does not run now, or did not, told in sentences.

-- An instant for people, in the zone of the session, without fractions of a second.
CREATE OR REPLACE FUNCTION timetable.told(instant timestamptz) RETURNS text
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN date_trunc('second', instant)::text;
END $$;

-- Why the schedule of a config does not let it fire now, or when it does next.
CREATE OR REPLACE FUNCTION timetable.why_not_by_schedule(c timetable.chain_execution_config) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    schedule CONSTANT text := btrim(lower(timetable.schedule_text(c)));
    zone CONSTANT text := coalesce(c.time_zone, timetable.default_time_zone());
    reason CONSTANT text := timetable.schedule_error(c.schedule);
    next_fire timestamptz;
BEGIN
    IF reason IS NOT NULL THEN
        RETURN format('Its schedule can''t be read: %s.', reason);
    END IF;
    IF c.time_zone IS NOT NULL
        AND NOT EXISTS (SELECT FROM timetable.known_time_zone z WHERE z.name = c.time_zone)
    THEN
        RETURN format('Its time zone "%s" is not known.', zone);
    END IF;
    IF c.ends_at <= clock_timestamp() THEN
        RETURN format('Its schedule is over: ends_at was %s.', timetable.told(c.ends_at));
    END IF;
    IF schedule = '@manual' THEN
        RETURN 'Its schedule is @manual: it runs only when it is asked for, as by timetable.run.';
    ELSIF schedule = '@reboot' THEN
        RETURN 'Its schedule is @reboot: it runs once, when a daemon becomes ready.';
    END IF;
    next_fire := timetable.job_next_fire(c, zone);
    IF next_fire IS NULL AND schedule LIKE '@after%' AND c.paused_until IS NULL THEN
        RETURN format('Its schedule is %s: it fires so long after its run before has ended.', schedule);
    ELSIF next_fire IS NULL THEN
        RETURN CASE WHEN c.paused_until > clock_timestamp() THEN NULL
            WHEN schedule LIKE '@at%' THEN format('Its one time has passed: %s.', schedule)
            ELSE 'It never fires any more.' END;
    END IF;
    RETURN CASE WHEN c.starts_at > clock_timestamp()
            THEN format('Its schedule has not begun: starts_at is %s. ', timetable.told(c.starts_at))
            ELSE '' END
        || CASE WHEN next_fire <= clock_timestamp() THEN 'It is due now.'
            ELSE format('It fires next at %s, in %s.', timetable.told(next_fire),
                date_trunc('second', next_fire - clock_timestamp()
                    + interval '999 milliseconds')) END;
END $$;

-- What became of the last fire and of the last run that ended.
CREATE OR REPLACE FUNCTION timetable.why_not_by_history(config bigint) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fire timetable.run_status;
    ended timetable.run_status;
    told text[] := '{}';
BEGIN
    SELECT * INTO fire FROM timetable.run_status r
    WHERE r.chain_execution_config = config AND r.scheduled_for IS NOT NULL
    ORDER BY r.scheduled_for DESC LIMIT 1;
    SELECT * INTO ended FROM timetable.run_status r
    WHERE r.chain_execution_config = config
        AND r.finished IS NOT NULL AND r.execution_status NOT IN ('MISSED', 'SKIPPED')
    ORDER BY r.run_status DESC LIMIT 1;
    IF fire.execution_status = 'SKIPPED' THEN
        told := told || format('Its last fire, at %s, was SKIPPED: %s.',
            timetable.told(fire.scheduled_for), fire.reason);
    ELSIF fire.execution_status = 'MISSED' THEN
        told := told || format('Its last fires were MISSED, %s from %s to %s: %s.',
            fire.missed_count, timetable.told(fire.scheduled_for),
            timetable.told(fire.missed_until), fire.reason);
    END IF;
    IF ended.run_status IS NULL AND fire.run_status IS NULL THEN
        told := told || 'It has never run.'::text;
    ELSIF ended.execution_status = 'CHAIN_DONE' THEN
        told := told || format('Its last run, %s, was done at %s.',
            ended.run_status, timetable.told(ended.finished));
    ELSIF ended.run_status IS NOT NULL THEN
        told := told || format('Its last run, %s, ended at %s as %s: %s.',
            ended.run_status, timetable.told(ended.finished), ended.execution_status,
            rtrim(coalesce(ended.error, ended.reason, 'no reason is known'), '.'));
    END IF;
    RETURN array_to_string(told, ' ');
END $$;

-- What is asked for and waits, and what is under way.
CREATE OR REPLACE FUNCTION timetable.why_not_by_runs(config bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    r record;
    told text[] := '{}';
BEGIN
    FOR r IN
        SELECT * FROM timetable.run_status s
        WHERE s.chain_execution_config = config AND s.execution_status = 'STARTED'
        ORDER BY s.run_status LIMIT 3
    LOOP
        told := told || format('It runs now: run %s, since %s, on worker "%s"%s.', r.run_status,
            timetable.told(r.started), r.client_name,
            CASE WHEN r.cancel_requested_at IS NOT NULL THEN ', and is being cancelled' ELSE '' END);
    END LOOP;
    FOR r IN
        SELECT q.run_request, q.resumes, q.requested_by, s.error, s.attempt,
            timetable.waits_for(q) AS reason
        FROM timetable.run_request q
        LEFT JOIN timetable.run_status s ON s.run_status = q.resumes
        WHERE q.chain_execution_config = config AND q.claimed_at IS NULL
        ORDER BY q.run_request LIMIT 3
    LOOP
        IF r.requested_by = 'retries' THEN
            told := told || format('Attempt %s of run %s failed: %s.', r.attempt, r.resumes,
                rtrim(coalesce(r.error, 'no reason is known'), '.'));
        END IF;
        told := told || format('%s waits%s.',
            CASE WHEN r.resumes IS NULL THEN format('Request %s', r.run_request)
                ELSE format('Run %s', r.resumes) END,
            coalesce(': ' || r.reason, ' to be taken by a daemon'));
    END LOOP;
    RETURN array_to_string(told, ' ');
END $$;

-- With the rights of the owner, for whoever may look at the config.
CREATE OR REPLACE FUNCTION timetable.why_not_running(config bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c timetable.chain_execution_config;
    told text[] := '{}';
    under_way bigint;
    reason text;
    found_ boolean;
BEGIN
    SELECT * INTO c FROM timetable.chain_execution_config e
    WHERE e.chain_execution_config = config;
    found_ := FOUND;
    IF NOT timetable.may_look_at(c.owner) THEN
        RAISE EXCEPTION 'role "%" may not look at config %', timetable.caller(), config
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT found_ THEN
        RETURN format('There is no config %s.', config) || coalesce((
            SELECT format(' It was deleted: it last ran at %s.', timetable.told(r.started))
            FROM timetable.run_status r WHERE r.chain_execution_config = config
            ORDER BY r.run_status DESC LIMIT 1), '');
    END IF;
    SELECT count(*) INTO under_way FROM timetable.run_status r
    WHERE r.chain_execution_config = config AND r.execution_status = 'STARTED';
    told := told || timetable.why_not_by_runs(config);
    IF c.chain_id IS NULL THEN
        told := told || 'It has no chain: its chain_id is NULL.'::text;
    END IF;
    IF c.live IS NOT TRUE THEN
        told := told || 'It is not live: only timetable.run starts it.'::text;
    ELSIF c.chain_id IS NOT NULL THEN
        IF c.paused_until > clock_timestamp() THEN
            told := told || format('It is paused%s%s%s.',
                CASE WHEN isfinite(c.paused_until)
                    THEN ' until ' || timetable.told(c.paused_until) END,
                ' by ' || c.paused_by, ': ' || rtrim(c.pause_note, '.'));
        END IF;
        told := told || timetable.why_not_by_schedule(c);
        reason := coalesce(timetable.blocker(config, NULL),
            CASE WHEN under_way >= coalesce(c.max_instances, 16)
                THEN format('max_instances allows no more than %s', under_way) END);
        IF reason IS NOT NULL THEN
            told := told || format('A fire now would %s: %s.',
                CASE c.overlap WHEN 'WAIT' THEN 'wait' ELSE 'be skipped' END, reason);
        END IF;
    END IF;
    -- Said already of what waits for it.
    reason := timetable.missing_worker(c.client_name);
    IF reason IS NOT NULL AND position(reason IN array_to_string(told, ' ')) = 0 THEN
        told := told || (upper(left(reason, 1)) || substr(reason, 2) || '.');
    END IF;
    told := told || (
        SELECT format('A daemon said: %s.', rtrim(l.message, '.'))
        FROM (SELECT * FROM timetable.log ORDER BY id DESC LIMIT 5000) AS l
        WHERE l.log_level = 'ERROR' AND l.ts > coalesce(c.scheduled_since, '-infinity')
            AND starts_with(l.message, format('config %s (%s): ', config, c.chain_name))
        ORDER BY l.id DESC LIMIT 1);
    told := told || timetable.why_not_by_history(config);
    RETURN array_to_string(array_remove(told, ''), ' ');
END $$;
COMMENT ON FUNCTION timetable.why_not_running(bigint) IS
    'Why a config does not run now, or did not: what it waits for, its schedule, what is in its way, and what became of its last fire';

CREATE OR REPLACE FUNCTION timetable.why_not_running(chain_name text) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    config bigint;
BEGIN
    SELECT c.chain_execution_config INTO config FROM timetable.chain_execution_config c
    WHERE c.chain_name = why_not_running.chain_name;
    RETURN CASE WHEN FOUND THEN timetable.why_not_running(config)
        ELSE format('There is no config with the chain_name "%s".', chain_name) END;
END $$;
COMMENT ON FUNCTION timetable.why_not_running(text) IS
    'Why the config with this chain_name does not run; see why_not_running(bigint)';

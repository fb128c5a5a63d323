-- Claims, called by the daemon only.

-- Functions in SQL are planned anew at every call (PostgreSQL 15: 0.5 to 2 ms for these), those in
-- plpgsql once a session: so what is on the path of a run is in plpgsql and calls no SQL function.

-- What keeps a run of a config from beginning, besides its own max_instances; NULL is nothing. For a
-- request, only others that waited before it; a fire stands behind all that wait.
CREATE OR REPLACE FUNCTION timetable.blocker(config bigint, request bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    me timetable.chain_execution_config;
    reason text;
BEGIN
    SELECT * INTO me FROM timetable.chain_execution_config c
    WHERE c.chain_execution_config = config;
    SELECT format(
            CASE WHEN me.exclusive_execution THEN 'exclusive_execution: run %s of "%s" is under way'
                WHEN other.exclusive_execution THEN
                    'run %s of "%s" is under way, which has exclusive_execution'
                ELSE 'excluded_execution_configs: run %s of "%s" is under way' END,
            r.run_status, other.chain_name)
    INTO reason
    FROM timetable.run_status r
    LEFT JOIN timetable.chain_execution_config other
        ON other.chain_execution_config = r.chain_execution_config
    WHERE r.execution_status = 'STARTED' AND (
        me.exclusive_execution OR other.exclusive_execution
        OR r.chain_execution_config = ANY (me.excluded_execution_configs)
        OR config = ANY (other.excluded_execution_configs))
    LIMIT 1;
    IF reason IS NOT NULL THEN
        RETURN reason;
    END IF;
    -- Else runs that begin again and again would keep out for ever what needs them all gone. What
    -- only a worker that is not there may run keeps nobody waiting.
    SELECT format('"%s" waited before it (request %s)', other.chain_name, q.run_request)
    INTO reason
    FROM timetable.run_request q
    JOIN timetable.chain_execution_config other
        ON other.chain_execution_config = q.chain_execution_config
    WHERE q.claimed_at IS NULL AND q.blocked_at IS NOT NULL
        AND coalesce(q.run_request < request, true)
        AND (
            me.exclusive_execution OR other.exclusive_execution
            OR q.chain_execution_config = ANY (me.excluded_execution_configs)
            OR config = ANY (other.excluded_execution_configs))
        AND (other.client_name IS NULL OR EXISTS (
            SELECT FROM timetable.worker w
            WHERE w.client_name = other.client_name
                AND w.seen_at > clock_timestamp() - interval '1 minute'))
    LIMIT 1;
    RETURN reason;
END $$;

-- Locks what decides about runs of these configs until the claim commits, and tells whether each
-- has to be judged by itself: then a claim is never decided beside another one that it may exclude.
CREATE OR REPLACE FUNCTION timetable.lock_claim(configs bigint[]) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    restricts boolean;
    is_exclusive boolean;
BEGIN
    SELECT
        coalesce(bool_or(c.exclusive_execution), false),
        coalesce(bool_or(c.chain_execution_config = ANY (configs)
            OR c.excluded_execution_configs::bigint[] && configs), false)
    INTO is_exclusive, restricts
    FROM timetable.chain_execution_config c
    WHERE c.exclusive_execution OR c.excluded_execution_configs <> '{}';
    -- 'ca' is Carillon's key space; its key 0 is all configs, and in the seed's numbers no config.
    IF restricts THEN
        PERFORM pg_advisory_xact_lock(x'6361'::bigint << 48);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(x'6361'::bigint << 48);
    END IF;
    -- In order: two claims never count the runs of one config at the same time, and never wait for
    -- each other in a circle.
    PERFORM pg_advisory_xact_lock((x'6361'::bigint << 48) # id)
    FROM (SELECT DISTINCT unnest(configs) AS id ORDER BY 1) AS sorted;
    RETURN restricts OR is_exclusive;
END $$;

-- Raises unless the session's statement before this one happened: they are numbered from 1. What is
-- already on its way behind a claim that was refused must not happen, since after a later claim
-- nobody looks for an earlier fire. NULL: in any order.
CREATE OR REPLACE FUNCTION timetable.keep_order(number bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF number IS NULL THEN
        RETURN;
    END IF;
    IF coalesce(nullif(current_setting('timetable.claims', true), ''), '0')::bigint <> number - 1
    THEN
        RAISE EXCEPTION 'what was to happen before was refused'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    -- Undone with the statement.
    PERFORM set_config('timetable.claims', number::text, false);
END $$;

-- Claims fires for a worker: config, instant, and the scheduled_since of the schedule by which it is
-- due, both in microseconds since 1970. A config only once in a call, since its runs are counted
-- before any of them begins.
-- outcome: STARTED, ours now; SKIPPED, ours and recorded as not run; WAITING, ours, with a request
-- that resumes it; TAKEN, another's; EARLY, the instant lies ahead of the database's clock; GONE,
-- no such live config for this worker, or with another schedule by now.
CREATE OR REPLACE FUNCTION timetable.claim_fires(
    configs bigint[], fires bigint[], sinces bigint[], worker text, number bigint DEFAULT NULL,
    OUT config bigint, OUT fire bigint, OUT outcome text, OUT run bigint, OUT clock bigint
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    since bigint;
BEGIN
    PERFORM timetable.keep_order(number);
    -- A statement of its own: later snapshots are younger than the locks.
    IF NOT timetable.lock_claim(configs) THEN
        RETURN QUERY SELECT * FROM timetable.claim_judged(configs, fires, sinces, NULL, worker);
        RETURN;
    END IF;
    FOR config, fire, since IN
        SELECT f.config, f.fire, f.since
        FROM unnest(configs, fires, sinces) AS f (config, fire, since) ORDER BY 2, 1
    LOOP
        RETURN QUERY
        SELECT * FROM timetable.claim_judged(
            ARRAY[config], ARRAY[fire], ARRAY[since], timetable.blocker(config, NULL), worker);
    END LOOP;
END $$;

-- Fires of which we know what is in their way, besides max_instances: the same for all.
CREATE OR REPLACE FUNCTION timetable.claim_judged(
    configs bigint[], fires bigint[], sinces bigint[], blocker text, worker text,
    OUT config bigint, OUT fire bigint, OUT outcome text, OUT run bigint, OUT clock bigint
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH found AS (
        SELECT f.config, f.fire,
            timestamptz 'epoch' + f.fire * interval '1 microsecond' AS instant,
            c.chain_id, c.overlap,
            CASE
                WHEN c.live IS NOT TRUE OR c.chain_id IS NULL OR c.client_name <> worker
                    OR f.since IS DISTINCT FROM CASE WHEN c.scheduled_since IS NOT NULL THEN
                        greatest(least(extract(epoch FROM c.scheduled_since) * 1000000, 9e18),
                            -9e18)::bigint END
                    -- Where it ends by itself, the schedule counts from up to a millisecond before.
                    OR c.paused_until >
                        timestamptz 'epoch' + (f.fire + 1000) * interval '1 microsecond'
                    THEN 'GONE'
                WHEN f.fire > extract(epoch FROM clock_timestamp()) * 1000000 THEN 'EARLY'
                -- Another worker found that it was missed.
                WHEN (
                    SELECT r.missed_until FROM timetable.run_status r
                    WHERE r.chain_execution_config = f.config AND r.scheduled_for <=
                        timestamptz 'epoch' + f.fire * interval '1 microsecond'
                    ORDER BY r.scheduled_for DESC LIMIT 1
                ) >= timestamptz 'epoch' + f.fire * interval '1 microsecond' THEN 'TAKEN'
                ELSE 'STARTED'
            END AS verdict,
            coalesce(blocker, CASE WHEN (
                    SELECT count(*) FROM timetable.run_status r
                    WHERE r.chain_execution_config = f.config AND r.execution_status = 'STARTED'
                ) >= coalesce(c.max_instances, 16)
                THEN format('%s runs of this config are under way, max_instances allows no more',
                    coalesce(c.max_instances, 16)) END) AS reason
        FROM unnest(configs, fires, sinces) AS f (config, fire, since)
        LEFT JOIN timetable.chain_execution_config c ON c.chain_execution_config = f.config
    ), judged AS (
        SELECT f.config, f.fire, f.instant, f.chain_id, f.reason,
            CASE
                WHEN f.verdict <> 'STARTED' OR f.reason IS NULL THEN f.verdict
                WHEN f.overlap = 'WAIT' AND (
                    SELECT count(*) FROM timetable.run_request q
                    WHERE q.chain_execution_config = f.config AND q.claimed_at IS NULL
                        AND q.blocked_at IS NOT NULL) < 100 THEN 'WAITING'
                ELSE 'SKIPPED'
            END AS verdict
        FROM found f
    ), claimed AS (
        INSERT INTO timetable.run_status AS r (
            execution_status, chain_id, current_execution_element, started, finished,
            chain_execution_config, scheduled_for, client_name, parameters, reason, attempt)
        SELECT j.verdict::timetable.execution_status, j.chain_id, j.chain_id,
            CASE j.verdict WHEN 'WAITING' THEN NULL ELSE clock_timestamp() END,
            CASE j.verdict WHEN 'SKIPPED' THEN clock_timestamp() END,
            j.config, j.instant, worker, CASE WHEN j.verdict <> 'SKIPPED' THEN (
                SELECT jsonb_object_agg(p.chain_id, p.rows)
                FROM (
                    SELECT chain_id, jsonb_agg(CASE WHEN secret
                        THEN jsonb_build_object('timetable.secret', value) ELSE value END
                        ORDER BY order_id) AS rows
                    FROM timetable.chain_execution_parameters
                    WHERE chain_execution_config = j.config AND chain_id IS NOT NULL
                    GROUP BY chain_id
                ) AS p
                HAVING count(*) > 0) END,
            j.reason, CASE j.verdict WHEN 'WAITING' THEN 0 ELSE 1 END
        FROM judged j
        WHERE j.verdict IN ('STARTED', 'SKIPPED', 'WAITING')
        ORDER BY j.config, j.instant
        ON CONFLICT ON CONSTRAINT a_fire_is_claimed_once DO NOTHING
        RETURNING r.run_status, r.chain_execution_config, r.scheduled_for, r.execution_status
    ), asked AS (
        INSERT INTO timetable.run_request
            (chain_execution_config, requested_by, resumes, blocked_at)
        SELECT c.chain_execution_config, 'overlap', c.run_status, clock_timestamp()
        FROM claimed c WHERE c.execution_status = 'WAITING'
    )
    SELECT j.config, j.fire,
        CASE WHEN j.verdict IN ('STARTED', 'SKIPPED', 'WAITING') AND c.run_status IS NULL
            THEN 'TAKEN' ELSE j.verdict END,
        c.run_status,
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    FROM judged j
    LEFT JOIN claimed c
        ON c.chain_execution_config = j.config AND c.scheduled_for = j.instant;
END $$;

-- Records fires that nobody could claim in time: for each config those from first to last, so many,
-- decided by the version of its schedule that since tells. What other workers claimed or recorded of
-- them in the meantime, late as they were, is left out: they account for all up to there.
CREATE OR REPLACE FUNCTION timetable.record_missed(
    configs bigint[], firsts bigint[], lasts bigint[], counts bigint[], sinces bigint[], worker text,
    number bigint DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    missed record;
    rule timetable.chain_execution_config;
    accounted timestamptz;
    passed bigint;
    later timestamptz;
BEGIN
    PERFORM timetable.keep_order(number);
    -- Not beside a claim of one of these.
    PERFORM timetable.lock_claim(configs);
    FOR missed IN
        SELECT m.config, m.count,
            timestamptz 'epoch' + m.first * interval '1 microsecond' AS first,
            timestamptz 'epoch' + m.last * interval '1 microsecond' AS last
        FROM unnest(configs, firsts, lasts, counts, sinces) AS m (config, first, last, count, since)
        JOIN timetable.chain_execution_config c ON c.chain_execution_config = m.config
        -- What was decided by a schedule that is no more the config's is decided again.
        WHERE c.live AND c.paused_until IS DISTINCT FROM 'infinity'
            AND (c.client_name IS NULL OR c.client_name = worker)
            AND m.since IS NOT DISTINCT FROM CASE WHEN c.scheduled_since IS NOT NULL THEN
                greatest(least(extract(epoch FROM c.scheduled_since) * 1000000, 9e18),
                    -9e18)::bigint END
        ORDER BY m.config, m.first
    LOOP
        SELECT greatest(r.scheduled_for, r.missed_until) INTO accounted
        FROM timetable.run_status r
        WHERE r.chain_execution_config = missed.config AND r.scheduled_for <= missed.last
        ORDER BY r.scheduled_for DESC LIMIT 1;
        SELECT * INTO rule FROM timetable.chain_execution_config c
        WHERE c.chain_execution_config = missed.config;
        IF accounted >= missed.first THEN
            CONTINUE WHEN accounted >= missed.last;
            missed.count := missed.count - 1;
            LOOP
                SELECT count(*) FILTER (WHERE f <= accounted),
                    min(f) FILTER (WHERE f > accounted), coalesce(max(f), missed.first)
                INTO passed, later, missed.first
                FROM timetable.config_fires_after(rule, missed.first, 100) AS f;
                missed.count := missed.count - passed;
                EXIT WHEN later IS NOT NULL OR passed = 0;
            END LOOP;
            CONTINUE WHEN later IS NULL;
            missed.first := later;
        END IF;
        INSERT INTO timetable.run_status (
            execution_status, chain_id, finished, chain_execution_config, scheduled_for,
            missed_until, missed_count, client_name, reason)
        VALUES ('MISSED', rule.chain_id, clock_timestamp(), missed.config, missed.first,
            missed.last, missed.count, worker, 'no worker could claim it in time');
    END LOOP;
END $$;

-- Turns payloads of NOTIFY timetable_run into requests: a config id, a chain name, or
-- {"config": id or name, "delay": seconds}. Only live configs that are not paused; outcome UNKNOWN or INVALID else.
-- What was made of them stands in the setting timetable.taken until the transaction ends.
CREATE OR REPLACE FUNCTION timetable.take_notified(
    payloads text[], OUT payload text, OUT outcome text, OUT request bigint
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    message jsonb;
    wanted text;
    delay double precision;
    target bigint;
    taken bigint[] := '{}';
BEGIN
    PERFORM set_config('timetable.quiet', 'on', true);
    FOREACH payload IN ARRAY payloads LOOP
        outcome := NULL;
        request := NULL;
        delay := 0;
        wanted := btrim(payload);
        IF wanted LIKE '{%' THEN
            BEGIN
                message := wanted::jsonb;
                wanted := message ->> 'config';
                delay := coalesce((message ->> 'delay')::double precision, 0);
                IF NOT delay BETWEEN 0 AND 1e9 OR wanted IS NULL THEN
                    outcome := 'INVALID';
                END IF;
            EXCEPTION WHEN data_exception OR statement_too_complex THEN
                outcome := 'INVALID';
            END;
        END IF;
        IF outcome IS NULL THEN
            -- A number is an id first; a chain may still have a number as its name.
            SELECT c.chain_execution_config INTO target
            FROM timetable.chain_execution_config c
            WHERE c.live AND (c.paused_until > clock_timestamp()) IS NOT TRUE AND (
                c.chain_name = wanted
                OR c.chain_execution_config =
                    CASE WHEN wanted ~ '^[0-9]{1,18}$' THEN wanted::bigint END)
            ORDER BY c.chain_name = wanted LIMIT 1;
            IF FOUND THEN
                INSERT INTO timetable.run_request
                    (chain_execution_config, run_after, requested_by)
                VALUES (
                    target,
                    CASE WHEN delay > 0 THEN
                        clock_timestamp() + delay * interval '1 second' END,
                    'NOTIFY')
                RETURNING run_request INTO request;
                outcome := 'REQUESTED';
                taken := taken || request;
            ELSE
                outcome := 'UNKNOWN';
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
    PERFORM set_config('timetable.quiet', 'off', true);
    PERFORM set_config('timetable.taken', taken::text, true);
END $$;

-- Claims requests for a worker. outcome: STARTED; WAITING, its own config has no room for it now;
-- BLOCKED, others are in its way; TAKEN; ELSEWHERE, only another worker may have it; EARLY with the
-- instant from which it may run; GONE, its config does not exist any more. A request that resumes
-- a WAITING run starts the next attempt of that run.
CREATE OR REPLACE FUNCTION timetable.claim_requests(
    requests bigint[], worker text,
    OUT request bigint, OUT config bigint, OUT outcome text, OUT run bigint, OUT run_after bigint,
    OUT clock bigint
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    wanted bigint;
    wanted_config bigint;
    configs bigint[] := ARRAY(
        SELECT DISTINCT q.chain_execution_config FROM timetable.run_request q
        WHERE q.run_request = ANY (requests) AND q.claimed_at IS NULL);
BEGIN
    IF NOT timetable.lock_claim(configs) THEN
        RETURN QUERY SELECT * FROM timetable.claim_asked(requests, NULL, worker);
        RETURN;
    END IF;
    FOR wanted, wanted_config IN
        SELECT a.id, q.chain_execution_config
        FROM unnest(requests) AS a (id)
        LEFT JOIN timetable.run_request q ON q.run_request = a.id
        ORDER BY a.id
    LOOP
        RETURN QUERY
        SELECT * FROM timetable.claim_asked(
            ARRAY[wanted], timetable.blocker(wanted_config, wanted), worker);
    END LOOP;
END $$;

-- Requests of which we know what is in their way, besides max_instances: the same for all.
CREATE OR REPLACE FUNCTION timetable.claim_asked(
    requests bigint[], blocker text, worker text,
    OUT request bigint, OUT config bigint, OUT outcome text, OUT run bigint, OUT run_after bigint,
    OUT clock bigint
) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH open AS (
        SELECT q.*,
            row_number() OVER (
                PARTITION BY q.chain_execution_config,
                    coalesce(q.run_after, '-infinity') <= clock_timestamp()
                ORDER BY q.run_request) AS place
        FROM timetable.run_request q
        WHERE q.run_request = ANY (requests) AND q.claimed_at IS NULL
    ), judged AS (
        SELECT o.*, c.chain_id,
            CASE
                WHEN o.resumes IS NOT NULL AND NOT EXISTS (
                    SELECT FROM timetable.run_status r
                    WHERE r.run_status = o.resumes
                        AND r.execution_status IS NOT DISTINCT FROM 'WAITING') THEN 'OVER'
                WHEN c.chain_id IS NULL THEN 'GONE'
                WHEN o.run_after > clock_timestamp() THEN 'EARLY'
                WHEN blocker IS NOT NULL THEN 'BLOCKED'
                WHEN o.place + u.under_way > coalesce(c.max_instances, 16) THEN 'WAITING'
                WHEN c.client_name <> worker THEN 'ELSEWHERE'
                ELSE 'STARTED'
            END AS verdict
        FROM open o
        LEFT JOIN timetable.chain_execution_config c
            ON c.chain_execution_config = o.chain_execution_config
        CROSS JOIN LATERAL (
            SELECT count(*) AS under_way
            FROM timetable.run_status r
            WHERE r.chain_execution_config = o.chain_execution_config
                AND r.execution_status = 'STARTED'
        ) AS u
    ), closed AS (
        UPDATE timetable.run_request q
        SET claimed_at = CASE WHEN j.verdict IN ('STARTED', 'GONE', 'OVER')
                THEN clock_timestamp() END,
            parameters = CASE j.verdict WHEN 'GONE' THEN timetable.redacted(q.parameters)
                ELSE q.parameters END,
            blocked_at = coalesce(q.blocked_at, CASE WHEN j.verdict IN ('WAITING', 'BLOCKED')
                THEN clock_timestamp() END)
        FROM judged j
        WHERE q.run_request = j.run_request AND (
            j.verdict IN ('STARTED', 'GONE', 'OVER')
            OR (j.verdict IN ('WAITING', 'BLOCKED') AND q.blocked_at IS NULL))
    ), resumed AS (
        UPDATE timetable.run_status r
        SET execution_status = CASE j.verdict WHEN 'GONE' THEN 'CHAIN_FAILED' ELSE 'STARTED'
                END::timetable.execution_status,
            attempt = r.attempt + CASE j.verdict WHEN 'GONE' THEN 0 ELSE 1 END,
            client_name = worker, retry_at = NULL, reason = NULL,
            current_execution_element = r.chain_id,
            parameters = CASE j.verdict WHEN 'GONE' THEN timetable.redacted(r.parameters)
                ELSE r.parameters END,
            started = coalesce(r.started, clock_timestamp()), last_status_update = clock_timestamp(),
            finished = CASE j.verdict WHEN 'GONE' THEN clock_timestamp() END,
            error = CASE j.verdict WHEN 'GONE' THEN r.error END,
            sqlstate = CASE j.verdict WHEN 'GONE' THEN r.sqlstate END
        FROM judged j
        WHERE r.run_status = j.resumes AND j.verdict IN ('STARTED', 'GONE')
            AND r.execution_status IS NOT DISTINCT FROM 'WAITING'
        RETURNING r.run_status, j.run_request
    ), claimed AS (
        INSERT INTO timetable.run_status AS r (
            execution_status, chain_id, current_execution_element, started, finished,
            chain_execution_config, client_name, parameters, run_request, error)
        SELECT
            CASE j.verdict WHEN 'GONE' THEN 'CHAIN_FAILED' ELSE 'STARTED'
            END::timetable.execution_status,
            j.chain_id, j.chain_id, clock_timestamp(),
            CASE j.verdict WHEN 'GONE' THEN clock_timestamp() END,
            j.chain_execution_config, worker,
            CASE j.verdict WHEN 'GONE' THEN timetable.redacted(j.parameters)
                ELSE coalesce(own.parameters || j.parameters, j.parameters, own.parameters) END,
            j.run_request,
            CASE j.verdict WHEN 'GONE' THEN 'the config does not exist, or has no chain' END
        FROM judged j
        LEFT JOIN LATERAL (
            SELECT jsonb_object_agg(p.chain_id, p.rows) AS parameters
            FROM (
                SELECT chain_id, jsonb_agg(CASE WHEN secret
                    THEN jsonb_build_object('timetable.secret', value) ELSE value END
                    ORDER BY order_id) AS rows
                FROM timetable.chain_execution_parameters
                WHERE chain_execution_config = j.chain_execution_config
                    AND chain_id IS NOT NULL
                GROUP BY chain_id
            ) AS p
            HAVING count(*) > 0
        ) AS own ON true
        WHERE j.verdict IN ('STARTED', 'GONE') AND j.resumes IS NULL
        ORDER BY j.run_request
        ON CONFLICT (run_request) WHERE run_request IS NOT NULL DO NOTHING
        RETURNING r.run_status, r.run_request
    ), begun AS (
        SELECT run_status, run_request FROM claimed
        UNION ALL
        SELECT run_status, run_request FROM resumed
    )
    SELECT a.id, j.chain_execution_config,
        CASE WHEN j.run_request IS NULL OR j.verdict = 'OVER'
                OR (j.verdict IN ('STARTED', 'GONE') AND b.run_status IS NULL)
            THEN 'TAKEN' ELSE j.verdict END,
        b.run_status,
        (extract(epoch FROM j.run_after) * 1000000)::bigint,
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    FROM unnest(requests) AS a (id)
    LEFT JOIN judged j ON j.run_request = a.id
    LEFT JOIN begun b ON b.run_request = a.id;
END $$;

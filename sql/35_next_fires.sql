-- The second reader of the calendar: when a config fires, told without a daemon.
--
-- The first is Sources/Scheduling (Swift), which the daemon uses; NextFiresTests demands equal
-- answers of both. Sections of the same name there say more about each rule.
--
-- Zones: this reader asks the server for its offsets, the daemon reads the zone files of its host.
-- Where the server has rules of its own (not Debian, which builds it --with-system-tzdata) or runs
-- on another host, an older tzdata on one side makes the two differ, for times that it changed.

-- FireRule's range, and a bit: 0001-01-01 to 9999-12-31 lie well within, infinity beyond.
CREATE OR REPLACE FUNCTION timetable.microseconds(instant timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN instant < '0001-01-01 00:00:00+00 BC' THEN -100000000000000000
        WHEN instant > '11000-01-01 00:00:00+00' THEN 300000000000000000
        ELSE (extract(epoch FROM instant) * 1000000)::bigint END
$$;

CREATE OR REPLACE FUNCTION timetable.instant(microseconds bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    -- Whole seconds apart: a double holds both parts exactly.
    SELECT timestamptz '1970-01-01 00:00:00+00' + microseconds / 1000000 * interval '1 second'
        + microseconds % 1000000 * interval '1 microsecond'
$$;

-- StableHash.mix: splitmix64 over two words. Sums and products modulo 2^64 go through numeric.
CREATE OR REPLACE FUNCTION timetable.stable_hash(first bigint, second bigint) RETURNS numeric
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    two_to_64 CONSTANT numeric := 18446744073709551616;
    factors CONSTANT numeric[] := '{13787848793156543929,10723151780598845931}';
    shifts CONSTANT integer[] := '{30,27}';
    n numeric := 0;
    z bigint;
BEGIN
    FOREACH z IN ARRAY ARRAY[first, second] LOOP
        n := mod(n + z + 11400714819323198485 + two_to_64, two_to_64);
        FOR i IN 1..2 LOOP
            z := CASE WHEN n >= two_to_64 / 2 THEN n - two_to_64 ELSE n END;
            z := z # ((z >> shifts[i]) & ((1::bigint << (64 - shifts[i])) - 1));
            n := mod((z + two_to_64) * factors[i], two_to_64);
        END LOOP;
        z := CASE WHEN n >= two_to_64 / 2 THEN n - two_to_64 ELSE n END;
        z := z # ((z >> 31) & ((1::bigint << 33) - 1));
        n := mod(z + two_to_64, two_to_64);
    END LOOP;
    RETURN n;
END
$$;

-- CronExpression: what the six fields name, as bit sets; bit n is the value n, Sunday is 0.
-- Reads a cron expression that schedule_error accepts; the config's id decides H.
CREATE OR REPLACE FUNCTION timetable.cron_sets(schedule text, config bigint) RETURNS timetable.cron_sets
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    lowest CONSTANT integer[] := '{0,0,0,1,1,0}';
    span CONSTANT integer[] := '{60,60,24,31,12,7}';
    f text[] := regexp_split_to_array(
        btrim(lower(schedule COLLATE "C"), E' \t\n\r') COLLATE "C", '[ \t\n\r]+');
    sets bigint[];
    hash numeric;
    step integer;
    c timetable.cron_sets;
BEGIN
    IF cardinality(f) = 5 THEN f := array_prepend('0', f); END IF;
    f[5] := timetable.month_numbers(f[5]);
    f[6] := timetable.weekday_numbers(f[6]);
    FOR i IN 1..6 LOOP
        IF f[i] COLLATE "C" ~ '^[*?]$' THEN
            sets[i] := ((1::bigint << span[i]) - 1) << lowest[i];
        ELSIF f[i] COLLATE "C" ~ '^[0-9]+$' THEN
            sets[i] := 1::bigint << CASE i WHEN 6 THEN f[i]::integer % 7 ELSE f[i]::integer END;
        -- What cron_values gives for these too, with a hundredth of its work.
        ELSIF f[i] = 'h' THEN
            sets[i] := 1::bigint << lowest[i] + mod(timetable.stable_hash(config, i - 1),
                CASE i WHEN 4 THEN 28 ELSE span[i] END)::integer;
        ELSIF f[i] COLLATE "C" ~ '^[*?]/[0-9]+$' THEN
            sets[i] := 0;
            step := substr(f[i], 3)::integer;
            FOR n IN 0..(span[i] - 1) / step LOOP
                sets[i] := sets[i] | (1::bigint << (lowest[i] + n * step));
            END LOOP;
        ELSE
            IF f[i] LIKE '%h%' THEN hash := timetable.stable_hash(config, i - 1); END IF;
            sets[i] := (SELECT coalesce(bit_or(1::bigint << v.value), 0)
                FROM (SELECT v.*, max(v.choice) OVER (PARTITION BY v.item) + 1 AS choices
                    FROM timetable.cron_values(f[i], lowest[i], span[i]) AS v) AS v
                WHERE NOT v.hashed OR v.choice = mod(hash, v.choices));
        END IF;
    END LOOP;
    c.seconds := sets[1];
    c.minutes := sets[2];
    c.hours := sets[3];
    c.days := sets[4];
    c.months := sets[5];
    c.weekdays := sets[6];
    c.last_days := 0;
    c.nearest_workdays := 0;
    c.nth_weekdays := 0;
    c.last_workday := false;
    IF f[4] COLLATE "C" ~ '[lw]' THEN
        SELECT coalesce(bit_or(1::bigint << CASE part WHEN 'l' THEN 0 ELSE substr(part, 3)::integer END)
                FILTER (WHERE part COLLATE "C" ~ '^l(-|$)'), 0),
            coalesce(bit_or(1::bigint << rtrim(part, 'w')::integer)
                FILTER (WHERE part COLLATE "C" ~ '^[0-9]+w$'), 0),
            coalesce(bool_or(part = 'lw'), false)
        INTO c.last_days, c.nearest_workdays, c.last_workday
        FROM unnest(string_to_array(f[4], ',')) AS part;
    END IF;
    IF f[6] COLLATE "C" ~ '[l#]' THEN
        SELECT coalesce(bit_or(1::bigint << CASE WHEN part LIKE '%#%'
                THEN 7 * (split_part(part, '#', 2)::integer - 1) + split_part(part, '#', 1)::integer % 7
                ELSE 35 + rtrim(part, 'l')::integer % 7 END), 0)
        INTO c.nth_weekdays
        FROM unnest(string_to_array(ltrim(f[6], '+'), ',')) AS part
        WHERE part COLLATE "C" ~ '[l#]';
    END IF;
    c.special_days := c.last_workday OR c.last_days <> 0 OR c.nearest_workdays <> 0
        OR c.nth_weekdays <> 0;
    c.both_days := f[4] COLLATE "C" ~ '^[*?]' OR f[6] COLLATE "C" ~ '^[*?+]';
    c.real_time := (f[1] || ' ' || f[2] || ' ' || f[3]) COLLATE "C" ~ '(^| )[*?]';
    RETURN c;
END
$$;

-- CronExpression.matchingDays: the days of a month as bits 1 to 31.
CREATE OR REPLACE FUNCTION timetable.matching_days(
    c timetable.cron_sets, length integer, first_weekday integer
) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    by_date bigint := c.days;
    -- A set of weekdays, laid over the days from 1 on: seven bits, repeated five times.
    weeks CONSTANT bigint := 270549121;
    by_weekday bigint :=
        ((((c.weekdays | (c.weekdays << 7)) >> first_weekday) & 127) * weeks) << 1;
    week bigint;
    weekday integer;
BEGIN
    IF c.special_days THEN
        FOR n IN 0..30 LOOP
            IF (c.last_days >> n) & 1 = 1 AND n < length THEN
                by_date := by_date | (1::bigint << length - n);
            END IF;
        END LOOP;
        FOR n IN 1..length LOOP
            CONTINUE WHEN (c.nearest_workdays >> n) & 1 = 0;
            -- Saturday goes back, Sunday forward, and neither leaves the month.
            weekday := (first_weekday + n - 1) % 7;
            by_date := by_date | (1::bigint << n + CASE weekday
                WHEN 6 THEN CASE n WHEN 1 THEN 2 ELSE -1 END
                WHEN 0 THEN CASE n WHEN length THEN -2 ELSE 1 END
                ELSE 0 END);
        END LOOP;
        IF c.last_workday THEN
            weekday := (first_weekday + length - 1) % 7;
            by_date := by_date
                | (1::bigint << length - CASE weekday WHEN 6 THEN 1 WHEN 0 THEN 2 ELSE 0 END);
        END IF;
        FOR n IN 0..5 LOOP
            week := (c.nth_weekdays >> 7 * n) & 127;
            CONTINUE WHEN week = 0;
            week := ((((week | (week << 7)) >> first_weekday) & 127) * weeks) << 1;
            by_weekday := by_weekday
                | (week & (127::bigint << CASE n WHEN 5 THEN length - 6 ELSE 7 * n + 1 END));
        END LOOP;
    END IF;
    RETURN (CASE WHEN c.both_days THEN by_date & by_weekday ELSE by_date | by_weekday END)
        & ((1::bigint << length + 1) - 2);
END
$$;

-- The lowest bit of a set at or above a place; 64 when there is none.
CREATE OR REPLACE FUNCTION timetable.lowest_bit(bits bigint, place integer) RETURNS integer
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    FOR n IN place..62 LOOP
        IF (bits >> n) & 1 = 1 THEN RETURN n; END IF;
    END LOOP;
    RETURN 64;
END
$$;

-- CronExpression.nextLocal: the first matching local time at or after `start`, in seconds since
-- 1970 on a clock without changes, or NULL past the year 9999.
CREATE OR REPLACE FUNCTION timetable.cron_next_local(c timetable.cron_sets, start bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s CONSTANT bigint := greatest(start, -62135596800);
    -- Days since 1970; counted from the year 1, for division rounds towards 0.
    day_number CONSTANT integer := (s + 62135596800) / 86400 - 719162;
    today date;
    year_ integer;
    month_ integer;
    day_ integer;
    length integer;
    first_day date;
    days bigint;
    hour_ integer;
    minute_ integer;
    second_ integer;
    first_time integer;
    years integer := 0;
BEGIN
    IF s > 253402300799 THEN RETURN NULL; END IF;
    today := date '1970-01-01' + day_number;
    year_ := extract(year FROM today);
    month_ := extract(month FROM today);
    day_ := extract(day FROM today);
    LOOP
        IF (c.months >> month_) & 1 = 1 THEN
            first_day := make_date(year_, month_, 1);
            length := CASE month_
                WHEN 2 THEN CASE WHEN year_ % 4 = 0 AND (year_ % 100 <> 0 OR year_ % 400 = 0)
                    THEN 29 ELSE 28 END
                WHEN 4 THEN 30 WHEN 6 THEN 30 WHEN 9 THEN 30 WHEN 11 THEN 30 ELSE 31 END;
            days := timetable.matching_days(c, length, extract(dow FROM first_day)::integer);
            IF (days >> day_) & 1 = 1 THEN
                -- Only on the first day that is looked at: is there a time left in it?
                hour_ := (s - day_number::bigint * 86400) / 3600;
                minute_ := (s - day_number::bigint * 86400) / 60 % 60;
                IF (c.hours >> hour_) & 1 = 1 THEN
                    IF (c.minutes >> minute_) & 1 = 1 THEN
                        second_ := timetable.lowest_bit(
                            c.seconds, ((s - day_number::bigint * 86400) % 60)::integer);
                        IF second_ < 60 THEN
                            RETURN day_number::bigint * 86400 + hour_ * 3600 + minute_ * 60 + second_;
                        END IF;
                    END IF;
                    minute_ := timetable.lowest_bit(c.minutes, minute_ + 1);
                    IF minute_ < 60 THEN
                        RETURN day_number::bigint * 86400 + hour_ * 3600 + minute_ * 60
                            + timetable.lowest_bit(c.seconds, 0);
                    END IF;
                END IF;
                hour_ := timetable.lowest_bit(c.hours, hour_ + 1);
                IF hour_ < 24 THEN
                    RETURN day_number::bigint * 86400 + hour_ * 3600
                        + timetable.lowest_bit(c.minutes, 0) * 60 + timetable.lowest_bit(c.seconds, 0);
                END IF;
            END IF;
            day_ := timetable.lowest_bit(days, day_ + 1);
            IF day_ < 64 THEN
                first_time := timetable.lowest_bit(c.hours, 0) * 3600
                    + timetable.lowest_bit(c.minutes, 0) * 60 + timetable.lowest_bit(c.seconds, 0);
                RETURN (first_day - date '1970-01-01' + day_ - 1)::bigint * 86400 + first_time;
            END IF;
        END IF;
        day_ := 0;
        month_ := timetable.lowest_bit(c.months, month_ + 1);
        IF month_ > 12 THEN
            month_ := timetable.lowest_bit(c.months, 0);
            year_ := year_ + 1;
            years := years + 1;
            -- Dates and weekdays repeat after 400 years.
            IF year_ > 9999 OR years > 400 THEN RETURN NULL; END IF;
        END IF;
    END LOOP;
END
$$;

-- The segments of the session's zone: from when on which offset holds in [low, high), in seconds.
-- The first one begins at `low`, whatever was before.
--
-- The server has no list of changes, so its clock is looked at every six hours, and halved between:
-- no zone has ever changed twice within days. By the setting TimeZone and not AT TIME ZONE, which
-- takes CET or EST for an abbreviation without daylight time.
CREATE OR REPLACE FUNCTION timetable.zone_segments(
    low bigint, high bigint, OUT starts bigint[], OUT offsets bigint[]
)
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
    epoch CONSTANT timestamptz := '1970-01-01 00:00:00+00';
    before bigint := low;
    after bigint;
    middle bigint;
    shift bigint;
    former bigint;
BEGIN
    -- A loop: a query over a series takes five times as long.
    WHILE before <= high LOOP
        shift := date_part('epoch', (epoch + before * interval '1 second')::timestamp)::bigint
            - before;
        IF shift IS DISTINCT FROM former THEN
            starts := starts || before;
            offsets := offsets || shift;
            former := shift;
        END IF;
        before := before + 21600;
    END LOOP;
    FOR i IN 2..cardinality(starts) LOOP
        before := starts[i] - 21600;
        after := starts[i];
        WHILE after - before > 1 LOOP
            middle := (before + after) / 2;
            IF date_part('epoch', (epoch + middle * interval '1 second')::timestamp)::bigint - middle
                = offsets[i]
            THEN
                after := middle;
            ELSE
                before := middle;
            END IF;
        END LOOP;
        starts[i] := after;
    END LOOP;
END
$$;

-- LocalClock.next: the first second strictly after `second` at which a cron expression fires in the
-- session's zone.
--
-- Windows of some days are walked segment by segment; where nothing matches for longer, the next
-- window is where the next match is. Offsets differ by at most 51 hours: three days cover them.
CREATE OR REPLACE FUNCTION timetable.cron_next(
    c timetable.cron_sets, second bigint, runs_after_gap boolean, repeats boolean
) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    day_ CONSTANT bigint := 86400;
    -- Past the last change that a zone file lists, everything repeats after 400 years.
    give_up CONSTANT bigint := greatest(second, 4102444800) + 401 * 366 * day_;
    -- Everything up to here is known not to fire.
    done bigint := second;
    until bigint;
    starts bigint[];
    offsets bigint[];
    local_start bigint;
    reached bigint;
    match bigint;
BEGIN
    WHILE done < give_up LOOP
        until := done + 6 * day_;
        SELECT z.starts, z.offsets INTO starts, offsets
        FROM timetable.zone_segments(done - 3 * day_, until) AS z;
        reached := NULL;
        FOR i IN 1..cardinality(starts) LOOP
            IF i > 1 THEN
                -- The local times below this one have all been shown before.
                reached := greatest(reached, starts[i] + offsets[i - 1]);
            END IF;
            CONTINUE WHEN i < cardinality(starts) AND starts[i + 1] <= done + 1;
            local_start := starts[i] + offsets[i];
            IF runs_after_gap AND starts[i] > second AND starts[i] > done
                AND local_start - reached BETWEEN 1 AND 10800
                AND timetable.cron_next_local(c, reached) < local_start
            THEN
                RETURN starts[i];
            END IF;
            local_start := greatest(starts[i], done + 1) + offsets[i];
            IF NOT repeats THEN local_start := greatest(local_start, reached); END IF;
            match := timetable.cron_next_local(c, local_start);
            IF match IS NULL THEN RETURN NULL; END IF;
            IF match < coalesce(starts[i + 1], until) + offsets[i] THEN
                RETURN match - offsets[i];
            END IF;
        END LOOP;
        -- What a change near the end of the window shows again needs a look.
        done := CASE WHEN until - starts[cardinality(starts)] >= 3 * day_
            THEN greatest(until, match - 2 * day_) ELSE until END - 1;
    END LOOP;
    RETURN NULL;
END
$$;

-- AtTime.instant: when the session's clock first shows a local time. Both in microseconds.
CREATE OR REPLACE FUNCTION timetable.instant_of_local(microseconds bigint, runs_after_gap boolean)
RETURNS bigint
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fraction CONSTANT bigint := mod(mod(microseconds, 1000000) + 1000000, 1000000);
    local CONSTANT bigint := (microseconds - fraction) / 1000000;
    starts bigint[];
    offsets bigint[];
    reached bigint;
BEGIN
    SELECT z.starts, z.offsets INTO starts, offsets
    FROM timetable.zone_segments(local - 6 * 86400, local + 3 * 86400) AS z;
    FOR i IN 1..cardinality(starts) LOOP
        IF i > 1 THEN reached := greatest(reached, starts[i] + offsets[i - 1]); END IF;
        CONTINUE WHEN local >= starts[i + 1] + offsets[i];
        IF local >= starts[i] + offsets[i] THEN
            RETURN (local - offsets[i]) * 1000000 + fraction;
        END IF;
        -- After a gap the time is the first instant that exists: the fraction has gone, too.
        RETURN CASE WHEN runs_after_gap AND starts[i] + offsets[i] - reached <= 10800
            THEN starts[i] * 1000000 END;
    END LOOP;
    RETURN NULL;
END
$$;

-- FireRule: everything that decides when one config fires by the clock, read.
CREATE OR REPLACE FUNCTION timetable.fire_rule(
    schedule text, config bigint, starts_at timestamptz, ends_at timestamptz, jitter interval,
    on_gap text, on_repeat text
) RETURNS timetable.fire_rule
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC'
AS $$
DECLARE
    s text COLLATE "C" := btrim(lower(schedule COLLATE "C"), E' \t\n\r');
    d text[];
    rule timetable.fire_rule;
BEGIN
    s := CASE s WHEN '@yearly' THEN '0 0 1 1 *' WHEN '@annually' THEN '0 0 1 1 *'
        WHEN '@monthly' THEN '0 0 1 * *' WHEN '@weekly' THEN '0 0 * * 0'
        WHEN '@daily' THEN '0 0 * * *' WHEN '@midnight' THEN '0 0 * * *'
        WHEN '@hourly' THEN '0 * * * *' WHEN '@every_minute' THEN '* * * * *'
        WHEN '@every_second' THEN '* * * * * *' ELSE s END;
    rule.config := config;
    IF s NOT LIKE '@%' THEN
        rule.cron := timetable.cron_sets(s, config);
    ELSIF s ~ '^@every[ \t\n\r]' THEN
        rule.every := timetable.duration_microseconds(s);
    ELSIF s ~ '^@at[ \t\n\r]' THEN
        d := regexp_match(s, '^@at[ \t\n\r]+([0-9]+)-([0-9]+)-([0-9]+)(?:t|[ \t\n\r]+)'
            '([0-9]+):([0-9]+)(?::([0-9]+)(?:\.([0-9]+))?)?[ \t\n\r]*'
            '(?:(z)|([+-])([0-9]{1,2}):?([0-9]{2})?)?$');
        rule.at := (make_date(d[1]::integer, d[2]::integer, d[3]::integer) - date '1970-01-01')::bigint
                * 86400000000
            + (d[4]::bigint * 3600 + d[5]::bigint * 60 + coalesce(d[6]::bigint, 0)) * 1000000
            + rpad(coalesce(d[7], ''), 6, '0')::bigint
            - coalesce((d[9] || '1')::bigint
                * (d[10]::bigint * 3600 + coalesce(d[11]::bigint, 0) * 60) * 1000000, 0);
        rule.at_is_local := d[8] IS NULL AND d[9] IS NULL;
    END IF;
    rule.runs_after_gap := on_gap IS DISTINCT FROM 'SKIP';
    rule.repeats := coalesce(on_repeat = 'BOTH', false);
    rule.starts := timetable.microseconds(starts_at);
    -- Before the year 1 it counts as not given.
    IF rule.starts < -62135596800000000 THEN rule.starts := NULL; END IF;
    rule.ends := timetable.microseconds(ends_at);
    rule.jitter := greatest(0, least(300000000000000000,
        coalesce(extract(epoch FROM jitter) * 1000000, 0))::bigint);
    RETURN rule;
END
$$;

-- FireRule.nominal: the first planned time strictly after `instant`, jitter left out.
CREATE OR REPLACE FUNCTION timetable.planned_fire(rule timetable.fire_rule, instant bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first CONSTANT bigint := -62135596800000000;
    last CONSTANT bigint := 253402300799999999;
    after bigint := greatest(instant, first - 1, rule.starts - 1);
    found_ bigint;
BEGIN
    IF after >= last THEN RETURN NULL; END IF;
    IF rule.every IS NOT NULL THEN
        found_ := after - coalesce(rule.starts, 0);
        found_ := after + rule.every - mod(mod(found_, rule.every) + rule.every, rule.every);
    ELSIF rule.at IS NOT NULL THEN
        found_ := CASE WHEN rule.at_is_local
            THEN timetable.instant_of_local(rule.at, rule.runs_after_gap) ELSE rule.at END;
    ELSIF rule.cron IS DISTINCT FROM NULL::timetable.cron_sets THEN
        found_ := 1000000 * timetable.cron_next(
            -- Rounded down: counted from the first second of the range, or one before.
            rule.cron, (after - first + 1000000) / 1000000 + first / 1000000 - 1,
            rule.runs_after_gap AND NOT (rule.cron).real_time,
            rule.repeats OR (rule.cron).real_time);
    END IF;
    RETURN CASE WHEN found_ > after AND found_ <= least(last, rule.ends) THEN found_ END;
END
$$;

-- FireRule.moved: a planned time with its jitter, before the next planned one.
CREATE OR REPLACE FUNCTION timetable.jittered_fire(rule timetable.fire_rule, planned bigint) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    room CONSTANT bigint := least(rule.jitter, timetable.planned_fire(rule, planned) - planned - 1,
        least(rule.ends, 253402300799999999) - planned);
BEGIN
    IF room <= 0 THEN RETURN planned; END IF;
    RETURN planned + mod(timetable.stable_hash(rule.config, planned), room + 1)::bigint;
END
$$;

-- FireRule.latest: the last planned time in (after, through], or NULL. Steps back from the end, a
-- minute, half an hour … until one is met, then halves.
CREATE OR REPLACE FUNCTION timetable.last_planned_fire(
    rule timetable.fire_rule, after bigint, through bigint
) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    until bigint := least(through, 253402300799999999);
    best bigint := timetable.planned_fire(rule, greatest(after, -62135596800000001));
    fire bigint;
    step bigint := 60000000;
    middle bigint;
BEGIN
    IF best > until THEN RETURN NULL; END IF;
    -- No fire lies in (until, through].
    WHILE until - step > best LOOP
        middle := until - step;
        fire := timetable.planned_fire(rule, middle);
        IF fire <= until THEN
            best := fire;
            EXIT;
        END IF;
        until := middle;
        step := step * 32;
    END LOOP;
    LOOP
        fire := timetable.planned_fire(rule, best);
        IF fire > until OR fire IS NULL THEN RETURN best; END IF;
        best := fire;
        middle := best + (until - best) / 2;
        fire := timetable.planned_fire(rule, middle);
        IF fire <= until THEN best := fire; ELSE until := middle; END IF;
    END LOOP;
END
$$;

-- FireRule.next: the first fire strictly after `instant`. Microseconds.
CREATE OR REPLACE FUNCTION timetable.fire_after(rule timetable.fire_rule, instant bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moved bigint;
BEGIN
    IF rule.jitter > 0 THEN
        -- The planned time before may have been moved behind `instant`.
        moved := timetable.jittered_fire(
            rule, timetable.last_planned_fire(rule, instant - rule.jitter, instant));
        IF moved > instant THEN RETURN moved; END IF;
        RETURN timetable.jittered_fire(rule, timetable.planned_fire(rule, instant));
    END IF;
    RETURN timetable.planned_fire(rule, instant);
END
$$;

-- The first `n` fires after an instant of a schedule that schedule_error accepts. Nothing for
-- @manual, @reboot and @after, which no clock decides.
CREATE OR REPLACE FUNCTION timetable.fires_after(
    schedule text, zone text, after timestamptz, n integer, config bigint, starts_at timestamptz,
    ends_at timestamptz, jitter interval, on_gap text, on_repeat text
) RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE ROWS 5
-- Left again at the end of the function, with what is set in it.
SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC'
AS $$
DECLARE
    rule CONSTANT timetable.fire_rule := timetable.fire_rule(
        schedule, config, starts_at, ends_at, jitter, on_gap, on_repeat);
    fire bigint := timetable.microseconds(after);
BEGIN
    PERFORM set_config('TimeZone', zone, true);
    FOR i IN 1..n LOOP
        fire := timetable.fire_after(rule, fire);
        EXIT WHEN fire IS NULL;
        RETURN NEXT timetable.instant(fire);
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION timetable.next_fire(
    schedule text, zone text, after timestamptz DEFAULT clock_timestamp(), config bigint DEFAULT 0,
    starts_at timestamptz DEFAULT NULL, ends_at timestamptz DEFAULT NULL,
    jitter interval DEFAULT NULL, on_gap text DEFAULT 'RUN', on_repeat text DEFAULT 'FIRST'
) RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    reason CONSTANT text := timetable.schedule_error(schedule);
BEGIN
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION 'schedule: %', reason USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN (SELECT f.fire FROM timetable.fires_after(
        schedule, zone, after, 1, config, starts_at, ends_at, jitter, on_gap, on_repeat) AS f (fire));
END
$$;
COMMENT ON FUNCTION timetable.next_fire(
    text, text, timestamptz, bigint, timestamptz, timestamptz, interval, text, text) IS
    'When a schedule next fires after an instant in a time zone; config decides H and jitter';

-- The zone of configs that name none: the database's. What a session has set for itself says
-- nothing about the daemon's, so its own setting counts only where the database has none.
CREATE OR REPLACE FUNCTION timetable.default_time_zone() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(
        (SELECT substr(s.setting, 10)
        FROM pg_db_role_setting AS r, unnest(r.setconfig) AS s (setting)
        WHERE r.setrole = 0 AND s.setting ILIKE 'timezone=%'
            AND r.setdatabase = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())),
        (SELECT p.reset_val FROM pg_settings AS p WHERE p.name = 'TimeZone'))
$$;

-- The first n fires of a config after an instant.
CREATE OR REPLACE FUNCTION timetable.config_fires_after(
    c timetable.chain_execution_config, after timestamptz, n integer
) RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT * FROM timetable.fires_after(
        coalesce(c.schedule, concat_ws(' ', coalesce(c.run_at_minute::text, '*'),
            coalesce(c.run_at_hour::text, '*'), coalesce(c.run_at_day::text, '*'),
            coalesce(c.run_at_month::text, '*'), coalesce(c.run_at_day_of_week::text, '*'))),
        coalesce(c.time_zone, timetable.default_time_zone()), after, n, c.chain_execution_config,
        c.starts_at, c.ends_at, c.jitter, c.on_gap, c.on_repeat);
END
$$;

CREATE OR REPLACE FUNCTION timetable.next_fires(config bigint, n integer DEFAULT 5) RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c timetable.chain_execution_config;
BEGIN
    IF n NOT BETWEEN 0 AND 1000 THEN
        RAISE EXCEPTION 'n: % is not allowed; 0 to 1000 are', n
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO c FROM timetable.chain_execution_config AS e
    WHERE e.chain_execution_config = config;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no config %', config USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF c.live IS NOT TRUE OR c.chain_id IS NULL OR c.paused_until = 'infinity' THEN RETURN; END IF;
    RETURN QUERY SELECT * FROM timetable.config_fires_after(
        c, greatest(clock_timestamp(), c.paused_until - interval '1 microsecond'), n);
END
$$;
COMMENT ON FUNCTION timetable.next_fires(bigint, integer) IS
    'When a config fires next by the clock, as a daemon will do it; nothing when it is not live, has no chain, or is paused until it is resumed';

CREATE OR REPLACE FUNCTION timetable.next_fires(chain_name text, n integer DEFAULT 5)
RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    config bigint;
BEGIN
    SELECT c.chain_execution_config INTO config
    FROM timetable.chain_execution_config AS c WHERE c.chain_name = next_fires.chain_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no config with the chain_name "%"', chain_name
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY SELECT * FROM timetable.next_fires(config, n);
END
$$;
COMMENT ON FUNCTION timetable.next_fires(text, integer) IS
    'When the config with this chain_name fires next; see next_fires(bigint, integer)';

-- A schedule told in English. Sources/Scheduling/ScheduleInWords.swift and CronWords.swift say the
-- same, word for word (WordsTests), and more about each rule.

CREATE OR REPLACE FUNCTION timetable.words_list(items text[], conjunction text DEFAULT 'and')
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n CONSTANT integer := cardinality(items);
BEGIN
    IF n < 2 THEN RETURN coalesce(items[1], ''); END IF;
    RETURN array_to_string(items[:n - 1], ', ') || ' ' || conjunction || ' ' || items[n];
END
$$;

CREATE OR REPLACE FUNCTION timetable.words_counted(count bigint, noun text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN count || ' ' || noun || CASE count WHEN 1 THEN '' ELSE 's' END;
END
$$;

CREATE OR REPLACE FUNCTION timetable.words_clock(hour integer, minute integer, second integer DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN concat_ws(':', lpad(hour::text, 2, '0'), lpad(minute::text, 2, '0'),
        lpad(second::text, 2, '0'));
END
$$;

CREATE OR REPLACE FUNCTION timetable.words_ordinal(number integer) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN number || CASE
        WHEN number / 10 % 10 = 1 THEN 'th' WHEN number % 10 = 1 THEN 'st'
        WHEN number % 10 = 2 THEN 'nd' WHEN number % 10 = 3 THEN 'rd' ELSE 'th' END;
END
$$;

-- The bits that are set, in order.
CREATE OR REPLACE FUNCTION timetable.words_values(set_ bigint) RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(SELECT n FROM generate_series(0, 62) AS n WHERE (set_ >> n) & 1 = 1 ORDER BY n);
END
$$;

-- Runs of neighbours as pairs of first and last, one after the other. `ends`: the value after which
-- 0 follows, or NULL; a run across it is one, and stands last.
CREATE OR REPLACE FUNCTION timetable.words_runs(values_ integer[], ends integer) RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    runs integer[] := '{}';
    n integer := 0;
    v integer;
BEGIN
    FOREACH v IN ARRAY values_ LOOP
        IF n > 0 AND runs[n] = v - 1 THEN
            runs[n] := v;
        ELSE
            runs := runs || v || v;
            n := n + 2;
        END IF;
    END LOOP;
    IF n > 2 AND runs[1] = 0 AND runs[n] = ends THEN
        runs[n] := runs[2];
        runs := runs[3:];
    END IF;
    RETURN runs;
END
$$;

-- One item for each value, `a to b` for three neighbours or more. The name of n is names[n + 1].
CREATE OR REPLACE FUNCTION timetable.words_items(values_ integer[], ends integer, names text[])
RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    runs CONSTANT integer[] := timetable.words_runs(values_, ends);
    items text[] := '{}';
    a text;
    b text;
    length integer;
BEGIN
    FOR i IN 1..cardinality(runs) BY 2 LOOP
        a := coalesce(names[runs[i] + 1], runs[i]::text);
        b := coalesce(names[runs[i + 1] + 1], runs[i + 1]::text);
        length := runs[i + 1] - runs[i] + 1
            + CASE WHEN runs[i + 1] < runs[i] THEN ends + 1 ELSE 0 END;
        items := items || CASE length WHEN 1 THEN ARRAY[a] WHEN 2 THEN ARRAY[a, b]
            ELSE ARRAY[a || ' to ' || b] END;
    END LOOP;
    RETURN items;
END
$$;

-- The distance of two values or more that are evenly spaced, else NULL.
CREATE OR REPLACE FUNCTION timetable.words_step(values_ integer[]) RETURNS integer
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    FOR i IN 3..cardinality(values_) LOOP
        IF values_[i] - values_[i - 1] <> values_[2] - values_[1] THEN RETURN NULL; END IF;
    END LOOP;
    RETURN values_[2] - values_[1];
END
$$;

-- That of values which begin below it and fill 60; few that do not begin at 0 are better listed.
CREATE OR REPLACE FUNCTION timetable.words_sixtieths(values_ integer[]) RETURNS integer
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    step CONSTANT integer := timetable.words_step(values_);
BEGIN
    RETURN CASE WHEN values_[1] < step AND cardinality(values_) * step = 60
        AND (values_[1] = 0 OR cardinality(values_) > 3) THEN step END;
END
$$;

CREATE OR REPLACE FUNCTION timetable.words_numbered(noun text, values_ integer[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN noun || CASE cardinality(values_) WHEN 1 THEN ' ' ELSE 's ' END
        || timetable.words_list(timetable.words_items(values_, NULL, NULL));
END
$$;

-- Does a cron expression name every day of its months?
CREATE OR REPLACE FUNCTION timetable.words_is_every_day(c timetable.cron_sets) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN c.both_days THEN c.days = 4294967294 AND c.weekdays = 127
        ELSE c.days = 4294967294 OR c.weekdays = 127 END;
END
$$;

CREATE OR REPLACE FUNCTION timetable.words_hour_runs(c timetable.cron_sets) RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Across midnight only where the next day counts, too.
    RETURN timetable.words_runs(timetable.words_values(c.hours),
        CASE WHEN timetable.words_is_every_day(c) AND c.months = 8190 THEN 23 END);
END
$$;

-- Every single time.
CREATE OR REPLACE FUNCTION timetable.words_times_listed(c timetable.cron_sets) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN 'at ' || timetable.words_list(ARRAY(
        SELECT timetable.words_clock(h, m, CASE WHEN c.seconds <> 1 THEN s END)
        FROM unnest(timetable.words_values(c.hours)) AS h,
            unnest(timetable.words_values(c.minutes)) AS m,
            unnest(timetable.words_values(c.seconds)) AS s
        ORDER BY h, m, s));
END
$$;

-- At one minute and second of more hours than are listed.
CREATE OR REPLACE FUNCTION timetable.words_hourly(c timetable.cron_sets) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hours CONSTANT integer[] := timetable.words_values(c.hours);
    runs CONSTANT integer[] := timetable.words_hour_runs(c);
    step CONSTANT integer := timetable.words_step(hours);
    m CONSTANT integer := (timetable.words_values(c.minutes))[1];
    s CONSTANT integer := (timetable.words_values(c.seconds))[1];
BEGIN
    IF cardinality(hours) = 24 THEN
        IF m = 0 AND s = 0 THEN RETURN 'every hour'; END IF;
        RETURN 'at ' || timetable.words_list(array_remove(ARRAY[
            CASE WHEN m <> 0 THEN timetable.words_counted(m, 'minute') END,
            CASE WHEN s <> 0 THEN timetable.words_counted(s, 'second') END], NULL))
            || ' past every hour';
    ELSIF cardinality(runs) = 2 THEN
        RETURN 'every hour from ' || timetable.words_clock(runs[1], m, nullif(s, 0))
            || ' to ' || timetable.words_clock(runs[2], m, nullif(s, 0));
    ELSIF step IS NOT NULL THEN
        RETURN 'every ' || step || ' hours from ' || timetable.words_clock(hours[1], m, nullif(s, 0))
            || ' to ' || timetable.words_clock(hours[cardinality(hours)], m, nullif(s, 0));
    END IF;
    RETURN timetable.words_times_listed(c);
END
$$;

CREATE OR REPLACE FUNCTION timetable.words_of_hours(c timetable.cron_sets) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN c.hours = 16777215 THEN ' of every hour'
        ELSE ' of ' || timetable.words_numbered('hour', timetable.words_values(c.hours)) END;
END
$$;

-- Which hours, for something that goes through all of them from minute `first` on.
CREATE OR REPLACE FUNCTION timetable.words_window(c timetable.cron_sets, first integer) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    runs CONSTANT integer[] := timetable.words_hour_runs(c);
BEGIN
    IF c.hours = 16777215 THEN
        RETURN CASE first WHEN 0 THEN '' ELSE ' from minute ' || first || ' of every hour' END;
    ELSIF cardinality(runs) > 6 THEN
        RETURN CASE first WHEN 0 THEN '' ELSE ' from minute ' || first END
            || timetable.words_of_hours(c);
    END IF;
    RETURN ' ' || timetable.words_list(ARRAY(
        SELECT 'from ' || timetable.words_clock(runs[n], first) || ' to '
            || timetable.words_clock(runs[n + 1], 59)
        FROM generate_series(1, cardinality(runs), 2) AS n ORDER BY n));
END
$$;

-- The times of day.
CREATE OR REPLACE FUNCTION timetable.words_times(c timetable.cron_sets) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seconds CONSTANT integer[] := timetable.words_values(c.seconds);
    minutes CONSTANT integer[] := timetable.words_values(c.minutes);
    hours CONSTANT integer[] := timetable.words_values(c.hours);
    runs CONSTANT integer[] := timetable.words_runs(minutes, NULL);
    in_one_run CONSTANT boolean := cardinality(hours) = 1 AND cardinality(runs) = 2;
    step integer;
    result text;
    is_plain boolean := false;
BEGIN
    IF cardinality(seconds) * cardinality(minutes) * cardinality(hours) <= 6
        AND cardinality(seconds) <= 3
    THEN
        RETURN timetable.words_times_listed(c);
    ELSIF cardinality(seconds) = 1 AND cardinality(minutes) = 1 THEN
        RETURN timetable.words_hourly(c);
    ELSIF cardinality(seconds) = 1 THEN
        step := timetable.words_sixtieths(minutes);
        IF step IS NOT NULL THEN
            RETURN CASE step WHEN 1 THEN 'every minute' ELSE 'every ' || step || ' minutes' END
                || CASE seconds[1] WHEN 0 THEN '' ELSE ' at second ' || seconds[1] END
                || timetable.words_window(c, minutes[1]);
        ELSIF in_one_run THEN
            RETURN 'every minute from '
                || timetable.words_clock(hours[1], runs[1], nullif(seconds[1], 0)) || ' to '
                || timetable.words_clock(hours[1], runs[2], nullif(seconds[1], 0));
        END IF;
        RETURN CASE seconds[1] WHEN 0 THEN 'at ' ELSE 'at second ' || seconds[1] || ' of ' END
            || timetable.words_numbered('minute', minutes) || timetable.words_of_hours(c);
    END IF;
    result := 'at ' || timetable.words_numbered('second', seconds);
    step := timetable.words_sixtieths(seconds);
    IF step IS NOT NULL THEN
        is_plain := seconds[1] = 0;
        result := CASE step WHEN 1 THEN 'every second' ELSE 'every ' || step || ' seconds' END
            || CASE WHEN is_plain THEN '' ELSE ' from second ' || seconds[1] END;
    END IF;
    IF cardinality(minutes) = 60 THEN
        RETURN result || CASE WHEN is_plain THEN '' ELSE ' of every minute' END
            || timetable.words_window(c, 0);
    ELSIF is_plain AND in_one_run THEN
        RETURN result || ' from ' || timetable.words_clock(hours[1], runs[1], 0) || ' to '
            || timetable.words_clock(hours[1], runs[2], 59);
    END IF;
    RETURN result || ' of ' || timetable.words_numbered('minute', minutes)
        || timetable.words_of_hours(c);
END
$$;

CREATE OR REPLACE FUNCTION timetable.words_months(c timetable.cron_sets) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN timetable.words_list(timetable.words_items(timetable.words_values(c.months >> 1), 11,
        '{January,February,March,April,May,June,July,August,September,October,November,December}'));
END
$$;

CREATE OR REPLACE FUNCTION timetable.words_days(c timetable.cron_sets) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    days CONSTANT integer[] := timetable.words_values(c.days);
    step CONSTANT integer := timetable.words_step(days);
    items text[];
BEGIN
    IF cardinality(days) > 3 AND step > 1 THEN
        items := ARRAY['every ' || timetable.words_ordinal(step) || ' day from the '
            || timetable.words_ordinal(days[1]) || ' to the '
            || timetable.words_ordinal(days[cardinality(days)])];
    ELSE
        items := timetable.words_items(days, NULL, ARRAY(
            SELECT 'the ' || timetable.words_ordinal(n) FROM generate_series(0, 31) AS n ORDER BY n));
    END IF;
    items := items || ARRAY(SELECT 'the workday nearest the ' || timetable.words_ordinal(d)
        FROM unnest(timetable.words_values(c.nearest_workdays)) AS d ORDER BY d);
    IF c.last_workday THEN items := items || 'the last workday'::text; END IF;
    RETURN items || ARRAY(
        SELECT CASE d WHEN 0 THEN 'the last day'
            ELSE 'the ' || timetable.words_ordinal(d + 1) || '-last day' END
        FROM unnest(timetable.words_values(c.last_days)) AS d ORDER BY d);
END
$$;

-- The dates, with a blank before them; empty where nothing needs to be said.
CREATE OR REPLACE FUNCTION timetable.words_dates(c timetable.cron_sets, says_every_day boolean)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    names CONSTANT text[] := '{Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday}';
    months CONSTANT text := CASE WHEN c.months <> 8190 THEN timetable.words_months(c) END;
    -- The week begins on Monday.
    plain CONSTANT text[] := timetable.words_items(
        timetable.words_values((c.weekdays >> 1) | ((c.weekdays & 1) << 6)), 6, names);
    special text[];
    dates text;
    weekdays text;
BEGIN
    IF timetable.words_is_every_day(c) THEN
        RETURN CASE WHEN says_every_day THEN ' every day' ELSE '' END || coalesce(' in ' || months, '');
    END IF;
    special := ARRAY(
        SELECT 'the ' || ('{first,second,third,fourth,fifth,last}'::text[])[bit / 7 + 1]
            || ' ' || names[(bit + 6) % 7 + 1]
        FROM unnest(timetable.words_values(c.nth_weekdays)) AS bit ORDER BY bit);
    weekdays := ' on ' || timetable.words_list(plain || special)
        || CASE WHEN cardinality(special) = 0 THEN ''
            WHEN cardinality(plain) = 0 AND months IS NOT NULL THEN ' of ' || months
            ELSE ' of the month' END
        || CASE WHEN cardinality(plain) = 0 THEN '' ELSE coalesce(' in ' || months, '') END;
    dates := ' on ' || timetable.words_list(timetable.words_days(c)) || ' of '
        || coalesce(months, 'the month');
    RETURN CASE
        WHEN NOT c.both_days THEN dates || ' or' || weekdays
        WHEN c.weekdays = 127 THEN dates
        WHEN c.days = 4294967294 THEN weekdays
        ELSE dates || ', if that is ' || timetable.words_list(plain || special, 'or')
            || CASE cardinality(special) WHEN 0 THEN '' ELSE ' of the month' END END;
END
$$;

-- A cron expression with an H that no config has decided yet; NULL without H. In lower case, trimmed.
CREATE OR REPLACE FUNCTION timetable.words_hashed(schedule text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    names CONSTANT text[] := '{second,minute,hour,day,month,day of week}';
    f text[] := regexp_split_to_array(upper(schedule COLLATE "C"), '[ \t\n\r]+');
    c CONSTANT timetable.cron_sets := timetable.cron_sets(schedule, 0);
    hours CONSTANT integer[] := timetable.words_values(c.hours);
    hashed boolean[];
    parts text[] := '{}';
    days text[] := '{}';
    result text;
BEGIN
    IF cardinality(f) = 5 THEN f := array_prepend(NULL, f); END IF;
    FOR i IN 1..6 LOOP
        f[i] := ltrim(f[i], '+');
        hashed[i] := coalesce(f[i] COLLATE "C" ~ '(^|,)H', false);
        CONTINUE WHEN f[i] IS NULL OR f[i] IN ('*', '?');
        IF i IN (4, 6) THEN
            days := days || ('the ' || names[i] || ' is ' || f[i]);
        ELSE
            parts := parts || ('the ' || names[i] || ' is ' || f[i]);
        END IF;
    END LOOP;
    IF true <> ALL (hashed) THEN RETURN NULL; END IF;
    IF f[2] = 'H' AND c.seconds = 1 AND NOT (hashed[1] OR hashed[4] OR hashed[5] OR hashed[6]) THEN
        result := CASE
            WHEN f[3] = 'H' THEN 'at a fixed time' || timetable.words_dates(c, true)
            WHEN hashed[3] THEN NULL
            WHEN c.hours = 16777215
                THEN 'at a fixed minute of every hour' || timetable.words_dates(c, false)
            WHEN cardinality(hours) = 1 THEN 'at a fixed time from '
                || timetable.words_clock(hours[1], 0) || ' to '
                || timetable.words_clock(hours[1], 59) || timetable.words_dates(c, true) END;
    END IF;
    RETURN coalesce(result, 'when ' || timetable.words_list(CASE WHEN c.both_days THEN parts || days
            ELSE parts || ('either ' || array_to_string(days, ' or ')) END))
        || ' (H: chosen by the config''s id)';
END
$$;

-- A length in one unit where one fits, else in several.
CREATE OR REPLACE FUNCTION timetable.words_duration(length bigint, leaves_out_one boolean) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lengths CONSTANT bigint[] := '{3600000000,60000000,1000000,1000,1}';
    names CONSTANT text[] := '{hour,minute,second,millisecond,microsecond}';
    rest bigint := length;
    parts text[] := '{}';
BEGIN
    -- Not a day of the calendar, which may have 23 or 25.
    IF length % 86400000000 = 0 AND length > 86400000000 THEN
        RETURN length / 86400000000 || ' days of 24 hours';
    END IF;
    FOR i IN 1..5 LOOP
        CONTINUE WHEN length % lengths[i] <> 0 OR length / lengths[i] >= 1000;
        RETURN CASE WHEN length = lengths[i] AND leaves_out_one THEN names[i]
            ELSE timetable.words_counted(length / lengths[i], names[i]) END;
    END LOOP;
    FOR i IN 1..5 LOOP
        CONTINUE WHEN rest < lengths[i];
        parts := parts || timetable.words_counted(rest / lengths[i], names[i]);
        rest := rest % lengths[i];
    END LOOP;
    RETURN timetable.words_list(parts);
END
$$;

-- The one time of @at. Microseconds since 1970, as timetable.fire_rule reads them.
CREATE OR REPLACE FUNCTION timetable.words_at(microseconds bigint, is_local boolean) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    day_ CONSTANT bigint := 86400000000;
    rest CONSTANT bigint := mod(mod(microseconds, day_) + day_, day_);
    date_ CONSTANT date := date '1970-01-01' + ((microseconds - rest) / day_)::integer;
    year_ CONSTANT integer := extract(year FROM date_);
    seconds CONSTANT integer := rest / 1000000;
BEGIN
    RETURN 'once, on ' || extract(day FROM date_) || ' ' ||
        ('{January,February,March,April,May,June,July,August,September,October,November,December}'::text[])[
            extract(month FROM date_)::integer]
        -- An offset may lead out of the year 1.
        || ' ' || CASE WHEN year_ > 0 THEN year_::text ELSE -year_ || ' BC' END || ' at '
        || timetable.words_clock(seconds / 3600, seconds / 60 % 60,
            CASE WHEN rest % 60000000 <> 0 THEN seconds % 60 END)
        || CASE WHEN rest % 1000000 <> 0 THEN '.' || lpad((rest % 1000000)::text, 6, '0') ELSE '' END
        || CASE WHEN is_local THEN '' ELSE ' UTC' END;
END
$$;

CREATE OR REPLACE FUNCTION timetable.schedule_in_words(schedule text, config bigint DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s CONSTANT text COLLATE "C" := btrim(lower(schedule COLLATE "C"), E' \t\n\r');
    rule timetable.fire_rule;
    hashed text;
BEGIN
    IF s IS NULL OR timetable.schedule_error(schedule) IS NOT NULL THEN RETURN NULL; END IF;
    IF s = '@manual' THEN
        RETURN 'only when it is asked for';
    ELSIF s = '@reboot' THEN
        RETURN 'once when a daemon becomes ready';
    ELSIF s ~ '^@after[ \t\n\r]' THEN
        RETURN timetable.words_duration(timetable.duration_microseconds(s)::bigint, false)
            || ' after the end of the run before';
    ELSIF config IS NULL AND s NOT LIKE '@%' THEN
        hashed := timetable.words_hashed(s);
        IF hashed IS NOT NULL THEN RETURN hashed; END IF;
    END IF;
    rule := timetable.fire_rule(s, coalesce(config, 0), NULL, NULL, NULL, NULL, NULL);
    IF rule.every IS NOT NULL THEN
        RETURN 'every ' || timetable.words_duration(rule.every, true);
    ELSIF rule.at IS NOT NULL THEN
        RETURN timetable.words_at(rule.at, rule.at_is_local);
    END IF;
    RETURN timetable.words_times(rule.cron)
        || timetable.words_dates(rule.cron, (rule.cron).hours <> 16777215);
END
$$;
COMMENT ON FUNCTION timetable.schedule_in_words(text, bigint) IS
    'A schedule in English, with the config''s id also what H has chosen; NULL for what is refused: schedule_in_words(''30 2 * * *'') is ''at 02:30 every day''';

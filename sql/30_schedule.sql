-- The second reader of the schedule syntax: says why a schedule is refused, when it is written.
--
-- The first is Sources/Scheduling (Swift); TwoReadersTests demands equal verdicts of both. A valid
-- cron expression costs one regular expression; only what is refused, or may name a date that no
-- calendar has, is looked at piece by piece.

-- One field of a cron expression, in lower case: its list of items, not anchored.
CREATE OR REPLACE FUNCTION timetable.cron_field_pattern(field text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%2$s%1$s(?:,%1$s)*', replace(replace(
        '(?:[*?](?:/S)?|h(?:\(V-V\))?(?:/S)?|V(?:-V)?(?:/S)?' || extra || ')',
        -- A step, 1 to 9999, in up to four digits.
        'S', '(?:0{0,3}[1-9]|0{0,2}[1-9][0-9]|0?[1-9][0-9]{2}|[1-9][0-9]{3})'),
        'V', '(?:' || value || ')'), prefix)
    FROM (VALUES
        ('second', '0{0,2}[0-5]?[0-9]', '', ''),
        ('minute', '0{0,2}[0-5]?[0-9]', '', ''),
        ('hour', '0{0,2}(?:[01]?[0-9]|2[0-3])', '', ''),
        ('day', '0{0,2}(?:0?[1-9]|[12][0-9]|3[01])',
            '|lw|l(?:-0{0,2}(?:0?[1-9]|[12][0-9]|30))?|Vw', ''),
        ('month', '0{0,2}(?:0?[1-9]|1[0-2])|jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may'
            '|june?|july?|aug(?:ust)?|sep(?:tember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?',
            '', ''),
        ('day of week', '0{0,3}[0-7]|(?:sun|mon|fri)(?:day)?|tue(?:sday)?|wed(?:nesday)?'
            '|thu(?:rsday)?|sat(?:urday)?', '|V#[1-5]|Vl', '\+?')
    ) AS fields (name, value, extra, prefix)
    WHERE name = field
$$;

-- Five fields, or six with the second first. Planned once a session: a constant from then on.
CREATE OR REPLACE FUNCTION timetable.cron_pattern() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('^(?:%s[ \t\n\r]+)?%s[ \t\n\r]+%s[ \t\n\r]+%s[ \t\n\r]+%s[ \t\n\r]+%s$',
        timetable.cron_field_pattern('second'), timetable.cron_field_pattern('minute'),
        timetable.cron_field_pattern('hour'), timetable.cron_field_pattern('day'),
        timetable.cron_field_pattern('month'), timetable.cron_field_pattern('day of week'))
$$;

-- The plain items of a field (values, ranges, steps, H; no names) as sets: one row for each value,
-- with the item it comes from and, for H, which of its choices gives it. In plpgsql for its plans.
CREATE OR REPLACE FUNCTION timetable.cron_values(field text, lowest integer, span integer)
RETURNS TABLE (item bigint, hashed boolean, choice integer, value integer)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY WITH parts AS (
        SELECT n, regexp_match(part COLLATE "C",
            '^(?:([*?])|(h)(?:\(([^-]+)-([^)]+)\))?|([^-/]+)(?:-([^/]+))?)(?:/([0-9]+))?$') AS p
        FROM unnest(string_to_array(ltrim(field, '+'), ',')) WITH ORDINALITY AS parts (part, n)
        WHERE part COLLATE "C" !~ '^l|w$|l$|#'
    ), ends AS (
        SELECT n, p[2] IS NOT NULL AS hashed, p[7]::integer AS step,
            coalesce(coalesce(p[3], p[5])::integer, lowest) AS low,
            CASE
                WHEN p[5] IS NOT NULL AND coalesce(p[6], p[7]) IS NULL
                    THEN p[5]::integer
                WHEN coalesce(p[4], p[6]) IS NOT NULL
                    THEN coalesce(p[4], p[6])::integer
                -- Every month has 28 days: a bare H never skips one.
                WHEN p[2] IS NOT NULL AND span = 31 THEN 28
                ELSE lowest + span - 1
            END AS high
        FROM parts
    ), wrapped AS (
        -- 7 as a beginning is Sunday, 0; as an end it stands behind Saturday.
        SELECT n, hashed, step, CASE span WHEN 7 THEN low % 7 ELSE low END AS low,
            CASE WHEN span = 7 AND low = 7 THEN high % 7 ELSE high END AS high
        FROM ends
    ), ranges AS (
        SELECT n, hashed, step, low,
            CASE WHEN high >= low THEN high - low ELSE high + span - low END AS distance
        FROM wrapped
    ), steps AS (
        SELECT n, hashed, low,
            coalesce(step, CASE WHEN hashed THEN distance + 1 ELSE 1 END) AS step,
            -- A step from a range of one value goes on like 8/2.
            CASE WHEN NOT hashed AND step IS NOT NULL AND distance = 0
                THEN lowest + span - 1 - low ELSE distance END AS distance
        FROM ranges
    )
    SELECT n, hashed, first, (low - lowest + ahead) % span + lowest
    FROM steps,
        generate_series(0, CASE WHEN hashed THEN LEAST(step, distance + 1) - 1 ELSE 0 END) AS first,
        generate_series(first, distance, step) AS ahead;
END
$$;

-- A month field with numbers for its names.
CREATE OR REPLACE FUNCTION timetable.month_numbers(field text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    names CONSTANT text[] := '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}';
BEGIN
    IF field COLLATE "C" !~ '[a-z]{3}' THEN RETURN field; END IF;
    FOR i IN 1..12 LOOP
        field := regexp_replace(field, names[i] || '[a-z]*', i::text, 'g');
    END LOOP;
    RETURN field;
END
$$;

-- A weekday field with numbers for its names.
CREATE OR REPLACE FUNCTION timetable.weekday_numbers(field text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    names CONSTANT text[] := '{sun(?:day)?,mon(?:day)?,tue(?:sday)?,wed(?:nesday)?,thu(?:rsday)?,fri(?:day)?,sat(?:urday)?}';
BEGIN
    IF field COLLATE "C" !~ '[a-z]{3}' THEN RETURN field; END IF;
    FOR i IN 0..6 LOOP
        field := regexp_replace(field, names[i + 1], i::text, 'g');
    END LOOP;
    RETURN field;
END
$$;

-- Why no date ever matches a day, month and weekday field that are well-formed, or NULL.
CREATE OR REPLACE FUNCTION timetable.cron_never(day text, month text, weekday text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
    lengths CONSTANT integer[] := '{31,29,31,30,31,30,31,31,30,31,30,31}';
    months CONSTANT text[] := '{January,February,March,April,May,June,July,August,September,October,November,December}';
    least_day integer;
    longest_month integer;
    named integer[];
    days integer[];
    weekdays integer[];
BEGIN
    -- With either day field enough, the weekdays alone come round in every month.
    IF day COLLATE "C" !~ '^[*?]' AND weekday COLLATE "C" !~ '^[*?+]' THEN RETURN NULL; END IF;
    -- The usual cases by what an item begins with: a day that the months are sure to have.
    IF (weekday COLLATE "C" ~ '^[*?]$' OR day COLLATE "C" !~ '[lw]' AND weekday COLLATE "C" !~ 'l|#') AND (
        day COLLATE "C" ~ '(^|,)(?:[*?]|h(?!\()|0{0,2}(?:0?[1-9]|[12][0-9])(?![0-9])|l(?!-0{0,2}(?:29|30)))'
        OR month COLLATE "C" ~ '(^|,)(?:[*?]|0{0,2}(?:0?[13578]|1[02])(?![0-9])|jan|mar|may|jul|aug|oct|dec)'
        OR day COLLATE "C" ~ '(^|,)0{0,2}30' AND month COLLATE "C" ~ '(^|,)(?:0{0,2}(?:0?[469]|11)(?![0-9])|apr|jun|sep|nov)'
    ) THEN
        RETURN NULL;
    END IF;
    month := timetable.month_numbers(month);
    weekday := timetable.weekday_numbers(weekday);

    -- What the fields are sure to name, whatever H gives.
    SELECT min(worst) INTO least_day FROM (
        SELECT max(first) AS worst FROM (
            SELECT v.item, v.choice, min(v.value) AS first
            FROM timetable.cron_values(day, 1, 31) AS v GROUP BY 1, 2) AS choices
        GROUP BY item
        UNION ALL
        SELECT CASE WHEN part IN ('l', 'lw') THEN 1
            WHEN part LIKE 'l%' THEN substr(part, 3)::integer + 1
            ELSE rtrim(part, 'w')::integer END
        FROM unnest(string_to_array(day, ',')) AS part
        WHERE part COLLATE "C" ~ '^l|w$') AS items;
    SELECT max(worst), (SELECT array_agg(DISTINCT v.value) FROM timetable.cron_values(month, 1, 12) AS v)
    INTO longest_month, named FROM (
        SELECT min(longest) AS worst FROM (
            SELECT v.item, v.choice, max(lengths[v.value]) AS longest
            FROM timetable.cron_values(month, 1, 12) AS v GROUP BY 1, 2) AS choices
        GROUP BY item) AS items;
    IF least_day > longest_month THEN
        RETURN CASE
            WHEN (day || ',' || month) COLLATE "C" ~ '(^|,)h' THEN
                'could never fire: H may choose a month that has no '
            WHEN cardinality(named) = 1 THEN
                'can never fire: ' || months[named[1]] || ' has no '
            ELSE 'can never fire: none of these months has a '
        END || least_day || CASE least_day WHEN 31 THEN 'st' ELSE 'th' END;
    END IF;

    -- A date falls on each weekday in some year (29 February too, within 28 or 40 years).
    IF day COLLATE "C" !~ '[lw]' AND weekday COLLATE "C" !~ '[l#]' THEN RETURN NULL; END IF;
    days := ARRAY(SELECT DISTINCT v.value FROM timetable.cron_values(day, 1, 31) AS v);
    weekdays := ARRAY(SELECT DISTINCT v.value FROM timetable.cron_values(weekday, 0, 7) AS v);
    IF cardinality(days) = 31 AND day COLLATE "C" !~ 'h' THEN RETURN NULL; END IF;
    IF cardinality(weekdays) = 7 AND weekday COLLATE "C" !~ '(^|[,+])h' THEN RETURN NULL; END IF;
    IF (day || ',' || month || ',' || weekday) COLLATE "C" ~ '(^|[,+])h' THEN
        RETURN 'H is not allowed together with L, W or # where both day fields must match';
    END IF;
    IF timetable.cron_has_date(days, named, weekdays, day, weekday) THEN RETURN NULL; END IF;
    RETURN 'can never fire: no date matches both day fields';
END
$$;

-- Is there a month in which both day fields match some date? In 400 years each month, February
-- with 28 and with 29 days, begins on each weekday.
CREATE OR REPLACE FUNCTION timetable.cron_has_date(
    days integer[], months integer[], weekdays integer[], day text, weekday text
) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN (WITH kinds AS (
        SELECT length, first, (first + length - 1) % 7 AS last
        FROM (VALUES (1, 31), (2, 28), (2, 29), (3, 31), (4, 30), (5, 31), (6, 30), (7, 31), (8, 31),
            (9, 30), (10, 31), (11, 30), (12, 31)) AS lengths (month, length),
            generate_series(0, 6) AS first
        WHERE month = ANY (months)
    ), special AS (
        SELECT ARRAY(SELECT CASE part WHEN 'l' THEN 0 ELSE substr(part, 3)::integer END
                FROM unnest(string_to_array(day, ',')) AS part
                WHERE part COLLATE "C" ~ '^l(-|$)') AS back,
            ARRAY(SELECT rtrim(part, 'w')::integer FROM unnest(string_to_array(day, ',')) AS part
                WHERE part COLLATE "C" ~ '^[0-9]+w$') AS near,
            'lw' = ANY (string_to_array(day, ',')) AS last_workday,
            ARRAY(SELECT split_part(part, '#', 1)::integer % 7 * 10
                    + split_part(part, '#', 2)::integer
                FROM unnest(string_to_array(ltrim(weekday, '+'), ',')) AS part
                WHERE part LIKE '%#%') AS nth,
            ARRAY(SELECT rtrim(part, 'l')::integer % 7
                FROM unnest(string_to_array(ltrim(weekday, '+'), ',')) AS part
                WHERE part LIKE '%l') AS last
    )
    SELECT EXISTS (
        SELECT FROM kinds, special, generate_series(1, length) AS d,
            LATERAL (SELECT (first + d - 1) % 7 AS today) AS t
        WHERE (today = ANY (weekdays) OR today * 10 + (d + 6) / 7 = ANY (nth)
                OR (d + 7 > length AND today = ANY (special.last)))
            AND (d = ANY (days) OR length - d = ANY (back)
                OR (last_workday AND d = length - CASE kinds.last WHEN 6 THEN 1 WHEN 0 THEN 2 ELSE 0 END)
                OR EXISTS (SELECT FROM unnest(near) AS n
                    WHERE n <= length AND d = n + CASE (first + n - 1) % 7
                        WHEN 6 THEN CASE n WHEN 1 THEN 2 ELSE -1 END
                        WHEN 0 THEN CASE n WHEN length THEN -2 ELSE 1 END
                        ELSE 0 END))));
END
$$;

-- The length that a well-formed `@every` or `@after` names; in lower case.
CREATE OR REPLACE FUNCTION timetable.duration_microseconds(schedule text) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sum(floor(p[1]::numeric * CASE
        WHEN p[2] IN ('us', 'microsecond', 'microseconds') THEN 0.000001
        WHEN p[2] IN ('ms', 'millisecond', 'milliseconds') THEN 0.001
        WHEN p[2] LIKE 's%' THEN 1 WHEN p[2] LIKE 'm%' THEN 60 WHEN p[2] LIKE 'h%' THEN 3600
        WHEN p[2] LIKE 'd%' THEN 86400 ELSE 604800 END * 1000000))
    FROM regexp_matches(substr(schedule, 7), '([0-9]+(?:\.[0-9]+)?)[ \t\n\r]*([a-z]+)', 'g') AS p
$$;

-- Why `@every`, `@after`, `@at` or another name is refused, or NULL. In lower case, trimmed.
CREATE OR REPLACE FUNCTION timetable.named_schedule_error(schedule text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s CONSTANT text COLLATE "C" := schedule;
    part CONSTANT text := '(?:[0-9]{1,9}(?:\.[0-9]{1,6})?[ \t\n\r]*(?:us|microseconds?|ms|milliseconds?'
        '|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)[ \t\n\r]*)+';
    name CONSTANT text := substring(s FROM '^@(every|after|at)(?:[ \t\n\r]|$)');
    d text[];
BEGIN
    IF s IN ('@manual', '@reboot', '@yearly', '@annually', '@monthly', '@weekly', '@daily',
        '@midnight', '@hourly', '@every_minute', '@every_second') THEN
        RETURN NULL;
    ELSIF name IS NULL THEN
        RETURN left(s, 24) || ' is not allowed; @every, @after, @at, @manual, @reboot, @yearly, '
            '@annually, @monthly, @weekly, @daily, @midnight, @hourly, @every_minute and '
            '@every_second are';
    ELSIF name = 'at' THEN
        d := regexp_match(s, '^@at[ \t\n\r]+((?!0000)[0-9]{4})-(0?[1-9]|1[0-2])-(0?[1-9]|[12][0-9]|3[01])'
            '(?:t|[ \t\n\r]+)(?:[01]?[0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?[ \t\n\r]*'
            '(?:z|[+-](?:(?:0?[0-9]|1[0-5])(?::[0-5][0-9])?|(?:0[0-9]|1[0-5])[0-5][0-9]))?$');
        IF d IS NULL THEN
            RETURN '@at: a date from the year 0001 to 9999 and a time of day are allowed, as in '
                '@at 2027-01-31 09:00, with Z or an offset up to 15:59 or without';
        END IF;
        IF d[3]::integer > extract(day FROM make_date(d[1]::integer, d[2]::integer, 1)
            + interval '1 month' - interval '1 day') THEN
            RETURN '@at: ' || d[3] || ' is not allowed; the month ' || d[1] || '-' || d[2]
                || ' has no such day';
        END IF;
        RETURN NULL;
    END IF;
    IF s !~ ('^@(?:every|after)[ \t\n\r]+(?:''[ \t\n\r]*' || part || '''|' || part || ')$') THEN
        RETURN '@' || name || ': numbers with the units us, ms, s, m, h, d, w and their words are '
            'allowed, as in 90s, 1h30m or 10 minutes (months and years differ in length: @monthly)';
    END IF;
    IF timetable.duration_microseconds(s) NOT BETWEEN 100000 AND 36525 * 86400000000 THEN
        RETURN '@' || name || ': ' || left(btrim(substr(s, 7), E' \t\n\r'), 24)
            || ' is not allowed; 100 ms to 36525 days are';
    END IF;
    RETURN NULL;
END
$$;

-- Which field of a cron expression is refused: the first one, with the column of the item in it.
CREATE OR REPLACE FUNCTION timetable.cron_error(schedule text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s CONSTANT text COLLATE "C" := lower(schedule COLLATE "C");
    fields CONSTANT text[] := regexp_split_to_array(btrim(s, E' \t\n\r'), '[ \t\n\r]+');
    count_ CONSTANT integer := CASE WHEN fields = '{""}' THEN 0 ELSE cardinality(fields) END;
    names text[] := '{second,minute,hour,day,month,day of week}';
    allowed text[] := ARRAY['0 to 59', '0 to 59', '0 to 23',
        '1 to 31, L, L-1 to L-30, LW and 1W to 31W', '1 to 12 and JAN to DEC',
        '0 to 7, SUN to SAT, 5#1 to 5#5 and 5L'];
    pattern text;
    item text;
    place integer;
BEGIN
    IF count_ NOT IN (5, 6) THEN
        RETURN CASE count_ WHEN 0 THEN 'an empty schedule is' WHEN 1 THEN '1 field is'
            ELSE count_ || ' fields are' END
            || ' not allowed; 5 are (minute, hour, day, month, day of week), '
            'or 6 with seconds first, or @every, @at, @daily and the like';
    END IF;
    IF count_ = 5 THEN
        names := names[2:];
        allowed := allowed[2:];
    END IF;
    FOR i IN 1..count_ LOOP
        pattern := timetable.cron_field_pattern(names[i]);
        CONTINUE WHEN fields[i] COLLATE "C" ~ ('^' || pattern || '$');
        place := 1 + length(substring(s FROM
            '^[ \t\n\r]*(?:[^ \t\n\r]+[ \t\n\r]+){' || i - 1 || '}'));
        FOREACH item IN ARRAY string_to_array(fields[i], ',') LOOP
            EXIT WHEN item COLLATE "C" !~ ('^' || pattern || '$');
            place := place + length(item) + 1;
            -- A second item has no +.
            pattern := replace(pattern, '\+?', '');
        END LOOP;
        RETURN names[i] || ', column ' || place || ': '
            || CASE item WHEN '' THEN 'an empty list item' ELSE left(substr(schedule, place, length(item)), 24) END
            || ' is not allowed; ' || allowed[i] || ' are, and /1 to /9999 for steps';
    END LOOP;
    RETURN 'is not allowed';
END
$$;

CREATE OR REPLACE FUNCTION timetable.schedule_error(schedule text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s CONSTANT text COLLATE "C" := btrim(lower(schedule COLLATE "C"), E' \t\n\r');
    f text[];
    reason text;
BEGIN
    IF octet_length(schedule) > 1024 THEN
        RETURN octet_length(schedule) || ' bytes are not allowed; up to 1024 are';
    -- The plainest forms by a small expression: the whole one costs ten times as much.
    ELSIF s ~ ('^(?:\*(?:/[1-9][0-9]?)?|[1-5]?[0-9](?:-[1-5]?[0-9])?(?:,[1-5]?[0-9](?:-[1-5]?[0-9])?)*) '
        '(?:\*(?:/[1-9])?|(?:1?[0-9]|2[0-3])(?:-(?:1?[0-9]|2[0-3]))?(?:,(?:1?[0-9]|2[0-3])(?:-(?:1?[0-9]|2[0-3]))?)*) '
        '(?:\*|1?[1-9]|10|2[0-8]) (?:\*|[1-9]|1[0-2]) (?:\*|(?:[0-7]|sun|mon|tue|wed|thu|fri|sat)(?:-(?:[0-7]|sun|mon|tue|wed|thu|fri|sat))?(?:,(?:[0-7]|sun|mon|tue|wed|thu|fri|sat)(?:-(?:[0-7]|sun|mon|tue|wed|thu|fri|sat))?)*)$') THEN
        RETURN NULL;
    ELSIF s LIKE '@%' THEN
        RETURN timetable.named_schedule_error(s);
    ELSIF s !~ timetable.cron_pattern() THEN
        RETURN timetable.cron_error(schedule);
    ELSIF s ~ '[ \t\n\r][*?][ \t\n\r]+[^ \t\n\r]+[ \t\n\r]+[^ \t\n\r]+$' THEN
        -- Any day: some weekday of any kind comes in every month there is.
        RETURN NULL;
    END IF;
    f := regexp_match(s, '([^ \t\n\r]+)[ \t\n\r]+([^ \t\n\r]+)[ \t\n\r]+([^ \t\n\r]+)$');
    reason := timetable.cron_never(f[1], f[2], f[3]);
    IF reason IS NULL THEN RETURN NULL; END IF;
    RETURN 'day, column ' || 1 + length(substring(schedule FROM '^(.*[ \t\n\r])[^ \t\n\r]+[ \t\n\r]+[^ \t\n\r]+[ \t\n\r]+[^ \t\n\r]+[ \t\n\r]*$'))
        || ': ' || reason;
END
$$;

COMMENT ON FUNCTION timetable.schedule_error(text) IS
    'Why a schedule is refused (field, column, what is allowed), or NULL when it is good';

-- Secrets in parameters: a run keeps them until it has ended, its record does not.

-- A row that is secret as a whole, as a claim takes it into a run: redacted, and unwrapped by the
-- daemon. Whoever asks for a run may pass such rows himself.
CREATE OR REPLACE FUNCTION timetable.secret_row(parameters jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN jsonb_build_object('timetable.secret', parameters);
END $$;
COMMENT ON FUNCTION timetable.secret_row(jsonb) IS
    'Marks one row of parameters as secret: SELECT timetable.run(1, jsonb_build_array(timetable.secret_row(''["pass"]'')))';

-- One row of parameters. As in Redaction.swift only an object holds secrets: the values of keys that
-- begin with "pass", other than a PasswordFile, and the logins of URLs (RFC 3986, section 3.2: the
-- authority ends at / ? #).
CREATE OR REPLACE FUNCTION timetable.redacted_row(parameters jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF jsonb_typeof(parameters) <> 'object' THEN
        RETURN parameters;
    ELSIF parameters ? 'timetable.secret' THEN
        RETURN '"***"';
    END IF;
    -- In its JSON, where a quotation mark or a control character in a text has a backslash.
    RETURN coalesce((
        SELECT jsonb_object_agg(p.key, CASE
            WHEN p.key ~* '^pass' AND lower(p.key) <> 'passwordfile' THEN '"***"' ELSE p.value END)
        FROM jsonb_each(
            regexp_replace(parameters::text, '://[^/?#\\" ]*@', '://***@', 'g')::jsonb) AS p), '{}');
END $$;

-- The parameters of a run: an object with an array of rows for each element. They may also be
-- malformed in any way, when somebody wrote a run_request by himself.
CREATE OR REPLACE FUNCTION timetable.redacted(parameters jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF jsonb_typeof(parameters) = 'array' THEN
        RETURN coalesce((
            SELECT jsonb_agg(timetable.redacted_row(r.value) ORDER BY r.ordinality)
            FROM jsonb_array_elements(parameters) WITH ORDINALITY AS r), '[]');
    ELSIF jsonb_typeof(parameters) <> 'object' THEN
        RETURN parameters;
    END IF;
    RETURN coalesce((
        SELECT jsonb_object_agg(p.key, CASE
            WHEN jsonb_typeof(p.value) = 'array' THEN timetable.redacted(p.value)
            WHEN p.key ~* '^pass' THEN '"***"'
            ELSE timetable.redacted_row(p.value) END)
        FROM jsonb_each(parameters) AS p), '{}');
END $$;

-- Takes the secrets out of the records of runs that have ended.
CREATE OR REPLACE FUNCTION timetable.redact_runs(runs bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE timetable.run_status r SET parameters = timetable.redacted(r.parameters)
    WHERE r.run_status = ANY (runs) AND r.finished IS NOT NULL
        AND r.parameters <> timetable.redacted(r.parameters);
    UPDATE timetable.run_request q SET parameters = timetable.redacted(q.parameters)
    FROM timetable.run_status r
    WHERE r.run_status = ANY (runs) AND r.finished IS NOT NULL AND q.run_request = r.run_request
        AND q.parameters <> timetable.redacted(q.parameters);
END $$;

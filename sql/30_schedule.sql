CREATE FUNCTION timetable.schedule_error(schedule text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT NULL::text $$;

-- The triggers of ours, which the files after this make anew. Those that users made on our tables,
-- with functions of their own, stay.

DO $$ DECLARE
    ours record;
BEGIN
    FOR ours IN
        SELECT t.tgname, c.relname
        FROM pg_catalog.pg_trigger t
        JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
        JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
        WHERE NOT t.tgisinternal AND c.relnamespace = 'timetable'::pg_catalog.regnamespace
            AND p.pronamespace = 'timetable'::pg_catalog.regnamespace
    LOOP
        EXECUTE pg_catalog.format('DROP TRIGGER %I ON timetable.%I', ours.tgname, ours.relname);
    END LOOP;
END $$;

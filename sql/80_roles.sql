-- Four roles of the cluster, by carillon migrate --roles. Whoever has CREATEROLE can run this; the
-- grants of 85 are made by the owner of the schema.

DO $$ DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY
        '{timetable_admin, timetable_author, timetable_operator, timetable_reader}'::text[]
    LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- in another database at the same time
            END;
        END IF;
    END LOOP;
    IF NOT pg_has_role('timetable_operator', 'timetable_reader', 'MEMBER') THEN
        GRANT timetable_reader TO timetable_operator;
    END IF;
    IF NOT pg_has_role('timetable_admin', 'timetable_operator', 'MEMBER') THEN
        GRANT timetable_operator TO timetable_admin;
    END IF;
END $$;

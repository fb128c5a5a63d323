-- Of several who install or upgrade the schema at once one does it, and the others wait here. Locks
-- of tables are not waited for without end: whoever waits for one keeps all others from it.

DO $$ BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(
        pg_catalog.hashtextextended('carillon schema', 0));
END $$;
SET LOCAL lock_timeout = '30s';

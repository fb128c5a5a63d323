-- Deleting a base task takes its elements out of their chains: what came after such an element
-- follows what came before it. Configs of a chain that loses its head get the next element as
-- head; a chain that has no other goes with its configs.

CREATE OR REPLACE FUNCTION timetable.close_gaps() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    element bigint;
    previous bigint;
    following bigint;
BEGIN
    FOR element IN
        SELECT t.chain_id FROM timetable.task_chain t WHERE t.task_id = OLD.task_id
    LOOP
        -- As it is now: a neighbour may have gone in this very loop.
        SELECT t.parent_id INTO previous FROM timetable.task_chain t WHERE t.chain_id = element;
        -- Cut off before the element goes, since two can't have one parent.
        UPDATE timetable.task_chain t SET parent_id = NULL WHERE t.parent_id = element
        RETURNING t.chain_id INTO following;
        IF previous IS NULL AND following IS NOT NULL THEN
            UPDATE timetable.chain_execution_config c SET chain_id = following
            WHERE c.chain_id = element;
        END IF;
        DELETE FROM timetable.task_chain t WHERE t.chain_id = element;
        IF previous IS NOT NULL AND following IS NOT NULL THEN
            UPDATE timetable.task_chain t SET parent_id = previous WHERE t.chain_id = following;
        END IF;
    END LOOP;
    RETURN OLD;
END $$;

CREATE TRIGGER close_gaps BEFORE DELETE ON timetable.base_task
    FOR EACH ROW EXECUTE FUNCTION timetable.close_gaps();

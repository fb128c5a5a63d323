-- The two schedules of `make demo`.

-- The first steps of every user: a program, once a minute.
INSERT INTO timetable.base_task (name, kind, script) VALUES ('/bin/date test', 'SHELL'::timetable.task_kind, '/bin/date') RETURNING task_id;
INSERT INTO timetable.task_chain (task_id) VALUES (6) RETURNING chain_id;
INSERT INTO timetable.chain_execution_config (chain_id, chain_name, live) VALUES (1, 'output date every second', true);

-- SQL, each second: it keeps the instant at which it ran.
CREATE TABLE tick (fired_at timestamptz NOT NULL DEFAULT clock_timestamp());
WITH task AS (
    INSERT INTO timetable.base_task (name, kind, script)
    VALUES ('tick', 'SQL', 'INSERT INTO public.tick DEFAULT VALUES')
    RETURNING task_id
), chain AS (
    INSERT INTO timetable.task_chain (task_id) SELECT task_id FROM task RETURNING chain_id
)
INSERT INTO timetable.chain_execution_config (chain_id, chain_name, schedule, live)
SELECT chain_id, 'tick every second', '@every 1s', true FROM chain;

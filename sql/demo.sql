-- A program, once a minute, as rows: a base task, a chain of it, and when it runs.
INSERT INTO timetable.base_task (name, kind, script)
VALUES ('/bin/date test', 'SHELL'::timetable.task_kind, '/bin/date');
INSERT INTO timetable.task_chain (task_id)
SELECT task_id FROM timetable.base_task WHERE name = '/bin/date test';
INSERT INTO timetable.chain_execution_config (chain_id, chain_name, live)
SELECT max(chain_id), 'output date every minute', true FROM timetable.task_chain;

-- SQL, each second, by one function: it keeps the instant at which it ran.
CREATE TABLE public.tick (fired_at timestamptz NOT NULL DEFAULT clock_timestamp());
SELECT timetable.add_job('tick', '@every 1s', 'INSERT INTO public.tick DEFAULT VALUES');

-- One that can't work.
SELECT timetable.add_job('broken', '*/5 * * * * *', 'SELECT 1 / 0');

-- The built-ins, in the seed's order: a user's first own base task gets id 6.

INSERT INTO timetable.base_task (name, kind, script) VALUES
    ('NoOp', 'BUILTIN', 'NoOp'),
    ('Sleep', 'BUILTIN', 'Sleep'),
    ('Log', 'BUILTIN', 'Log'),
    ('SendMail', 'BUILTIN', 'SendMail'),
    ('Download', 'BUILTIN', 'Download');

-- Those that the seed did not have: numbers below its own, which no sequence gives.
INSERT INTO timetable.base_task (task_id, name, kind, script) VALUES
    (-1, 'CopyFromFile', 'BUILTIN', 'CopyFromFile'),
    (-2, 'CopyToFile', 'BUILTIN', 'CopyToFile'),
    (-3, 'CopyFromProgram', 'BUILTIN', 'CopyFromProgram'),
    (-4, 'CopyToProgram', 'BUILTIN', 'CopyToProgram'),
    (-5, 'Shutdown', 'BUILTIN', 'Shutdown');

INSERT INTO timetable.schema_version (version) VALUES (4);

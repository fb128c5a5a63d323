-- The built-ins, in the seed's order: a user's first own base task gets id 6.

INSERT INTO timetable.base_task (name, kind, script) VALUES
    ('NoOp', 'BUILTIN', 'NoOp'),
    ('Sleep', 'BUILTIN', 'Sleep'),
    ('Log', 'BUILTIN', 'Log'),
    ('SendMail', 'BUILTIN', 'SendMail'),
    ('Download', 'BUILTIN', 'Download');

INSERT INTO timetable.schema_version (version) VALUES (1);

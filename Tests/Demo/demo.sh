#!/bin/bash
# Serves a private database, loads two schedules and shows what the daemon does with them: until
# Ctrl-C at a terminal, else for ten seconds. The database stays in .demo for the next time.
#
# It relies on two lines of the daemon's output: how to connect, as `psql 'host=… dbname=…'`, and
# `ready:`.
set -euo pipefail
cd "$(dirname "$0")/../.."
carillon=$1
folder=.demo
log=$(mktemp)
daemon=
follower=

finish() {
    if [ -n "$daemon" ] && kill -TERM "$daemon" 2>/dev/null; then
        echo
        echo "--- Stopping the daemon, and then its database"
        wait "$daemon" || true
    fi
    [ -z "$follower" ] || kill "$follower" 2>/dev/null || true
    rm -f "$log"
}
trap finish EXIT
trap 'exit 0' INT TERM

sql() { psql -Xq -v ON_ERROR_STOP=1 "$@" "$connection"; }

say() {
    echo
    echo "--- $1"
}

say "Starting: carillon serve --embedded $folder --name demo --verbose"
# In a session of its own, so that Ctrl-C reaches it once, by `finish`: twice means at once.
setsid "$carillon" serve --embedded "$folder" --name demo --verbose >"$log" 2>&1 &
daemon=$!
# It ends with this script even if that is killed.
tail -n +1 -f --pid=$$ "$log" &
follower=$!

# The first start makes a database cluster, which takes a slow disk a while.
until grep -q 'ready:' "$log"; do
    kill -0 "$daemon" 2>/dev/null || {
        sleep 0.2
        say "The daemon could not start."
        daemon=
        exit 1
    }
    sleep 0.1
done
connection=$(sed -n "s/.*psql '\([^']*\)'.*/\1/p" "$log" | head -n 1)

known="SELECT count(*) FROM timetable.chain_execution_config WHERE chain_name = 'tick every second'"
if [ "$(sql -Atc "$known")" = 0 ]; then
    say "Inserting two configs; the daemon schedules each when it is committed:"
    sql --echo-all -f Tests/Demo/tour.sql
else
    say "The two configs are in $folder from an earlier time; the daemon has read them."
fi

say "To look at it from another terminal:"
echo
echo "    psql '$connection'"
echo "    SELECT * FROM timetable.run_status ORDER BY run_status DESC LIMIT 10;"
echo
sleep 3
say "Running config 1, the program /bin/date, at once: NOTIFY timetable_run, '1'"
sql -c "NOTIFY timetable_run, '1'"

if [ -t 1 ] && [ -z "${CI:-}" ]; then
    say "It goes on until Ctrl-C."
    wait "$daemon"
    exit
fi

sleep 7
say "What ran, and what programs said:"
sql -P footer=off <<'END'
SELECT last_run::timestamptz(3) AS at, name, kind, returncode, rtrim(output, E'\n') AS output
FROM timetable.execution_log ORDER BY last_run DESC LIMIT 12;
END
say "The last ticks, and how late each was:"
sql -P footer=off <<'END'
SELECT fired_at, round(extract(epoch FROM fired_at - date_trunc('second', fired_at)) * 1000, 3)
    AS milliseconds_late
FROM tick ORDER BY fired_at DESC LIMIT 5;
END

#!/bin/bash
# Serves a private database, loads two schedules and shows what the daemon does with them: until
# Ctrl-C at a terminal, else for ten seconds. The database stays in .demo for the next time.
#
# It relies on one line of the daemon's output: how to connect, as `psql 'host=… dbname=…'`.
set -euo pipefail
cd "$(dirname "$0")/../.."
carillon=$1
folder=.demo
log=$(mktemp)
daemon=
follower=

finish() {
    [ -z "$follower" ] || kill "$follower" 2>/dev/null || true
    if [ -n "$daemon" ] && kill -TERM "$daemon" 2>/dev/null; then
        wait "$daemon" || true
    fi
    rm -f "$log"
}
trap finish EXIT
trap 'exit 0' INT TERM

"$carillon" serve --embedded "$folder" --name demo -v >"$log" 2>&1 &
daemon=$!

connection=
for _ in $(seq 600); do
    connection=$(sed -n "s/.*psql '\([^']*\)'.*/\1/p" "$log" | head -n 1)
    if [ -n "$connection" ] && psql -XAtqc 'SELECT 1 FROM timetable.worker LIMIT 1' \
        "$connection" 2>/dev/null | grep -q 1; then break; fi
    kill -0 "$daemon" 2>/dev/null || break
    connection=
    sleep 0.1
done
if [ -z "$connection" ]; then
    cat "$log" >&2
    echo "The daemon did not become ready." >&2
    exit 1
fi

known="SELECT count(*) FROM timetable.chain_execution_config WHERE chain_name = 'tick every second'"
if [ "$(psql -XAtqc "$known" "$connection")" = 0 ]; then
    psql -Xq -v ON_ERROR_STOP=1 -f Tests/Demo/tour.sql "$connection"
fi

echo
echo "Carillon serves the database in $folder. From another terminal:"
echo
echo "    psql '$connection'"
echo "    SELECT * FROM timetable.run_status ORDER BY run_status DESC LIMIT 10;"
echo
if [ -t 1 ] && [ -z "${CI:-}" ]; then
    echo "What it does (Ctrl-C ends it):"
    tail -n +1 -f "$log" &
    follower=$!
    wait "$daemon"
else
    tail -n +1 -f "$log" &
    follower=$!
    sleep 10
    kill "$follower"
    follower=
    echo
    echo "The last ticks, and how late each was:"
    psql -Xq -P footer=off "$connection" <<'END'
SELECT fired_at, round(extract(epoch FROM fired_at - date_trunc('second', fired_at)) * 1000, 3)
    AS milliseconds_late
FROM tick ORDER BY fired_at DESC LIMIT 5;
END
fi

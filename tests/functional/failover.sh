#!/usr/bin/env bash
# A primary, a synchronous standby, and a server that knows both.  While messages come in, one after the other, the primary is
# killed and the standby promoted: what was acknowledged before is there, what comes after goes on from it.
#
#     failover.sh BUILD POSTGRESQL      the build folder; where initdb and pg_ctl are
# shellcheck source=tests/functional/nodes.sh
source "$(dirname "$0")/nodes.sh"
MESSAGES=90 KILLED_AFTER=30

start_primary a
make_standby b a
pg_ctl b -w start
until [ "$(sql a "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")" = 1 ]; do :; done
sql a "ALTER SYSTEM SET synchronous_standby_names = '*'"
sql a "SELECT pg_reload_conf()" >"$work/said"
until [ "$(sql a "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")" = 1 ]; do :; done

export ASIDE_DATABASE="host=$work/socket-a,$work/socket-b user=aside dbname=postgres target_session_attrs=read-write"
"$build/server/aside-server" migrate up 2>"$work/said"
start_server page.write,user.act
call PageService/CreatePage '{"pageId": 1, "name": "Coke", "adminUserId": 7}' >"$work/said"

for n in $(seq "$MESSAGES"); do
	seq=$(send 42 "$n" "Message $n")
	echo "$seq|Message $n" >>"$work/acknowledged"
	if [ "$n" = "$KILLED_AFTER" ]; then
		kill_node a
		(pg_ctl b -w promote) & # while the next one waits
	fi
done
wait "$!"

sql b "SELECT seq, body FROM message ORDER BY seq" >"$work/kept"
diff "$work/acknowledged" "$work/kept"
[ "$(sql b "SELECT count(*) FROM message WHERE seq = event_number AND page_id = 1")" = "$MESSAGES" ]
! grep 'level=error' "$work/server.log"

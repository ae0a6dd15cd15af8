#!/usr/bin/env bash
# Reads on a replica: c, a standby of a, answers them as long as it answers what a would, and nobody notices when it does not:
# while it is away, behind, frozen, cancelled by its replay, ahead of what was promoted, or a primary itself.
#
#     replica.sh BUILD POSTGRESQL      the build folder; where initdb and pg_ctl are
# shellcheck source=tests/functional/nodes.sh
source "$(dirname "$0")/nodes.sh"
ADMIN=7 JOHNNY=42
sent=0

# What the server says of itself by HTTP.
http() {
	exec 3<>"/dev/tcp/127.0.0.1/$(sed 's/.*://' "$work/addresses")"
	printf 'GET /%s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' "$1" >&3
	tr -d '\r' <&3
	exec 3>&-
}
metric() { http metrics | sed -n "s/^aside_replica_$1 //p"; }
is_ready() { [ "$(http readyz | tail -1)" = "$1" ]; }

# The texts of Johnny's thread, the newest first, and what staff see of it.
list() {
	call --as-user "$JOHNNY" MessageService/ListMessages "{\"pageId\": 1, \"userId\": $JOHNNY}" |
		jq -r '[.messages[]?.content.text] | join(",")'
}
thread() { call --as-user "$1" ThreadService/GetThread "{\"pageId\": 1, \"userId\": $JOHNNY}"; }
say() { sent=$((sent + 1)) && send "$JOHNNY" "$sent" "$1" >"$work/said"; }

fail() {
	echo "$1" >&2
	cat "$work/server.log" >&2
	exit 1
}
# shows TEXTS: now, and to every lane.
shows() {
	local n seen
	for n in 1 2 3 4; do
		seen=$(list)
		[ "$seen" = "$1" ] || fail "expected $1, not $seen ($n)"
	done
}
# Whether the replica has answered this one.
answers() {
	local before
	before=$(metric answered_total)
	list >"$work/said"
	[ "$(metric answered_total)" = $((before + 1)) ]
}
until_it_answers() { until answers && answers; do :; done; }

start_primary a
make_standby b a
make_standby c a
pg_ctl b -w start
export ASIDE_DATABASE="host=$work/socket-a user=aside dbname=postgres"
"$build/server/aside-server" migrate up 2>"$work/said"
sql a "CREATE ROLE aside_server LOGIN IN ROLE aside_app"

# It is away: that keeps no server from starting.
export ASIDE_DATABASE="host=$work/socket-a,$work/socket-b user=aside_server dbname=postgres target_session_attrs=read-write connect_timeout=600"
start_server page.write,user.act --http 127.0.0.1:0 --read-database "host=$work/socket-c user=aside_server dbname=postgres"
call PageService/CreatePage "{\"pageId\": 1, \"name\": \"Coke\", \"adminUserId\": $ADMIN}" >"$work/said"
say one
shows one
is_ready 'ready; read replica away' || fail "$(http readyz)"
grep -q 'event=replica_away' "$work/server.log"

# It is there: it answers, and PostgreSQL says so, too.
pg_ctl c -w start
until [ "$(metric lanes_connected)" = 2 ]; do :; done
is_ready ready || fail "$(http readyz)"
until_it_answers
shows one
until [ "$(sql c "SELECT count(*) FROM pg_stat_activity WHERE usename = 'aside_server' AND query LIKE '%FROM message%'")" = 2 ]; do list >"$work/said"; done

# Batches of many pages, of which it knows some.  Of the hosts one is not there, one is the primary.
hosts="host=$work/nowhere,$work/socket-a,$work/socket-c dbname=postgres"
replica="host=$work/socket-c dbname=postgres"
"$build/tests/store/replica_batches" "$ASIDE_DATABASE" "$hosts user=aside_server" "$replica user=aside"

# It is behind: whatever has changed is seen at once, and what has not is still its to answer.
call PageService/CreatePage "{\"pageId\": 2, \"name\": \"Pepsi\", \"adminUserId\": $ADMIN}" >"$work/said"
until [ "$(sql c "SELECT count(*) FROM page WHERE page_id = 2")" = 1 ]; do :; done
sql c "SELECT pg_wal_replay_pause()"
fallbacks=$(metric fallback_total)
say two
shows two,one
say three
shows three,two,one
until [ "$(metric fallback_total)" -gt "$fallbacks" ]; do list >"$work/said"; done
answered=$(metric answered_total)
until [ "$(metric answered_total)" -gt "$answered" ]; do
	call --as-user "$ADMIN" ThreadService/ListPageThreads '{"pageId": 2}' >"$work/said"
done
call PageService/CreatePage "{\"pageId\": 3, \"name\": \"Fanta\", \"adminUserId\": $ADMIN}" >"$work/said"
call --as-user "$ADMIN" ThreadService/ListPageThreads '{"pageId": 3}' >"$work/said"
call --as-user "$ADMIN" ThreadService/MarkThread "{\"pageId\": 1, \"userId\": $JOHNNY, \"side\": \"SIDE_PAGE\", \"readSeq\": 2}" >"$work/said"
[ "$(thread "$ADMIN" | jq .thread.pageMarks.unreadCount)" = 1 ]
call --as-user "$ADMIN" ThreadService/SetBlock "{\"pageId\": 1, \"userId\": $JOHNNY, \"side\": \"SIDE_PAGE\", \"blocked\": true}" >"$work/said"
[ "$(thread "$ADMIN" | jq .thread.blockedByMe)" = true ]
call --as-user "$ADMIN" ThreadService/SetBlock "{\"pageId\": 1, \"userId\": $JOHNNY, \"side\": \"SIDE_PAGE\", \"blocked\": false}" >"$work/said"
sql c "SELECT pg_wal_replay_resume()"
until_it_answers

# A role that was taken away, by whichever server, and a message that retention has emptied, are gone at once.
sql a "BEGIN; INSERT INTO page_staff VALUES (1, 8, 2); UPDATE page SET last_event = last_event + 1 WHERE page_id = 1; COMMIT"
until_it_answers
thread 8 >"$work/said"
sql c "SELECT pg_wal_replay_pause()"
sql a "BEGIN; DELETE FROM page_staff WHERE user_id = 8; UPDATE page SET last_event = last_event + 1 WHERE page_id = 1; COMMIT"
if thread 8 >"$work/said" 2>&1; then fail "a role that was taken away still reads"; fi
sql c "SELECT pg_wal_replay_resume()"
sql a "UPDATE page SET first_event = 2 WHERE page_id = 1"
until_it_answers
sql c "SELECT pg_wal_replay_pause()"
sql a "BEGIN; UPDATE message SET body = '' WHERE seq = 1; UPDATE thread SET first_seq = 2;
	UPDATE page SET first_message = 2 WHERE page_id = 1; COMMIT"
shows three,two
sql c "SELECT pg_wal_replay_resume()"
until_it_answers

# Frozen, without a word: the primary answers.
signal_node STOP c
shows three,two
say four
shows four,three,two
until [ "$(metric lanes_connected)" = 0 ]; do list >"$work/said"; done
signal_node CONT c
until_it_answers

# The primary is slow to say how far its pages are, and that alone: the replica is not left for it, nor does its load move over.
backends() { sql "$1" "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity WHERE usename = 'aside_server' AND query LIKE '%$2%'"; }
witnesses() { backends a pg_walfile_name; }
until [ "$(metric lanes_connected)" = 2 ]; do :; done
read -ra slow <<<"$(witnesses)"
[ ${#slow[@]} = 2 ] || fail "${slow[*]} are the witnesses"
kill -STOP "${slow[@]}"
list >"$work/list-1" &
readers=("$!")
list >"$work/list-2" &
readers+=("$!")
until [ "$(http metrics | sed -n 's/^aside_store_in_flight //p')" = 2 ]; do :; done
if call --as-user "$JOHNNY" --timeout 500 ThreadService/GetThread "{\"pageId\": 1, \"userId\": $JOHNNY}" >"$work/said" 2>&1; then
	fail "the primary was asked in the replica's place"
fi
[ "$(metric lanes_connected)" = 2 ] || fail "the replica was left"
kill -CONT "${slow[@]}"
wait "${readers[0]}"
wait "${readers[1]}"
[ "$(sort -u "$work/list-1" "$work/list-2")" = four,three,two ]
until_it_answers

# The witness is lost: it alone is made anew.
at_replica=$(backends c 'FROM message')
sql a "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid IN (${slow[0]}, ${slow[1]})" >"$work/said"
until [ "$(metric lanes_connected)" = 2 ] && [[ "$(witnesses)" =~ ^[0-9]+\ [0-9]+$ ]] && [[ "$(witnesses)" != *"${slow[0]}"* ]]; do
	shows four,three,two
done
until_it_answers
[ "$(backends c 'FROM message')" = "$at_replica" ] || fail "the replica was left for its witness"

# Killed, and back.
pg_ctl c -m immediate stop
shows four,three,two
say five
shows five,four,three,two
pg_ctl c -w start
until_it_answers
shows five,four,three,two

# Its replay cancels what is in its way.
conflicts() { sql c "SELECT sum(confl_lock) FROM pg_stat_database_conflicts"; }
patience() { configure c "max_standby_streaming_delay = $1" && sql c "SELECT pg_reload_conf()" >"$work/said"; }
patience 0
while [ "$(conflicts)" = 0 ]; do
	readers=()
	for n in 1 2 3 4; do
		shows five,four,three,two &
		readers+=("$!")
	done
	while kill -0 "${readers[0]}" 2>"$work/said"; do # however long they take to begin
		sql a "$(for n in {1..200}; do echo "BEGIN; LOCK TABLE message IN ACCESS EXCLUSIVE MODE; COMMIT;"; done)"
	done
	for n in "${readers[@]}"; do wait "$n"; done
done
patience 30s
until_it_answers

# The primary is gone, and what was promoted knows less than the replica: the same number is another message there.
pg_ctl b -m fast stop
say lost
until [ "$(sql c "SELECT count(*) FROM message WHERE body = 'lost'")" = 1 ]; do :; done
pg_ctl b -w start -o "-c primary_conninfo=''"
kill_node a
pg_ctl b -w promote
sent=$((sent + 1)) # another message
say kept
[ "$(sql b "SELECT last_event FROM page WHERE page_id = 1")" = "$(sql c "SELECT last_event FROM page WHERE page_id = 1")" ]
shows kept,five,four,three,two
until grep -q 'event=replica_away.*timeline' "$work/server.log" && [ "$(metric lanes_connected)" = 0 ]; do :; done
shows kept,five,four,three,two

# It is promoted itself.
pg_ctl c -w promote
sql c "UPDATE message SET body = 'false'"
until grep -q 'event=replica_away.*no standby' "$work/server.log" && [ "$(metric lanes_connected)" = 0 ]; do :; done
shows kept,five,four,three,two

# The server ends while the primary is silent, to which both lanes would connect: the replica's connections wait for it.
signal_node STOP b
until [ "$(sql c "SELECT count(*) FROM pg_stat_activity WHERE usename = 'aside_server' AND clock_timestamp() - state_change > interval '300 ms'")" = 2 ]; do :; done
kill "$server"
wait "$server"
server=
! grep 'level=error' "$work/server.log"

#!/usr/bin/env bash
# A primary, a synchronous standby, and a server that knows both.  While messages come in, one after the other, the primary is
# killed and the standby promoted: what was acknowledged before is there, what comes after goes on from it.
#
#     failover.sh BUILD POSTGRESQL      the build folder; where initdb and pg_ctl are
set -euo pipefail
build=$1 postgresql=$2
work=$(mktemp -d "${TMPDIR:-/tmp}/aside-failover-XXXXXX")
server=
MESSAGES=90 KILLED_AFTER=30

# PostgreSQL does not run as root.
unprivileged() {
	if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --init-groups "$@"; else "$@"; fi
}

pg_ctl() { unprivileged "$postgresql/pg_ctl" -s -D "$work/$1" -l "$work/$1.log" "${@:2}"; }

# sql NODE COMMAND
sql() { "$postgresql/psql" -XqAt -h "$work/socket-$1" -U aside -d postgres -c "$2"; }

clean_up() {
	[ -z "$server" ] || kill "$server" || true
	for node in a b; do
		[ ! -e "$work/$node/postmaster.pid" ] || pg_ctl "$node" -m immediate stop || true
	done
	rm -rf "$work"
}
trap clean_up EXIT

[ "$(id -u)" != 0 ] || chown postgres "$work"
chmod 755 "$work"
unprivileged mkdir "$work/socket-a" "$work/socket-b"
unprivileged "$postgresql/initdb" -D "$work/a" -U aside --auth=trust --encoding=UTF8 --locale=C >"$work/said"
echo "listen_addresses = ''
unix_socket_directories = '$work/socket-a'" | unprivileged tee -a "$work/a/postgresql.conf" >"$work/said"
pg_ctl a -w start
unprivileged "$postgresql/pg_basebackup" -h "$work/socket-a" -U aside -D "$work/b" --write-recovery-conf --checkpoint=fast
echo "unix_socket_directories = '$work/socket-b'" | unprivileged tee -a "$work/b/postgresql.conf" >"$work/said"
pg_ctl b -w start
until [ "$(sql a "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")" = 1 ]; do :; done
sql a "ALTER SYSTEM SET synchronous_standby_names = '*'"
sql a "SELECT pg_reload_conf()" >"$work/said"
until [ "$(sql a "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")" = 1 ]; do :; done

export ASIDE_DATABASE="host=$work/socket-a,$work/socket-b user=aside dbname=postgres target_session_attrs=read-write"
"$build/server/aside-server" migrate up 2>"$work/said"
mkfifo "$work/ready"
"$build/server/aside-server" --data "$work" --listen "ipc://$work/aside.sock" \
	--ipc-user "$(id -u)=service:test:page.write,user.act" >"$work/ready" 2>"$work/server.log" &
server=$!
read -r _ <"$work/ready"
export ASIDE_SERVER="ipc://$work/aside.sock"
call() { "$build/client/aside" --timeout 60000 "$@"; }
call call PageService/CreatePage '{"pageId": 1, "name": "Coke", "adminUserId": 7}' >"$work/said"

for n in $(seq "$MESSAGES"); do
	key=$(printf '%016d' "$n" | base64)
	seq=$(call --as-user 42 call MessageService/SendMessage \
		"{\"pageId\": 1, \"clientKey\": \"$key\", \"content\": {\"text\": \"Message $n\"}}" | jq -r .receipt.seq)
	echo "$seq|Message $n" >>"$work/acknowledged"
	if [ "$n" = "$KILLED_AFTER" ]; then
		kill -9 "$(head -1 "$work/a/postmaster.pid")"
		rm "$work/a/postmaster.pid"
		(pg_ctl b -w promote) & # while the next one waits
	fi
done
wait "$!"

sql b "SELECT seq, body FROM message ORDER BY seq" >"$work/kept"
diff "$work/acknowledged" "$work/kept"
[ "$(sql b "SELECT count(*) FROM message WHERE seq = event_number AND page_id = 1")" = "$MESSAGES" ]
! grep 'level=error' "$work/server.log"

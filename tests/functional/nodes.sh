# shellcheck shell=bash
# Sourced by the tests that need more than one PostgreSQL.  Arguments: the build folder, and where initdb and pg_ctl are.
# A node is a folder of $work, a socket beside it, and a log; all are gone at the end, and the server with them.
set -euo pipefail
build=$1 postgresql=$2
work=$(mktemp -d "${TMPDIR:-/tmp}/aside-nodes-XXXXXX")
server='' nodes=''

# PostgreSQL does not run as root.
unprivileged() {
	if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --init-groups "$@"; else "$@"; fi
}

pg_ctl() { unprivileged "$postgresql/pg_ctl" -s -D "$work/$1" -l "$work/$1.log" "${@:2}"; }

# sql NODE COMMAND
sql() { "$postgresql/psql" -XqAt -v ON_ERROR_STOP=1 -h "$work/socket-$1" -U aside -d postgres -c "$2"; }

# configure NODE LINE...
configure() { printf '%s\n' "${@:2}" | unprivileged tee -a "$work/$1/postgresql.conf" >"$work/said"; }

start_primary() {
	nodes="$nodes $1"
	unprivileged mkdir "$work/socket-$1"
	unprivileged "$postgresql/initdb" -D "$work/$1" -U aside --auth=trust --encoding=UTF8 --locale=C >"$work/said"
	configure "$1" "listen_addresses = ''" "unix_socket_directories = '$work/socket-$1'"
	pg_ctl "$1" -w start
}

# make_standby NODE PRIMARY: a copy that does not run yet.
make_standby() {
	nodes="$nodes $1"
	unprivileged mkdir "$work/socket-$1"
	unprivileged "$postgresql/pg_basebackup" -h "$work/socket-$2" -U aside -D "$work/$1" --write-recovery-conf --checkpoint=fast
	configure "$1" "unix_socket_directories = '$work/socket-$1'"
}

# kill_node NODE: like a machine that loses its power.
kill_node() {
	kill -9 "$(head -1 "$work/$1/postmaster.pid")"
	rm "$work/$1/postmaster.pid"
}

# start_server SCOPES FLAG...: where it listens is in $work/addresses, and its log in $work/server.log.
start_server() {
	mkfifo "$work/ready"
	"$build/server/aside-server" --data "$work" --listen "ipc://$work/aside.sock" \
		--ipc-user "$(id -u)=service:test:$1" "${@:2}" >"$work/ready" 2>"$work/server.log" &
	server=$!
	head -1 "$work/ready" >"$work/addresses"
	export ASIDE_SERVER="ipc://$work/aside.sock"
}

# call [--as-user ID] METHOD REQUEST
call() {
	local who=()
	[ "$1" != --as-user ] || { who=("$1" "$2"); shift 2; }
	"$build/client/aside" --timeout 60000 "${who[@]}" call "$@"
}

# send PERSON NUMBER TEXT: to page 1, with a key of this number; says which of the thread it is.
send() {
	call --as-user "$1" MessageService/SendMessage \
		"{\"pageId\": 1, \"clientKey\": \"$(printf '%016d' "$2" | base64)\", \"content\": {\"text\": \"$3\"}}" | jq -r .receipt.seq
}

# signal_node SIGNAL NODE: to all of its processes.
signal_node() {
	local postmaster
	postmaster=$(head -1 "$work/$2/postmaster.pid")
	mapfile -t processes < <(pgrep -P "$postmaster")
	kill "-$1" "$postmaster" "${processes[@]}"
}

clean_up() {
	local node
	[ -z "$server" ] || kill "$server" || true
	for node in $nodes; do
		[ -e "$work/$node/postmaster.pid" ] || continue
		signal_node CONT "$node" || true # where the test has ended with it frozen
		pg_ctl "$node" -m immediate stop || true
	done
	rm -rf "$work"
}
trap clean_up EXIT

[ "$(id -u)" != 0 ] || chown postgres "$work"
chmod 755 "$work"

#!/usr/bin/env bash
# Methods that the command was not built with: those of another server.
#
#     unknown.sh BUILD
# shellcheck source=tests/cli/lib.sh
. "${0%/*}/lib.sh"

"$build/tests/echo/echo_server" "ipc://$dir/echo.sock" >"$dir/ready" &
server=$!
trap 'kill $server 2>/dev/null' EXIT
until [ -s "$dir/ready" ]; do read -rt 0.01 <> <(:) || :; done
export ASIDE_SERVER=ipc://$dir/echo.sock

run list
check 'they are listed' says '  Echo'
check 'with their comments' says 'The same payload.'
run describe Echo
check 'they are described' says 'payload                   bytes           Any bytes.'
check 'with their limits' says 'at most 1048576 bytes'
run call Echo '{"payload": "aGVsbG8"}'
check 'they are called' is_json '.payload == "aGVsbG8="'
run --as-user 42 threads
check 'what the server has not is told' warns 'no method aside.v1.ThreadService/ListMyThreads'
finish

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
run call Repeat '{"payload": "aGVsbG8", "count": 3}'
check 'what streams comes to its end' ends 0
check 'each item is a line' [ "$out" = "$(printf '{"payload":"aGVsbG8="}\n%.0s' 1 2 3)" ]
run --timeout 500 call Repeat '{"payload": "aGVsbG8", "count": 1, "stayOpen": true}'
check 'a deadline ends what streams' ends 14
check 'and says so' warns 'DEADLINE_EXCEEDED'
check 'after its items' says '{"payload":"aGVsbG8="}'
status=0
"$aside" call Repeat '{"count": 1, "stayOpen": true}' 2>"$dir/err" >/dev/full || status=$?
out='' err=$(<"$dir/err")
check 'it ends where nothing can be written' ends 1
check 'and why is told' warns 'standard output'
refused 2 'Collect takes a stream of requests' call Collect '{}'
refused 2 'Converse takes a stream of requests' call Converse '{}'
run describe Converse
check 'no call of it is shown' [ "${out/aside call/}" = "$out" ]
run complete call Co
check 'nor offered' [ -z "$out" ]
run complete call Re
check 'one that only its server streams is' says 'Repeat'
run --as-user 42 threads
check 'what the server has not is told' warns 'no method aside.v1.ThreadService/ListMyThreads'
finish

#!/usr/bin/env bash
# Installs the library, builds README's program through pkg-config as a stranger would, and runs it and the
# command against a real server.
#
#   with-server -- first_call.sh SOURCE BUILD SANITIZERS
# shellcheck source-path=SCRIPTDIR
. "${0%/*}/installed.sh"
trap 'rm -rf "$dir"' EXIT

sed -n '/^```c$/,/^```$/p' "$source/README.md" | sed '1d;$d' >"$dir/first.c"
compile "$dir/first.c" "$dir/first" aside
compile "$dir/first.c" "$dir/guarded" aside-guard
nm -D "$dir/guarded" | grep -q ' T sendmsg$' # which nng finds before libc's

# For stubs in other languages.
protos=$(pkg-config --variable=protodir aside)
# Without /proc protoc does not find its own.
protoc -I "$dir/root${protos#"$dir/root"}" -I /usr/include --descriptor_set_out=/dev/null aside/v1/messages.proto aside/rpc/v1/envelope.proto

expect() { # PATTERN COMMAND...
	local pattern=$1 out
	shift
	out=$("$@" 2>&1) || true
	printf '%s\n' "$out"
	grep -q "$pattern" <<<"$out" || { echo "expected: $pattern"; exit 1; }
}
expect 'NOT_FOUND PAGE_NOT_FOUND' "$dir/first" "$ASIDE_SERVER"
expect '"name": "Coke"' "$build/client/aside" call PageService/CreatePage '{"pageId": 1, "name": "Coke", "adminUserId": 7}'
expect '^message 1$' "$dir/first" "$ASIDE_SERVER"
expect '"seq": 2' "$build/client/aside" --as-user 42 call MessageService/SendMessage \
	'{"pageId": 1, "clientKey": "QUJDREVGR0hJSktMTU5PUA==", "content": {"text": "And again"}}'
expect '"text": "Hello!"' "$build/client/aside" --as-user 42 call MessageService/ListMessages '{"pageId": 1, "userId": 42}'
expect '^message 1$' "$dir/guarded" "$ASIDE_SERVER" # with the key of the first: its answer
expect '^serving' "$build/client/aside" health

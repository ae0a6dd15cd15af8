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
# What README has one type, and then its program: each sends a message.
sed -n '/^    aside call PageService/,/^$/s/^    //p' "$source/README.md" >"$dir/calls.sh"
refused() { ! "$@"; }
expect 'NOT_FOUND PAGE_NOT_FOUND' "$dir/first" "$ASIDE_SERVER"
refused "$dir/first" "$ASIDE_SERVER" 2>/dev/null
PATH=$build/client:$PATH expect '"seq": 1' bash -e "$dir/calls.sh"
expect '^message 2$' "$dir/first" "$ASIDE_SERVER"
expect '"text": "Hello!"' "$build/client/aside" --as-user 42 call MessageService/ListMessages '{"pageId": 1, "userId": 42}'
expect '^message 2$' "$dir/guarded" "$ASIDE_SERVER" # with the key of the first: its answer
expect '^serving' "$build/client/aside" health

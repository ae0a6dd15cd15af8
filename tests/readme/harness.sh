#!/usr/bin/env bash
# Another project's test: built through pkg-config against the installed harness, run against the installed
# server; and nothing is left of it, even when it is killed.
# shellcheck source-path=SCRIPTDIR
. "${0%/*}/installed.sh"
trap 'rm -rf "$dir"' EXIT

compile "$source/tests/readme/stranger.c" "$dir/stranger" aside-harness
mkdir "$dir/tmp"
chmod 755 "$dir/tmp"
export TMPDIR=$dir/tmp
PATH=$(dirname "$(find "$dir/root" -name aside-server)"):$PATH
export PATH

"$dir/stranger" | tee "$dir/out"
grep -q '^message 2 of page 1$' "$dir/out"
[ -z "$(ls "$TMPDIR")" ]

# Whoever the test starts inherits descriptor 3: its end is theirs.
coproc TEST { exec "$dir/stranger" stay 3>&1; }
exec 4<&"${TEST[0]}"
trap 'kill -9 "$TEST_PID"; rm -rf "$dir"' EXIT
while read -r line <&4 && [ "$line" != staying ]; do :; done
children=/proc/$TEST_PID/task/$TEST_PID/children
[ ! -e "$children" ] || [ "$(wc -w <"$children")" = 3 ] # two servers and the keeper; a bare chroot has no /proc
kill -9 "$TEST_PID"
trap 'rm -rf "$dir"' EXIT
timeout 60 cat <&4
[ -z "$(ls "$TMPDIR")" ]

! ASIDE_SERVER_PROGRAM=/bin/false "$dir/stranger" 2>"$dir/error" || exit 1
grep -q 'before it was ready' "$dir/error"

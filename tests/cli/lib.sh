# shellcheck shell=bash
# Sourced by the tests of the command.  Arguments: the build folder.  Each `check` is one case of TAP.
set -euo pipefail
build=$1
aside=$build/client/aside
dir=$(mktemp -d "${TMPDIR:-/tmp}/aside-cli-XXXXXX")
cases=0 failed=0

# run WORD...: leaves $status, $out and $err.
run() {
	status=0
	out=$("$aside" "$@" 2>"$dir/err") || status=$?
	err=$(<"$dir/err")
}

# Says of the last run that what follows did not hold.
complain() {
	echo "# exit status $status"
	sed 's/^/# out: /' <<<"$out"
	sed 's/^/# err: /' <<<"$err"
}

# check NAME CONDITION...: the condition is a command.
check() {
	local name=$1
	shift
	cases=$((cases + 1))
	if "$@"; then
		echo "ok $cases - $name"
	else
		failed=$((failed + 1))
		echo "not ok $cases - $name"
		complain
	fi
}

ends() { [ "$status" = "$1" ]; }
says() { [[ "$out" == *"$1"* ]]; }
warns() { [[ "$err" == *"$1"* ]]; }
is_json() { jq -e "$1" <<<"$out" >/dev/null; }

# refused STATUS WORDS ARGUMENT...: the run ends so, says the words on standard error and nothing on the other.
refused() {
	local expected=$1 words=$2
	shift 2
	run "$@"
	cases=$((cases + 1))
	if ends "$expected" && warns "$words" && [ -z "$out" ]; then
		echo "ok $cases - $*"
	else
		failed=$((failed + 1))
		echo "not ok $cases - $*: $expected, $words"
		complain
	fi
}

finish() {
	echo "1..$cases"
	rm -rf "$dir"
	[ "$failed" = 0 ]
}

#!/usr/bin/env bash
# Proves the checker: servers that are broken on purpose, one a patch in broken/, go through the rounds, and each must be
# found, by a rule that its patch names.
#
#     broken.sh BUILD FOLDER     BUILD has the rounds; sources and servers are made in FOLDER
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/../.."
rounds=$(realpath "$1")/tests/fault/test_rounds folder=$2
ROUNDS=8 TRIES=3 # a fault has to come at the right moment
AT_ONCE=3 # they wait more than they work

rm -rf "$folder/source"
mkdir -p "$folder/source"
folder=$(realpath "$folder")
cp -r server proto client migrations meson.build meson_options.txt "$folder/source"
[ -f "$folder/build/build.ninja" ] || meson setup "$folder/build" "$folder/source" -Dtests=disabled >"$folder/log"
export ASIDE_CHECK_SQL=$PWD/tests/fault/check.sql

# check NAME: the server of that name is found by one of its patch's rules.
check() {
	local seed rule rules line out=$folder/$1.out
	read -ra rules <<<"$(sed -n 's/^Found by: //p' "tests/fault/broken/$1.patch")"
	for ((seed = 1; seed <= TRIES; seed++)); do
		ASIDE_SERVER_PROGRAM=$folder/$1 timeout 300 "$rounds" "$ROUNDS" "$seed" >"$out" 2>&1 || true
		for rule in "${rules[@]}"; do
			line=$(grep -m 1 "^# $rule: " "$out") || continue
			echo "$1: ${line#\# }"
			return 0
		done
	done
	tail -60 "$out" >&2
	echo "$1 is not found" >&2
	return 1
}

status=0 running=0
end_one() {
	wait -n || status=1
	running=$((running - 1))
}

for patch in tests/fault/broken/*.patch; do
	name=$(basename "$patch" .patch)
	head -1 "$patch"
	patch -s -p1 -d "$folder/source" <"$patch"
	ninja -C "$folder/build" server/aside-server >"$folder/log" || { tail -60 "$folder/log" >&2; exit 1; }
	cp "$folder/build/server/aside-server" "$folder/$name"
	patch -s -p1 -R -d "$folder/source" <"$patch"
	((running < AT_ONCE)) || end_one
	check "$name" &
	running=$((running + 1))
done
while ((running > 0)); do
	end_one
done
exit $status

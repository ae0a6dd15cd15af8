#!/usr/bin/env bash
# Proves the checker: servers that are broken on purpose, one a patch in broken/, go through the rounds, and each must be
# found, by a rule that its patch names.
#
#     broken.sh BUILD FOLDER     BUILD has the rounds; sources and servers are made in FOLDER
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/../.."
rounds=$(realpath "$1")/tests/fault/test_rounds folder=$2
ROUNDS=8 TRIES=3 # a fault has to come at the right moment

rm -rf "$folder/source"
mkdir -p "$folder/source"
folder=$(realpath "$folder")
cp -r server proto client migrations meson.build meson_options.txt "$folder/source"
[ -f "$folder/build/build.ninja" ] || meson setup "$folder/build" "$folder/source" -Dtests=disabled >"$folder/log"
export ASIDE_CHECK_SQL=$PWD/tests/fault/check.sql ASIDE_SERVER_PROGRAM=$folder/build/server/aside-server

# is_found RULE...
is_found() {
	local seed rule
	for ((seed = 1; seed <= TRIES; seed++)); do
		timeout 300 "$rounds" "$ROUNDS" "$seed" >"$folder/out" 2>&1 || true
		for rule; do
			! grep -m 1 "^# $rule: " "$folder/out" || return 0
		done
	done
	tail -60 "$folder/out" >&2
	return 1
}

for patch in tests/fault/broken/*.patch; do
	head -1 "$patch"
	patch -s -p1 -d "$folder/source" <"$patch"
	ninja -C "$folder/build" server/aside-server >"$folder/log" || { tail -60 "$folder/log" >&2; exit 1; }
	read -ra rules <<<"$(sed -n 's/^Found by: //p' "$patch")"
	is_found "${rules[@]}" || { echo "$patch is not found" >&2; exit 1; }
	patch -s -p1 -R -d "$folder/source" <"$patch"
done

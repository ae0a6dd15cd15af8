#!/usr/bin/env bash
# README's table of settings is the program's own.
#
#   configuration.sh README PROGRAM
set -euo pipefail
table=$(mktemp)
trap 'rm -f "$table"' EXIT
sed -n '/^| flag |/,/^$/{/^$/d;p}' "$1" >"$table"
"$2" --help=markdown | diff "$table" -

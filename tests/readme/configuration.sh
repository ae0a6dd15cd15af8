#!/usr/bin/env bash
# README's table of settings is the program's own.
#
#   configuration.sh README PROGRAM
set -euo pipefail
diff <(sed -n '/^| flag |/,/^$/{/^$/d;p}' "$1") <("$2" --help=markdown)

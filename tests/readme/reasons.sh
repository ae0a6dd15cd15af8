#!/usr/bin/env bash
# The wire's page lists the reasons that the client library gives itself, and no others: each stands behind its code in the
# source, as `ASIDE_CODE, "REASON"`.
#
#   reasons.sh SOURCE-ROOT
set -euo pipefail
cd "$1"
said=$(cat client/*.c | tr '\n\t' '  ' | grep -oE 'ASIDE_[A-Z_]+, *"[A-Z_]+"' | sed -E 's/ASIDE_([A-Z_]+), *"(.*)"/\1 \2/' | sort -u)
listed=$(sed -n '/^From the client library itself/,/^The service/{s/^| \([A-Z_]*\) | \([A-Z_, ]*\) |$/\1 \2/p}' proto/README.md |
	awk '{ gsub(",", ""); for (i = 2; i <= NF; i++) print $1, $i }' | sort)
diff <(echo "$said") <(echo "$listed")

#!/bin/sh
# manual.sh PROGRAM TEMPLATE: the manual page, with the flags that PROGRAM --help lists in the place of @HELP@.
set -e
help=$("$1" --help)
printf '%s\n' "$help" | sed -n "s/\\\\/\\\\e/g; s/^[.']/\\\\\&&/; /^  --/,\$p" | awk -v template="$2" '{ help = help $0 "\n" }
	END { while ((getline < template) > 0) if ($0 == "@HELP@") printf "%s", help; else print }'

# Sourced by the tests of what is installed.  Arguments: SOURCE BUILD SANITIZERS.
# shellcheck shell=bash disable=SC2034
set -euo pipefail
source=$1 build=$2 sanitizers=$3 # "none", or what the library was built with: its programs need them, too
dir=$(mktemp -d)
chmod 755 "$dir"

meson install -C "$build" --no-rebuild --quiet --destdir "$dir/root"
pc=$(find "$dir/root" -name aside.pc)
export PKG_CONFIG_PATH=${pc%/*} PKG_CONFIG_SYSROOT_DIR=$dir/root
LD_LIBRARY_PATH=$(find "$dir/root" -name libaside.so -printf %h)
export LD_LIBRARY_PATH

# A stranger's way to a program: compile FILE PROGRAM PACKAGE
compile() {
	# shellcheck disable=SC2046
	cc -Wall -Wextra -Werror $([ "$sanitizers" = none ] || echo "-fsanitize=$sanitizers") "$1" -o "$2" \
		$(pkg-config --cflags --libs "$3")
}

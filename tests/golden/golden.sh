#!/bin/sh
# Holds protoc-gen-aside to what it is expected to write and to refuse.  Usage:
#   golden.sh accept PLUGIN PROTO_SOURCE PROTO_BUILD PROTOBUF_INCLUDE CC...
#   golden.sh refuse PLUGIN PROTO_SOURCE PROTOBUF_INCLUDE NAME
# GOLDEN_UPDATE=1 writes the expected files anew; read the diff before committing it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
what=$1 plugin=$2 source=$3
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

generate() # INCLUDE FOLDER FILE
{
	protoc "--plugin=protoc-gen-aside=$plugin" "-I$2" "-I$source" "-I$1" "--aside_out=$out" "$3"
}

# The bytes of the descriptor are protoc's, not ours: they are compared as text below.
without_descriptor()
{
	sed '/^static const uint8_t descriptor/,/^};/{/^\t/d;}' "$1"
}

as_text() # INCLUDE TYPE
{
	protoc "-I$1" "--decode=google.protobuf.$2" "$1/google/protobuf/descriptor.proto"
}

# The embedded descriptor is the file with its comments, as protoc itself describes it.
check_descriptor() # INCLUDE
{
	protoc "-I$here" "-I$source" "-I$1" --include_source_info "--descriptor_set_out=$out/set" "$here/sample.proto"
	for byte in $(sed -n '/^static const uint8_t descriptor/,/^};/{/^\t/p;}' "$out/sample.rpc.c" | tr , ' '); do
		printf "\\$(printf %03o "$byte")"
	done >"$out/embedded"
	as_text "$1" FileDescriptorProto <"$out/embedded" >"$out/embedded.txt"
	as_text "$1" FileDescriptorSet <"$out/set" | sed '1d;$d;s/^  //' >"$out/protoc.txt"
	grep -q 'leading_comments: " Looks at things' "$out/embedded.txt"
	diff -u "$out/protoc.txt" "$out/embedded.txt"
}

accept() # PROTO_BUILD INCLUDE CC...
{
	build=$1 include=$2
	shift 2
	generate "$include" "$here" "$here/sample.proto"
	for ending in rpc.h rpc.c stub.h; do
		without_descriptor "$out/sample.$ending" >"$out/got"
		test -z "${GOLDEN_UPDATE:-}" || cp "$out/got" "$here/expected/sample.$ending"
		diff -u "$here/expected/sample.$ending" "$out/got"
	done
	check_descriptor "$include"
	# Names that are not protoc-c's would not compile.
	protoc-c "-I$here" "-I$source" "-I$include" "--c_out=$out" "$here/sample.proto"
	echo '#include "sample.stub.h"' >"$out/stub.c"
	for unit in sample.rpc.c stub.c; do
		"$@" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only "-I$out" "-I$build" "-I$source" \
			"-I$source/include" "-I$source/../client/include" "$out/$unit"
	done
}

refuse() # INCLUDE NAME
{
	if generate "$1" "$here/refused" "$here/refused/$2.proto" 2>"$out/error"; then
		echo "$2.proto was accepted" >&2
		exit 1
	fi
	# protoc warns of unused imports, too.
	sed -n 's/^--aside_out: //p' "$out/error" >"$out/got"
	printf '%s.proto: %s\n' "$2" "$(cat "$here/refused/$2.expected")" | diff -u - "$out/got" || {
		cat "$out/error" >&2
		exit 1
	}
	test -z "$(find "$out" -mindepth 1 ! -name error ! -name got)"
}

shift 3
"$what" "$@"

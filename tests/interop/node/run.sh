#!/usr/bin/env bash
# Runs test.mjs against a server of its own: run.sh NODE_FOLDER BUILD, where NODE_FOLDER has node_modules.
set -euo pipefail
here=$(realpath "${0%/*}") node=$(realpath "$1") build=$(realpath "$2")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
mkdir "$dir/keys"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/key.pem"
openssl pkey -in "$dir/key.pem" -pubout -out "$dir/keys/node.pem"
token=$("$build/client/aside" token --key "$dir/key.pem" --kid node --service node --scope 'page.write page.read user.act')
# Modules are looked for beside the importing file.
cp "$here"/*.mjs "$dir"
ln -s "$node/node_modules" "$dir/node_modules"
export ASIDE_SERVER_PROGRAM=$build/server/aside-server
# shellcheck disable=SC2016
"$build/tests/harness/with-server" --listen ws://127.0.0.1:0/aside --keys "$dir/keys" -- \
	sh -c 'exec node "$1/test.mjs" "$ASIDE_LISTENERS" "$2" "$3" "$4"' sh "$dir" "$token" "$here/../../../proto" \
	"$(pkg-config --variable=includedir protobuf)"

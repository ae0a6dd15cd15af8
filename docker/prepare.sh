#!/usr/bin/env bash
# Makes, once, what compose.yaml needs and no two installations share: passwords in .env, and a key pair whose
# public half is in keys/ and whose private half, key.pem, signs tokens.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"
[ -e .env ] || (
	umask 077
	echo COMPOSE_PROJECT_NAME=aside >.env
	for who in POSTGRES ASIDE_OWNER ASIDE_SERVER; do echo "${who}_PASSWORD=$(openssl rand -hex 24)"; done >>.env
)
[ -e key.pem ] || openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem
mkdir -p keys
openssl pkey -in key.pem -pubout -out keys/compose.pem
chmod 755 keys
chmod 644 keys/compose.pem

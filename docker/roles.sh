#!/usr/bin/env bash
# Run once by PostgreSQL's image, when it has made its cluster: the schema's owner, who migrates, and the servers'
# login, who may do what a server's statements need and no more (migrations/grants.sql).
set -e
psql --quiet --set=ON_ERROR_STOP=1 --set=owner="$ASIDE_OWNER_PASSWORD" --set=server="$ASIDE_SERVER_PASSWORD" \
	--username "$POSTGRES_USER" <<'END'
CREATE ROLE aside_app;
CREATE ROLE aside_owner LOGIN PASSWORD :'owner';
CREATE ROLE aside_server LOGIN PASSWORD :'server' IN ROLE aside_app;
CREATE DATABASE aside OWNER aside_owner TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C';
REVOKE CONNECT ON DATABASE aside FROM PUBLIC;
GRANT CONNECT ON DATABASE aside TO aside_app;
END

#!/bin/sh
# What the build refuses of a migration and of a statement: embed.sh EMBED.PY.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo 'SELECT 1;' >grants.sql
echo 'SELECT 1;' >citus.sql
echo 'SELECT 1;' >0001_mine.down.sql

# refused WHY <0001_mine.up.sql
refused() {
	cat >0001_mine.up.sql
	if python3 "$embed" --migrations mine mine.h mine.c 0001_mine.up.sql 0001_mine.down.sql citus.sql grants.sql 2>said; then
		echo "not refused: $1"
		exit 1
	fi
	grep -q "$1" said || { cat said; exit 1; }
}
embed=$1

refused 'only what can be repeated: not "CREATE INDEX CONCURRENTLY mine ON page (name)"' <<-'END'
	-- transaction: none
	CREATE INDEX CONCURRENTLY mine ON page (name);
END
refused 'only what can be repeated: not "UPDATE page SET name = name"' <<-'END'
	-- transaction: none
	CREATE INDEX CONCURRENTLY IF NOT EXISTS mine ON page (name);
	UPDATE page SET name = name;
END
refused 'only what can be repeated' <<-'END'
	-- transaction: none
	CREATE INDEX CONCURRENTLY IF NOT EXISTS mine ON page (name); DROP TABLE page;
END
refused '"-- transaction:" is none, or is not there' <<-'END'
	-- transaction: some
	SELECT 1;
END
refused '"-- servers:" is a version from 1 to 1' <<-'END'
	-- servers: 2
	SELECT 1;
END

# And of a statement.
mkdir sql
# refused_statement WHY ALSO
refused_statement() {
	cat >sql/mine.sql <<-END
		-- lane: read
		-- form: single
		-- also: $2
		-- params:
		-- columns: one int4
		SELECT 1
		-- rest: begin
			+ 1
	END
	if python3 "$embed" mine.h mine.c sql/mine.sql citus.sql grants.sql 2>said; then
		echo "not refused: $1"
		exit 1
	fi
	grep -q "$1" said || { cat said; exit 1; }
}
refused_statement '"-- also:" is of the form NAME without PART' 'other'
refused_statement 'it has no "-- rest: begin" and "-- rest: end"' 'other without rest'

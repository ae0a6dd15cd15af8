-- Where the Citus extension is, its tables are distributed after each `migrate up`; elsewhere this does nothing.  Every table
-- by the first column of its primary key: those of a page next to each other, person_thread by its person.  Functions go to
-- all machines.  aside_migration stays on the coordinator.  What this is worth: README.md.
DO $$
DECLARE
	one record;
BEGIN
	IF NOT EXISTS (SELECT FROM pg_proc WHERE proname = 'create_distributed_table') THEN
		RETURN;
	END IF;
	FOR one IN
		SELECT t.oid::regclass AS name, a.attname::text AS key
		FROM pg_class t
		JOIN pg_index i ON i.indrelid = t.oid AND i.indisprimary
		JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]
		WHERE t.relnamespace = 'public'::regnamespace AND t.relowner = current_user::regrole
			AND a.attname IN ('page_id', 'user_id') AND NOT EXISTS (SELECT FROM pg_dist_partition d WHERE d.logicalrelid = t.oid)
		ORDER BY t.relname <> 'page', t.relname
	LOOP
		PERFORM create_distributed_table(one.name, one.key, colocate_with => CASE
			WHEN one.key = 'page_id' AND one.name <> 'public.page'::regclass THEN 'public.page' ELSE 'none' END);
	END LOOP;
	FOR one IN
		SELECT f.oid::regprocedure AS name FROM pg_proc f
		WHERE f.pronamespace = 'public'::regnamespace AND f.proowner = current_user::regrole
			AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e')
	LOOP
		PERFORM create_distributed_function(one.name);
	END LOOP;
END $$;

-- A page as anyone may see it.
-- lane: read
-- form: single
-- params: page_id int8
-- columns: reason text, name text, created_at timestamptz
SELECT NULL::text AS reason, name, created_at FROM page WHERE page_id = $1;

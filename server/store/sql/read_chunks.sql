-- Some chunks of an upload, in order.  Who may ask was checked before.  P13.
-- lane: read
-- form: single
-- params: page_id int8, attachment_id uuid, first_chunk int4, max_rows int8
-- columns: reason text, data bytea
SELECT NULL::text AS reason, data FROM attachment_chunk
WHERE page_id = $1 AND attachment_id = $2 AND chunk_index >= $3
ORDER BY chunk_index LIMIT $4;

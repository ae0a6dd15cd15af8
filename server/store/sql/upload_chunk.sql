-- Stores a chunk; the same bytes again change nothing, complete or not.  P13.
-- lane: write
-- form: single
-- params: page_id int8, caller int8, attachment_id uuid, chunk_index int4, data bytea, chunk_bytes int8
-- columns: reason text, expected_bytes int8, chunks_received int8
WITH upload AS (
	SELECT completed_at, size_bytes - $4::int4 * $6::int8 AS rest_bytes,
		least($6::int8, size_bytes - $4::int4 * $6::int8) AS expected_bytes
	FROM attachment
	WHERE page_id = $1 AND attachment_id = $3 AND uploader_id = $2
), known AS (
	SELECT data FROM attachment_chunk
	WHERE page_id = $1 AND attachment_id = $3 AND chunk_index = $4::int4
), verdict AS (
	SELECT upload.expected_bytes, known.data IS NULL AS fresh, CASE
		WHEN rest_bytes <= 0 OR octet_length($5::bytea) <> expected_bytes THEN 'FIELD_INVALID'
		WHEN known.data IS NULL AND completed_at IS NOT NULL THEN 'ATTACHMENT_SEALED'
		WHEN known.data <> $5 THEN 'ATTACHMENT_SEALED'
		END AS reason
	FROM upload LEFT JOIN known ON true
), stored AS (
	INSERT INTO attachment_chunk (page_id, attachment_id, chunk_index, data)
	SELECT $1, $3, $4, $5 FROM verdict WHERE reason IS NULL AND fresh
	RETURNING chunk_index
)
SELECT verdict.reason, verdict.expected_bytes,
	(SELECT count(*) FROM attachment_chunk WHERE page_id = $1 AND attachment_id = $3)
		+ (SELECT count(*) FROM stored) AS chunks_received
FROM verdict;

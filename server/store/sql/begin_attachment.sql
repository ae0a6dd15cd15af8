-- Announces an upload, or says how far it is: one row per missing chunk, at most 1,000; one with
-- NULL where none is.  The page's limit holds for new uploads only.  P13.
-- lane: write
-- form: single
-- params: page_id int8, caller int8, least_role int2, attachment_id uuid, side int2, kind int2, size_bytes int8, sha256 bytea, now timestamptz, chunk_bytes int8
-- columns: reason text, max_attachment_bytes int8, complete bool, missing int4
WITH known AS (
	SELECT * FROM attachment WHERE page_id = $1 AND attachment_id = $4
), verdict AS (
	SELECT page.max_attachment_bytes, known.completed_at IS NOT NULL AS complete, CASE
		WHEN $5::int2 = 2 AND me.role IS NULL THEN 'PAGE_NOT_FOUND'
		WHEN $5::int2 = 2 AND me.role < $3::int2 THEN 'ROLE_REQUIRED'
		WHEN known.uploader_id <> $2 OR known.side <> $5::int2 OR known.kind <> $6::int2
			OR known.size_bytes <> $7 OR known.sha256 <> $8 THEN 'KEY_REUSED'
		WHEN known.page_id IS NULL AND $7 > page.max_attachment_bytes
			THEN 'ATTACHMENT_TOO_LARGE'
		END AS reason
	FROM page
	LEFT JOIN known ON true
	LEFT JOIN page_staff me ON me.page_id = page.page_id AND me.user_id = $2
	WHERE page.page_id = $1
), fresh AS (
	INSERT INTO attachment (page_id, attachment_id, uploader_id, side, kind, size_bytes, sha256, created_at)
	SELECT $1, $4, $2, $5::int2, $6::int2, $7, $8, $9 FROM verdict
	WHERE reason IS NULL AND NOT EXISTS (SELECT FROM known)
)
SELECT verdict.reason, verdict.max_attachment_bytes, verdict.complete, missing.chunk_index AS missing
FROM verdict LEFT JOIN LATERAL (
	SELECT n::int4 AS chunk_index FROM generate_series(0, ($7 - 1) / $10::int8) n
	WHERE verdict.reason IS NULL AND NOT verdict.complete AND NOT EXISTS (
		SELECT FROM attachment_chunk c
		WHERE c.page_id = $1 AND c.attachment_id = $4 AND c.chunk_index = n)
	ORDER BY n LIMIT 1000
) missing ON true
ORDER BY missing.chunk_index;

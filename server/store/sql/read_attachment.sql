-- A range of an attachment's bytes, one row per chunk it touches.  Readers: the uploader (of the page's
-- side: while on its staff), the person of the thread whose message carries it, staff, services.  An
-- unsent message's are gone for all.  P9, P13, P15, P18.
-- lane: read
-- form: single
-- params: page_id int8, caller int8, least_role int2, attachment_id uuid, offset_bytes int8, length_bytes int8, chunk_bytes int8
-- columns: reason text, size_bytes int8, media_type text, data bytea
WITH access AS (
	SELECT a.size_bytes, a.media_type, CASE
		WHEN $3::int2 > 0 AND me.role < $3::int2
			AND (a.page_id IS NULL OR $2 NOT IN (a.uploader_id, coalesce(a.user_id, 0)))
			THEN 'ROLE_REQUIRED'
		WHEN a.page_id IS NULL OR (SELECT m.unsent FROM message m
			WHERE m.page_id = $1 AND m.user_id = a.user_id AND m.seq = a.seq) THEN 'ATTACHMENT_NOT_FOUND'
		WHEN $3::int2 > 0
			AND (a.uploader_id = $2 AND (a.side = 1 OR me.role >= $3::int2)) IS NOT TRUE
			AND (a.seq IS NOT NULL AND (a.user_id = $2 OR me.role >= $3::int2)) IS NOT TRUE
			THEN 'ATTACHMENT_NOT_FOUND'
		WHEN a.completed_at IS NULL THEN 'ATTACHMENT_INCOMPLETE'
		WHEN $5 >= a.size_bytes THEN 'RANGE_BEYOND_END'
		END AS reason
	FROM page
	LEFT JOIN attachment a ON a.page_id = page.page_id AND a.attachment_id = $4
	LEFT JOIN page_staff me ON me.page_id = page.page_id AND me.user_id = $2
	WHERE page.page_id = $1
)
SELECT access.reason, access.size_bytes, access.media_type, part.data
FROM access LEFT JOIN LATERAL (
	SELECT chunk_index, substring(data
		FROM (greatest($5 - chunk_index * $7::int8, 0) + 1)::int4
		FOR (least($5 + $6, (chunk_index + 1) * $7::int8)
			- greatest($5, chunk_index * $7::int8))::int4) AS data
	FROM attachment_chunk
	WHERE page_id = $1 AND attachment_id = $4 AND access.reason IS NULL
		AND chunk_index BETWEEN ($5 / $7::int8)::int4 AND (($5 + $6 - 1) / $7::int8)::int4
	ORDER BY chunk_index
) part ON true
ORDER BY part.chunk_index;

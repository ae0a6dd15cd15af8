-- An upload as its uploader sees it, before it is completed.  P13.
-- lane: read
-- form: single
-- params: page_id int8, caller int8, attachment_id uuid
-- columns: reason text, kind int2, size_bytes int8, sha256 bytea, media_type text, received_bytes int8
SELECT NULL::text AS reason, kind, size_bytes, sha256, media_type,
	(SELECT coalesce(sum(octet_length(c.data)), 0)::int8 FROM attachment_chunk c
		WHERE c.page_id = $1 AND c.attachment_id = $3) AS received_bytes
FROM attachment
WHERE page_id = $1 AND attachment_id = $3 AND uploader_id = $2;

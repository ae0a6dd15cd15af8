-- Uploads no message carries, oldest first, over all pages: what the sweep looks at.  P13.
-- lane: read
-- form: single
-- params: before timestamptz, max_rows int8
-- columns: reason text, page_id int8, attachment_id uuid
SELECT NULL::text AS reason, page_id, attachment_id FROM attachment
WHERE seq IS NULL AND created_at < $1
ORDER BY created_at LIMIT $2;

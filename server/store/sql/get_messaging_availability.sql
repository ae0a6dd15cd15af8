-- Whether a person may write to a page, and its limits.  P3, P8.
-- lane: read
-- form: single
-- params: page_id int8, user_id int8
-- columns: reason text, messaging_enabled bool, blocked bool, max_text_chars int4, max_attachment_bytes int8
SELECT NULL::text AS reason, page.messaging_enabled,
	coalesce(block.by_person OR block.by_page, false) AS blocked,
	page.max_text_chars, page.max_attachment_bytes
FROM page
LEFT JOIN block ON block.page_id = page.page_id AND block.user_id = $2
WHERE page.page_id = $1;

-- A page's settings, newest version first; one row of NULLs where there are no more.  P4.
-- lane: replica
-- form: single
-- params: page_id int8, caller int8, least_role int2, before_version int4, max_rows int8
-- columns: reason text, version int4, messaging_enabled bool, max_text_chars int4, max_attachment_bytes int8, reply_window_seconds int4, reply_budget int4, private_reply_window_seconds int4, changed_at timestamptz, changed_by int8, changed_fields text, change_reason text
WITH access AS (
	SELECT page.page_id, CASE
		WHEN $3::int2 > 0 AND me.role IS NULL THEN 'PAGE_NOT_FOUND'
		WHEN $3::int2 > 0 AND me.role < $3::int2 THEN 'ROLE_REQUIRED'
		END AS reason
	FROM page
	LEFT JOIN page_staff me ON me.page_id = page.page_id AND me.user_id = $2
	WHERE page.page_id = $1
)
SELECT access.reason, v.version, v.messaging_enabled, v.max_text_chars, v.max_attachment_bytes,
	v.reply_window_seconds, v.reply_budget, v.private_reply_window_seconds,
	v.changed_at, v.changed_by, v.changed_fields, v.change_reason
FROM access LEFT JOIN LATERAL (
	SELECT * FROM page_settings
	WHERE page_id = $1 AND version < $4::int4 AND access.reason IS NULL
	ORDER BY version DESC LIMIT $5
) v ON true
ORDER BY v.version DESC;

-- Whether a person may write to a page, by the rule that the sends enforce, and the page's limits.  P3, P8.
-- lane: read
-- form: single
-- params: page_id int8, user_id int8
-- columns: reason text, refusal text, max_text_chars int4, max_attachment_bytes int8
SELECT NULL::text AS reason, send_refusal(p.messaging_enabled, t.blocked_by_person, t.blocked_by_page) AS refusal,
	p.max_text_chars, p.max_attachment_bytes
FROM page p LEFT JOIN thread t ON t.page_id = p.page_id AND t.user_id = $2
WHERE p.page_id = $1

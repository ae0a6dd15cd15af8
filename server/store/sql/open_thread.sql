-- What a person sees on opening a page's message box: a row also where nothing was written yet.
-- lane: read
-- form: single
-- params: page_id int8, user_id int8
-- columns: reason text, page_id int8, user_id int8, last_seq int4, last_sent_at timestamptz,
--   person_delivered_seq int4, person_read_seq int4, person_unread int4, page_delivered_seq int4,
--   page_read_seq int4, page_unread int4, by_private_reply bool, by_person bool, by_page bool, page_name text, refusal text
SELECT NULL::text AS reason, p.page_id, $2 AS user_id, t.last_seq, CASE WHEN t.last_seq > 0 THEN t.last_sent_at END AS last_sent_at,
	t.person_delivered_seq, t.person_read_seq, t.page_count - t.person_read_count AS person_unread, t.page_delivered_seq,
	t.page_read_seq, t.person_count - t.page_read_count AS page_unread, t.by_private_reply,
	t.blocked_by_person AS by_person, t.blocked_by_page AS by_page, p.name AS page_name,
	send_refusal(p.messaging_enabled, t.blocked_by_person, t.blocked_by_page) AS refusal
FROM page p LEFT JOIN thread t ON t.page_id = p.page_id AND t.user_id = $2
WHERE p.page_id = $1

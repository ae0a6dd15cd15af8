-- A person's threads with all pages, newest activity first: sorted here, for a person has few.
-- lane: read
-- form: single
-- params: user_id int8, before timestamptz, before_page int8, n int4
-- columns: reason text, page_id int8, user_id int8, last_seq int4, last_sent_at timestamptz,
--   person_delivered_seq int4, person_read_seq int4, person_unread int4, page_delivered_seq int4,
--   page_read_seq int4, page_unread int4, by_private_reply bool, by_person bool, by_page bool, page_name text
SELECT NULL::text AS reason, t.page_id, t.user_id, t.last_seq, t.last_sent_at, t.person_delivered_seq, t.person_read_seq,
	t.page_count - t.person_read_count AS person_unread, t.page_delivered_seq, t.page_read_seq,
	t.person_count - t.page_read_count AS page_unread, t.by_private_reply, t.blocked_by_person AS by_person,
	t.blocked_by_page AS by_page, p.name AS page_name
FROM person_thread m
JOIN thread t ON t.page_id = m.page_id AND t.user_id = m.user_id
JOIN page p ON p.page_id = m.page_id
WHERE m.user_id = $1 AND (t.last_sent_at, t.page_id) < ($2, $3)
ORDER BY t.last_sent_at DESC, t.page_id DESC LIMIT $4

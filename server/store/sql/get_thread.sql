-- A thread, for its person, the page's staff and services (P9).
-- lane: replica
-- form: single
-- params: page_id int8, user_id int8, caller int8, least_role int2
-- columns: reason text, page_id int8, user_id int8, last_seq int4, last_sent_at timestamptz,
--   person_delivered_seq int4, person_read_seq int4, person_unread int4, page_delivered_seq int4,
--   page_read_seq int4, page_unread int4, by_private_reply bool, by_person bool, by_page bool, page_name text, is_staff bool
SELECT CASE WHEN s.is_staff OR $2 = $3 THEN NULL ELSE 'THREAD_NOT_FOUND' END AS reason,
	t.page_id, t.user_id, t.last_seq, t.last_sent_at, t.person_delivered_seq, t.person_read_seq,
	t.page_count - t.person_read_count AS person_unread, t.page_delivered_seq, t.page_read_seq,
	t.person_count - t.page_read_count AS page_unread, t.by_private_reply, t.blocked_by_person AS by_person,
	t.blocked_by_page AS by_page, p.name AS page_name, s.is_staff
FROM thread t
JOIN page p ON p.page_id = t.page_id
CROSS JOIN LATERAL (SELECT $4 = 0 OR EXISTS (SELECT FROM page_staff s WHERE s.page_id = $1 AND s.user_id = $3
	AND s.role >= $4) AS is_staff) s
WHERE t.page_id = $1 AND t.user_id = $2 AND t.last_seq > 0

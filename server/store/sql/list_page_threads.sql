-- A page's threads, newest activity first: a walk down inbox_newest.
-- lane: read
-- form: single
-- params: page_id int8, caller int8, least_role int2, before_event int8, n int4
-- columns: reason text, page_id int8, user_id int8, last_seq int4, last_sent_at timestamptz,
--   person_delivered_seq int4, person_read_seq int4, person_unread int4, page_delivered_seq int4,
--   page_read_seq int4, page_unread int4, by_private_reply bool, by_person bool, by_page bool, page_name text, last_event int8
WITH access AS MATERIALIZED (
	SELECT CASE WHEN $3 = 0 THEN CASE WHEN EXISTS (SELECT FROM page WHERE page_id = $1) THEN NULL ELSE 'PAGE_NOT_FOUND' END
		ELSE CASE (SELECT role >= $3 FROM page_staff WHERE page_id = $1 AND user_id = $2)
			WHEN true THEN NULL WHEN false THEN 'ROLE_REQUIRED' ELSE 'PAGE_NOT_FOUND' END END AS reason
), newest AS (
	SELECT i.* FROM inbox i, access a WHERE a.reason IS NULL AND i.page_id = $1 AND i.last_event < $4
	ORDER BY i.last_event DESC LIMIT $5
)
SELECT a.reason, t.page_id, t.user_id, t.last_seq, t.last_sent_at, t.person_delivered_seq, t.person_read_seq, t.page_count - t.person_read_count AS person_unread, t.page_delivered_seq, t.page_read_seq, t.person_count - t.page_read_count AS page_unread, t.by_private_reply, coalesce(b.by_person, false) AS by_person, coalesce(b.by_page, false) AS by_page, p.name AS page_name, i.last_event
FROM access a
LEFT JOIN newest i ON true
-- One look-up a row: how many rows $5 lets through is unknown to a generic plan, which would scan all threads.
LEFT JOIN LATERAL (SELECT * FROM thread t WHERE t.page_id = i.page_id AND t.user_id = i.user_id LIMIT 1) t ON true
LEFT JOIN page p ON p.page_id = $1 AND a.reason IS NULL
LEFT JOIN LATERAL (SELECT * FROM block b WHERE b.page_id = i.page_id AND b.user_id = i.user_id LIMIT 1) b ON true
ORDER BY i.last_event DESC

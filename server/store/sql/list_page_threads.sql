-- A page's threads, newest activity first.  A thread's place in the index may be behind by inbox_lag() events: of
-- those that belong to the n newest, none is further down than n + 2 * inbox_lag() rows (one lag for threads that
-- have moved beyond before_event, one for such as were passed by a thread still waiting for its place).
-- lane: replica
-- form: single
-- params: page_id int8, caller int8, least_role int2, before_event int8, n int4
-- columns: reason text, page_id int8, user_id int8, last_seq int4, last_sent_at timestamptz,
--   person_delivered_seq int4, person_read_seq int4, person_unread int4, page_delivered_seq int4,
--   page_read_seq int4, page_unread int4, by_private_reply bool, by_person bool, by_page bool, page_name text, last_event int8
WITH access AS MATERIALIZED (
	SELECT p.name, CASE
		WHEN $3 > 0 AND s.role IS NULL THEN 'PAGE_NOT_FOUND'
		WHEN $3 > 0 AND s.role < $3 THEN 'ROLE_REQUIRED' END AS reason
	FROM page p LEFT JOIN page_staff s ON s.page_id = p.page_id AND s.user_id = $2
	WHERE p.page_id = $1
), near AS (
	SELECT t.* FROM access a CROSS JOIN LATERAL (
		SELECT * FROM thread t WHERE a.reason IS NULL AND t.page_id = $1 AND t.inbox_event > 0 AND t.inbox_event < $4
		ORDER BY t.inbox_event DESC LIMIT $5 + 2 * inbox_lag()) t
), newest AS (
	SELECT * FROM near WHERE last_event < $4 ORDER BY last_event DESC LIMIT $5
)
SELECT a.reason, t.page_id, t.user_id, t.last_seq, t.last_sent_at, t.person_delivered_seq, t.person_read_seq,
	t.page_count - t.person_read_count AS person_unread, t.page_delivered_seq, t.page_read_seq,
	t.person_count - t.page_read_count AS page_unread, t.by_private_reply, t.blocked_by_person AS by_person,
	t.blocked_by_page AS by_page, a.name AS page_name, t.last_event
FROM access a LEFT JOIN newest t ON true
ORDER BY t.last_event DESC

-- Whether the caller may watch a thread, as which side, and where it stands.  P9, P17.
-- lane: read
-- form: single
-- params: page_id int8, user_id int8, caller int8, least_role int2
-- columns: reason text, is_staff bool, last_event int8, last_seq int4
SELECT CASE WHEN a.is_staff OR $2 = $3 THEN NULL ELSE 'THREAD_NOT_FOUND' END AS reason, a.is_staff, p.last_event, t.last_seq
FROM thread t
JOIN page p ON p.page_id = t.page_id
LEFT JOIN page_staff s ON s.page_id = t.page_id AND s.user_id = $3
CROSS JOIN LATERAL (SELECT $4 = 0 OR coalesce(s.role >= $4, false) AS is_staff) a
WHERE t.page_id = $1 AND t.user_id = $2 AND t.last_seq > 0

-- A person's threads with all pages by page, and where those stand.  P17.
-- lane: read
-- form: single
-- params: user_id int8, n int8
-- columns: reason text, page_id int8, last_event int8, last_seq int4
SELECT NULL::text AS reason, m.page_id, p.last_event, t.last_seq
FROM person_thread m
JOIN page p ON p.page_id = m.page_id
JOIN thread t ON t.page_id = m.page_id AND t.user_id = m.user_id
WHERE m.user_id = $1
ORDER BY m.page_id LIMIT $2

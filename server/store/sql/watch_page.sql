-- Whether the caller may watch a page, and where it stands.  P9, P17, P18.
-- lane: read
-- form: single
-- params: page_id int8, caller int8, least_role int2
-- columns: reason text, last_event int8
SELECT CASE
		WHEN $3 > 0 AND s.role IS NULL THEN 'PAGE_NOT_FOUND'
		WHEN $3 > 0 AND s.role < $3 THEN 'ROLE_REQUIRED' END AS reason, p.last_event
FROM page p LEFT JOIN page_staff s ON s.page_id = p.page_id AND s.user_id = $2
WHERE p.page_id = $1

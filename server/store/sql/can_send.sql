-- Whether a side could write now, by the rule that the sends enforce (P7).
-- lane: read
-- form: single
-- params: page_id int8, caller int8, least_role int2, user_id int8, side int2, entry_id int8, now_at timestamptz
-- columns: reason text, refusal text, messages_left int4, limited bool, allowed_until timestamptz
SELECT CASE
		WHEN p.page_id IS NULL THEN 'PAGE_NOT_FOUND'
		WHEN $5 = 1 AND $2 <> $4 THEN 'THREAD_NOT_FOUND'
		WHEN $5 = 2 AND s.role IS NULL THEN 'PAGE_NOT_FOUND'
		WHEN $5 = 2 AND s.role < $3 THEN 'ROLE_REQUIRED' END AS reason,
	CASE WHEN $5 = 1 THEN person_may_write($1, $4) ELSE w.reason END AS refusal,
	CASE WHEN $5 = 1 THEN 0 ELSE w.messages_left END AS messages_left,
	$5 = 2 AND coalesce(w.limited, false) AS limited, CASE WHEN $5 = 2 THEN w.allowed_until END AS allowed_until
FROM (SELECT) one
LEFT JOIN page p ON p.page_id = $1
LEFT JOIN page_staff s ON s.page_id = $1 AND s.user_id = $2
LEFT JOIN LATERAL page_may_write($1, $4, $6, $7) w ON $5 = 2

-- A page's staff by user id; one row of NULLs where there are no more.  P18.
-- lane: replica
-- form: single
-- params: page_id int8, caller int8, least_role int2, after_user_id int8, max_rows int8
-- columns: reason text, user_id int8, role int2
WITH access AS (
	SELECT page.page_id, CASE
		WHEN $3::int2 > 0 AND me.role IS NULL THEN 'PAGE_NOT_FOUND'
		WHEN $3::int2 > 0 AND me.role < $3::int2 THEN 'ROLE_REQUIRED'
		END AS reason
	FROM page
	LEFT JOIN page_staff me ON me.page_id = page.page_id AND me.user_id = $2
	WHERE page.page_id = $1
)
SELECT access.reason, found.user_id, found.role
FROM access LEFT JOIN LATERAL (
	SELECT user_id, role FROM page_staff
	WHERE page_id = $1 AND user_id > $4 AND access.reason IS NULL
	ORDER BY user_id LIMIT $5
) found ON true
ORDER BY found.user_id;

-- The entries on a page's wall, newest first; one row of NULLs where there are no more.  P6, P18.
-- lane: replica
-- form: single
-- params: page_id int8, caller int8, least_role int2, before_posted_at timestamptz, before_entry_id int8, max_rows int8
-- columns: reason text, entry_id int8, kind int2, author_user_id int8, author_page_id int8, body text, posted_at timestamptz, privately_replied bool
WITH access AS (
	SELECT page.page_id, CASE
		WHEN $3::int2 > 0 AND me.role IS NULL THEN 'PAGE_NOT_FOUND'
		WHEN $3::int2 > 0 AND me.role < $3::int2 THEN 'ROLE_REQUIRED'
		END AS reason
	FROM page
	LEFT JOIN page_staff me ON me.page_id = page.page_id AND me.user_id = $2
	WHERE page.page_id = $1
)
SELECT access.reason, e.entry_id, e.kind, e.author_user_id, e.author_page_id, e.body, e.posted_at,
	EXISTS (SELECT FROM message WHERE page_id = $1 AND wall_entry_id = e.entry_id) AS privately_replied
FROM access LEFT JOIN LATERAL (
	SELECT * FROM wall_entry
	WHERE page_id = $1 AND (posted_at, entry_id) < ($4::timestamptz, $5::int8)
		AND removed_at IS NULL AND access.reason IS NULL
	ORDER BY posted_at DESC, entry_id DESC LIMIT $6
) e ON true
ORDER BY e.posted_at DESC, e.entry_id DESC;

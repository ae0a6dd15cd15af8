-- Gives, changes or (role 0) takes a role; the last admin stays.  P17, P18.
-- lane: write
-- form: single
-- params: page_id int8, caller int8, least_role int2, user_id int8, role int2, now timestamptz
-- columns: reason text, role int2, event_number int8
WITH verdict AS (
	SELECT old.role AS old_role, CASE
		WHEN $3::int2 > 0 AND me.role IS NULL THEN 'PAGE_NOT_FOUND'
		WHEN $3::int2 > 0 AND me.role < $3::int2 THEN 'ROLE_REQUIRED'
		WHEN old.role = 4 AND $5::int2 <> 4 AND NOT EXISTS (
			SELECT FROM page_staff other
			WHERE other.page_id = $1 AND other.role = 4 AND other.user_id <> $4)
			THEN 'LAST_ADMIN'
		END AS reason
	FROM page
	LEFT JOIN page_staff me ON me.page_id = page.page_id AND me.user_id = $2
	LEFT JOIN page_staff old ON old.page_id = page.page_id AND old.user_id = $4
	WHERE page.page_id = $1
), gone AS (
	DELETE FROM page_staff USING verdict
	WHERE page_id = $1 AND user_id = $4 AND reason IS NULL AND $5::int2 = 0
), given AS (
	INSERT INTO page_staff (page_id, user_id, role)
	SELECT $1, $4, $5::int2 FROM verdict WHERE reason IS NULL AND $5::int2 > 0
	ON CONFLICT (page_id, user_id) DO UPDATE SET role = excluded.role
), tick AS (
	UPDATE page SET last_event = last_event + 1 FROM verdict
	WHERE page_id = $1 AND reason IS NULL AND coalesce(old_role, 0) <> $5::int2
	RETURNING last_event
), event AS (
	INSERT INTO page_event (page_id, event_number, kind, subject_id, state, at)
	SELECT $1, last_event, 4, $4, $5::int2, $6 FROM tick
)
SELECT reason, $5::int2 AS role, (SELECT last_event FROM tick) AS event_number FROM verdict;

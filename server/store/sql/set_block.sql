-- One side blocks the other, or stops to (P8).  A block before the first message makes the thread's row.
-- lane: write
-- form: single
-- params: page_id int8, user_id int8, caller int8, least_role int2, side int2, blocked bool, now_at timestamptz
-- columns: reason text, event_number int8
WITH judged AS MATERIALIZED (
	SELECT p.last_event, t.page_id IS NOT NULL AS known,
		coalesce(CASE $5 WHEN 1 THEN t.blocked_by_person ELSE t.blocked_by_page END, false) <> $6 AS changes, CASE
		WHEN $5 = 1 AND $2 <> $3 THEN 'THREAD_NOT_FOUND'
		WHEN $5 = 2 AND s.role IS NULL THEN 'PAGE_NOT_FOUND'
		WHEN $5 = 2 AND s.role < $4 THEN 'ROLE_REQUIRED' END AS reason
	FROM page p
	LEFT JOIN thread t ON t.page_id = p.page_id AND t.user_id = $2
	LEFT JOIN page_staff s ON s.page_id = p.page_id AND s.user_id = $3
	WHERE p.page_id = $1
), changed AS (
	UPDATE thread t SET blocked_by_person = CASE $5 WHEN 1 THEN $6 ELSE t.blocked_by_person END,
		blocked_by_page = CASE $5 WHEN 1 THEN t.blocked_by_page ELSE $6 END
	FROM judged j WHERE j.reason IS NULL AND j.changes AND t.page_id = $1 AND t.user_id = $2
), made AS (
	INSERT INTO thread (page_id, user_id, last_sent_at, blocked_by_person, blocked_by_page)
	SELECT $1, $2, $7, $5 = 1, $5 = 2 FROM judged WHERE reason IS NULL AND changes AND NOT known
), tick AS (
	UPDATE page p SET last_event = p.last_event + 1 FROM judged j WHERE j.reason IS NULL AND j.changes AND p.page_id = $1
	RETURNING p.last_event
), event AS (
	INSERT INTO page_event (page_id, event_number, kind, user_id, side, state, at)
	SELECT $1, last_event, 3, $2, $5, $6::int::smallint, $7 FROM tick
)
SELECT reason, (SELECT last_event FROM tick) AS event_number FROM judged

-- One side blocks the other, or stops to (P8).
-- lane: write
-- form: single
-- params: page_id int8, user_id int8, caller int8, least_role int2, side int2, blocked bool, now_at timestamptz
-- columns: reason text
WITH judged AS MATERIALIZED (
	SELECT CASE
		WHEN NOT EXISTS (SELECT FROM page WHERE page_id = $1) THEN 'PAGE_NOT_FOUND'
		WHEN $5 = 1 AND $2 <> $3 THEN 'THREAD_NOT_FOUND'
		WHEN $5 = 2 THEN CASE (SELECT role >= $4 FROM page_staff WHERE page_id = $1 AND user_id = $3)
			WHEN true THEN NULL WHEN false THEN 'ROLE_REQUIRED' ELSE 'PAGE_NOT_FOUND' END END AS reason
), done AS (
	INSERT INTO block AS b (page_id, user_id, by_person, by_page)
	SELECT $1, $2, $5 = 1 AND $6, $5 = 2 AND $6 FROM judged WHERE reason IS NULL
	ON CONFLICT (page_id, user_id) DO UPDATE SET
		by_person = CASE WHEN $5 = 1 THEN $6 ELSE b.by_person END,
		by_page = CASE WHEN $5 = 2 THEN $6 ELSE b.by_page END
	RETURNING b.page_id
), tick AS (
	UPDATE page_clock c SET last_event = c.last_event + 1 FROM done WHERE c.page_id = done.page_id
	RETURNING c.last_event
), event AS (
	INSERT INTO page_event (page_id, event_number, kind, user_id, at) SELECT $1, last_event, 3, $2, $7 FROM tick
)
SELECT reason FROM judged

-- What the feed service saw on a wall.  Repeatable.  P6, P17.
-- lane: write
-- form: single
-- params: page_id int8, entry_id int8, kind int2, author_user_id int8, author_page_id int8, body text, posted_at timestamptz, now timestamptz
-- columns: reason text, privately_replied bool, event_number int8
WITH known AS (
	SELECT * FROM wall_entry WHERE page_id = $1 AND entry_id = $2
), fresh AS (
	INSERT INTO wall_entry (page_id, entry_id, kind, author_user_id, author_page_id, body, posted_at)
	SELECT page_id, $2, $3, $4, $5, $6, $7 FROM page
	WHERE page_id = $1 AND NOT EXISTS (SELECT FROM known)
	RETURNING page_id
), tick AS (
	UPDATE page SET last_event = last_event + 1 FROM fresh
	WHERE page.page_id = $1 RETURNING last_event
), event AS (
	INSERT INTO page_event (page_id, event_number, kind, subject_id, at)
	SELECT $1, last_event, 5, $2, $8 FROM tick
)
SELECT CASE WHEN known.page_id IS NOT NULL AND (known.kind <> $3
		OR known.author_user_id IS DISTINCT FROM $4
		OR known.author_page_id IS DISTINCT FROM $5
		OR known.body <> $6 OR known.posted_at <> $7) THEN 'WALL_ENTRY_EXISTS' END AS reason,
	EXISTS (SELECT FROM message WHERE page_id = $1 AND wall_entry_id = $2) AS privately_replied,
	(SELECT last_event FROM tick) AS event_number
FROM page LEFT JOIN known ON true
WHERE page.page_id = $1;

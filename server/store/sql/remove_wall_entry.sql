-- An entry is gone from the wall; again: nothing more happens.  P6, P17.
-- lane: write
-- form: single
-- params: page_id int8, entry_id int8, now timestamptz
-- columns: reason text
WITH known AS (
	SELECT author_user_id FROM wall_entry WHERE page_id = $1 AND entry_id = $2
), gone AS (
	UPDATE wall_entry SET removed_at = $3
	WHERE page_id = $1 AND entry_id = $2 AND removed_at IS NULL
	RETURNING author_user_id
), tick AS (
	UPDATE page SET last_event = last_event + 1 FROM gone
	WHERE page_id = $1 RETURNING last_event, author_user_id
), event AS (
	INSERT INTO page_event (page_id, event_number, kind, user_id, at)
	SELECT $1, last_event, 5, author_user_id, $3 FROM tick
)
SELECT NULL::text AS reason FROM known;

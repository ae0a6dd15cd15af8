-- An entry is gone from the wall; again: nothing more happens.  P6, P17.
-- lane: write
-- form: single
-- params: page_id int8, entry_id int8, now timestamptz
-- columns: reason text, event_number int8
WITH known AS (
	SELECT entry_id FROM wall_entry WHERE page_id = $1 AND entry_id = $2
), gone AS (
	UPDATE wall_entry SET removed_at = $3
	WHERE page_id = $1 AND entry_id = $2 AND removed_at IS NULL
	RETURNING entry_id
), tick AS (
	UPDATE page SET last_event = last_event + 1 FROM gone
	WHERE page_id = $1 RETURNING last_event
), event AS (
	INSERT INTO page_event (page_id, event_number, kind, subject_id, at)
	SELECT $1, last_event, 5, $2, $3 FROM tick
)
SELECT NULL::text AS reason, (SELECT last_event FROM tick) AS event_number FROM known;

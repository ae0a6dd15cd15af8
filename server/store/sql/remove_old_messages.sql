-- Empties a page's oldest messages, up to the first that is not from before, of their words and uploads; only such as are
-- events no more.  A row stays with its number, key, hash and the entry's id: it is what P1, P6, P10 and P11 go by, for ever.  Its uploads
-- are unused again, and incomplete, and go the way of those (remove_unused_attachments.sql).  `removed` n: there may be more.
-- lane: write
-- form: single
-- params: page_id int8, before timestamptz, n int8
-- columns: reason text, removed int8
WITH old AS MATERIALIZED (
	SELECT m.user_id, m.seq, m.event_number, m.n_attachments, bool_and(m.sent_at < $2) OVER (ORDER BY m.event_number) AS goes
	FROM page p CROSS JOIN LATERAL (
		SELECT * FROM message m WHERE m.page_id = $1 AND m.event_number >= p.first_message
			AND m.event_number < p.first_event ORDER BY m.event_number LIMIT $3) m
	WHERE p.page_id = $1
), doomed AS MATERIALIZED (
	SELECT * FROM old WHERE goes
), emptied AS (
	UPDATE message SET body = '', wall_body = NULL
	WHERE page_id = $1 AND event_number = ANY (ARRAY(SELECT event_number FROM doomed))
), thread_moved AS (
	UPDATE thread t SET first_seq = d.last_seq + 1
	FROM (SELECT user_id, max(seq) AS last_seq FROM doomed GROUP BY user_id) d WHERE t.page_id = $1 AND t.user_id = d.user_id
), item AS ( -- by index; what is older went before
	DELETE FROM message_attachment x
	WHERE x.page_id = $1 AND x.user_id = ANY (ARRAY(SELECT user_id FROM doomed WHERE n_attachments > 0))
		AND x.seq <= (SELECT max(seq) FROM doomed)
		AND x.seq <= (SELECT max(d.seq) FROM doomed d WHERE d.user_id = x.user_id)
	RETURNING x.attachment_id
), unused AS (
	UPDATE attachment SET user_id = NULL, seq = NULL, completed_at = NULL, media_type = NULL
	WHERE page_id = $1 AND attachment_id = ANY (ARRAY(SELECT attachment_id FROM item))
), page_moved AS (
	UPDATE page p SET first_message = d.last + 1 FROM (SELECT max(event_number) AS last FROM doomed) d
	WHERE p.page_id = $1 AND d.last IS NOT NULL
)
SELECT NULL::text AS reason, (SELECT count(*) FROM doomed) AS removed

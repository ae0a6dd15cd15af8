-- A thread's messages that are kept: below before_seq, newest first; or above after_seq (not 0), oldest first.  P9.
-- lane: read
-- form: single
-- params: page_id int8, user_id int8, caller int8, least_role int2, before_seq int4, after_seq int4, n int4
-- columns: reason text, is_staff bool, seq int4, side int2, sender_id int8, body text, sent_at timestamptz,
--   settings_version int4, unsent bool, event_number int8, wall_entry_id int8, wall_kind int2, wall_body text,
--   wall_posted_at timestamptz, items text
WITH access AS MATERIALIZED (
	SELECT $4 = 0 OR coalesce((SELECT role >= $4 FROM page_staff s WHERE s.page_id = $1 AND s.user_id = $3), false)
		AS is_staff, t.first_seq
	FROM thread t WHERE t.page_id = $1 AND t.user_id = $2
), found AS (
	(SELECT m.* FROM message m, access a WHERE $6 = 0 AND (a.is_staff OR $2 = $3) AND m.page_id = $1
		AND m.user_id = $2 AND m.seq < $5 AND m.seq >= (SELECT first_seq FROM access) ORDER BY m.seq DESC LIMIT $7)
	UNION ALL
	(SELECT m.* FROM message m, access a WHERE $6 > 0 AND (a.is_staff OR $2 = $3) AND m.page_id = $1
		AND m.user_id = $2 AND m.seq > $6 AND m.seq >= (SELECT first_seq FROM access) ORDER BY m.seq LIMIT $7)
)
SELECT CASE WHEN a.is_staff OR (a.is_staff IS NOT NULL AND $2 = $3) THEN NULL ELSE 'THREAD_NOT_FOUND' END AS reason,
	coalesce(a.is_staff, false) AS is_staff, m.seq, m.side, m.sender_id, CASE WHEN m.unsent THEN '' ELSE m.body END AS body,
	m.sent_at, m.settings_version, m.unsent, m.event_number, m.wall_entry_id, m.wall_kind, m.wall_body,
	m.wall_posted_at, CASE WHEN m.n_attachments > 0 AND NOT m.unsent
		THEN message_items(m.page_id, m.user_id, m.seq) END AS items
FROM (SELECT) one LEFT JOIN access a ON true LEFT JOIN found m ON true
ORDER BY CASE WHEN $6 = 0 THEN -m.seq ELSE m.seq END

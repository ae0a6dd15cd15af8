-- Threads' messages that are kept: below before_seq, newest first; or above after_seq (not 0), oldest first.  P9.  For
-- each list one loop over its thread: rows come in the order they are asked for, and sorting them once more would cost a
-- quarter of the whole.
-- lane: replica
-- form: set
-- thread: user_id
-- params: page_id int8, user_id int8, caller int8, least_role int2, before_seq int4, after_seq int4, n int4
-- columns: reason text, is_staff bool, seq int4, side int2, sender_id int8, body text, sent_at timestamptz,
--   settings_version int4, unsent bool, event_number int8, wall_entry_id int8, wall_kind int2, wall_body text,
--   wall_posted_at timestamptz, items text
SELECT i.ord::int, CASE WHEN a.is_staff OR (a.is_staff IS NOT NULL AND i.user_id = i.caller) THEN NULL
		ELSE 'THREAD_NOT_FOUND' END AS reason,
	coalesce(a.is_staff, false) AS is_staff, m.seq, m.side, m.sender_id, CASE WHEN m.unsent THEN '' ELSE m.body END AS body,
	m.sent_at, m.settings_version, m.unsent, m.event_number, m.wall_entry_id, m.wall_kind, m.wall_body,
	m.wall_posted_at, CASE WHEN m.n_attachments > 0 AND NOT m.unsent
		THEN message_items(m.page_id, m.user_id, m.seq) END AS items
FROM unnest($1, $2, $3, $4, $5, $6, $7) WITH ORDINALITY
	AS i(page_id, user_id, caller, least_role, before_seq, after_seq, n, ord)
LEFT JOIN LATERAL (
	SELECT i.least_role = 0 OR coalesce((SELECT role >= i.least_role FROM page_staff s
		WHERE s.page_id = i.page_id AND s.user_id = i.caller), false) AS is_staff, t.first_seq
	FROM thread t WHERE t.page_id = i.page_id AND t.user_id = i.user_id) a ON true
LEFT JOIN LATERAL (
	(SELECT m.* FROM message m WHERE i.after_seq = 0 AND (a.is_staff OR i.user_id = i.caller) AND m.page_id = i.page_id
		AND m.user_id = i.user_id AND m.seq < i.before_seq AND m.seq >= a.first_seq ORDER BY m.seq DESC LIMIT i.n)
	UNION ALL
	(SELECT m.* FROM message m WHERE i.after_seq > 0 AND (a.is_staff OR i.user_id = i.caller) AND m.page_id = i.page_id
		AND m.user_id = i.user_id AND m.seq > i.after_seq AND m.seq >= a.first_seq ORDER BY m.seq LIMIT i.n)
) m ON true

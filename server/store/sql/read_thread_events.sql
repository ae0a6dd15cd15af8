-- The events of one thread, as read_page_events.sql has them; last_seq is the thread's last message.  Messages are
-- found by their number, all others by page_event_thread: not by a walk over the page's events.  first_event is 1 where
-- all events since the thread's first message are kept; nothing is read for a cursor older than first_event.  P9, P15, P17.
-- lane: read
-- form: set
-- params: page_id int8, user_id int8, after_event int8, after_seq int4, up_to_event int8, n int8
-- columns: last_event int8, first_event int8, last_seq int4, kind int2 (0: a message), user_id int8,
--   delivered_seq int4, unread int4, state int2, seq int4, side int2, sender_id int8, body text, sent_at timestamptz,
--   settings_version int4, unsent bool, event_number int8, wall_entry_id int8, wall_kind int2, wall_body text,
--   wall_posted_at timestamptz, items text
SELECT i.ord::int, p.last_event, k.first_event, t.last_seq, e.*
FROM unnest($1, $2, $3, $4, $5, $6) WITH ORDINALITY AS i(page_id, user_id, after_event, after_seq, up_to_event, n, ord)
JOIN page p ON p.page_id = i.page_id
LEFT JOIN thread t ON t.page_id = i.page_id AND t.user_id = i.user_id
CROSS JOIN LATERAL (SELECT CASE WHEN (SELECT m.event_number >= p.first_event FROM message m
	WHERE m.page_id = i.page_id AND m.user_id = i.user_id AND m.seq = 1) THEN 1 ELSE p.first_event END AS first_event) k
LEFT JOIN LATERAL (
	(SELECT 0::smallint AS kind, m.user_id, NULL::int AS delivered_seq, NULL::int AS unread, NULL::smallint AS state, m.seq,
		m.side, m.sender_id, CASE WHEN m.unsent THEN '' ELSE m.body END AS body, m.sent_at, m.settings_version, m.unsent,
		m.event_number, m.wall_entry_id, m.wall_kind, m.wall_body, m.wall_posted_at,
		CASE WHEN m.n_attachments > 0 AND NOT m.unsent THEN message_items(m.page_id, m.user_id, m.seq) END AS items
	FROM message m
	WHERE i.after_event >= k.first_event - 1 AND m.page_id = i.page_id AND m.user_id = i.user_id AND m.seq > i.after_seq
		AND m.event_number > i.after_event AND m.event_number <= i.up_to_event
	ORDER BY m.seq LIMIT i.n)
	UNION ALL
	(SELECT v.kind, v.user_id, v.delivered_seq, v.unread, v.state, v.seq, v.side, v.subject_id, NULL, v.at, NULL, NULL,
		v.event_number, NULL, NULL, NULL, NULL, NULL
	FROM page_event v
	WHERE i.after_event >= k.first_event - 1 AND v.page_id = i.page_id AND v.user_id = i.user_id
		AND v.event_number > i.after_event
		AND v.event_number <= i.up_to_event
	ORDER BY v.event_number LIMIT i.n)
	ORDER BY event_number LIMIT i.n
) e ON true
ORDER BY i.ord, e.event_number

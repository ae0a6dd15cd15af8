-- A page's events in the order of their commit, each as it stands now; a row without an event where there are none.  What
-- is no longer kept is passed over.
-- What stands beside a message's number is in its columns; other kinds use seq, side, sent_at and event_number of them,
-- sender_id for page_event.subject_id, and items: JSON of the settings' version, or of the wall entry, NULL once it is
-- gone.  P9, P15, P17.
-- lane: read
-- form: set
-- params: page_id int8, after_event int8, up_to_event int8, n int8
-- columns: last_event int8, first_event int8, last_seq int4, kind int2 (0: a message), user_id int8,
--   delivered_seq int4, unread int4, state int2, seq int4, side int2, sender_id int8, body text, sent_at timestamptz,
--   settings_version int4, unsent bool, event_number int8, wall_entry_id int8, wall_kind int2, wall_body text,
--   wall_posted_at timestamptz, items text
SELECT i.ord::int, p.last_event, p.first_event, NULL::int AS last_seq, e.*
FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS i(page_id, after_event, up_to_event, n, ord)
JOIN page p ON p.page_id = i.page_id
LEFT JOIN LATERAL (
	(SELECT 0::smallint AS kind, m.user_id, NULL::int AS delivered_seq, NULL::int AS unread, NULL::smallint AS state, m.seq,
		m.side, m.sender_id, CASE WHEN m.unsent THEN '' ELSE m.body END AS body, m.sent_at, m.settings_version, m.unsent,
		m.event_number, m.wall_entry_id, m.wall_kind, m.wall_body, m.wall_posted_at,
		CASE WHEN m.n_attachments > 0 AND NOT m.unsent THEN message_items(m.page_id, m.user_id, m.seq) END AS items
	FROM message m
	WHERE m.page_id = i.page_id AND m.event_number > greatest(i.after_event, p.first_event - 1) AND m.event_number <= i.up_to_event
	ORDER BY m.event_number LIMIT i.n)
	UNION ALL
	(SELECT v.kind, v.user_id, v.delivered_seq, v.unread, v.state, v.seq, v.side, v.subject_id, NULL, v.at, NULL, NULL,
		v.event_number, NULL, NULL, NULL, NULL, CASE v.kind
			WHEN 1 THEN (SELECT jsonb_build_array(s.version, s.messaging_enabled, s.max_text_chars, s.max_attachment_bytes,
					s.reply_window_seconds, s.reply_budget, s.private_reply_window_seconds, s.changed_by,
					s.changed_fields, s.change_reason)::text
				FROM page_settings s WHERE s.page_id = v.page_id AND s.version = v.seq)
			WHEN 5 THEN (SELECT jsonb_build_array(w.kind, w.author_user_id, w.author_page_id, w.body,
					(extract(epoch FROM w.posted_at) * 1000000)::bigint, EXISTS (SELECT FROM message r
						WHERE r.page_id = w.page_id AND r.wall_entry_id = w.entry_id))::text
				FROM wall_entry w WHERE w.page_id = v.page_id AND w.entry_id = v.subject_id AND w.removed_at IS NULL)
			END
	FROM page_event v
	WHERE v.page_id = i.page_id AND v.event_number > greatest(i.after_event, p.first_event - 1) AND v.event_number <= i.up_to_event
	ORDER BY v.event_number LIMIT i.n)
	ORDER BY event_number LIMIT i.n
) e ON true
ORDER BY i.ord, e.event_number

-- Some pages in the order of their ids, and whether the oldest event that is kept, or the oldest message, is older than
-- it need be (NULL: never): what retention looks at.
-- lane: read
-- form: single
-- params: after_page_id int8, events_before timestamptz, messages_before timestamptz, n int8
-- columns: reason text, page_id int8, due bool
SELECT NULL::text AS reason, p.page_id, coalesce((SELECT m.sent_at < $2 FROM message m
			WHERE m.page_id = p.page_id AND m.event_number = p.first_event),
		(SELECT v.at < $2 FROM page_event v WHERE v.page_id = p.page_id AND v.event_number = p.first_event), false)
	OR coalesce((SELECT m.sent_at < $3 FROM message m WHERE m.page_id = p.page_id AND m.event_number >= p.first_message
		ORDER BY m.event_number LIMIT 1), false) AS due
FROM page p WHERE p.page_id > $1 ORDER BY p.page_id LIMIT $4

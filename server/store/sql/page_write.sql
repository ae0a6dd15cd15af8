-- Staff's messages: answers in threads, and private replies to wall entries (entry_id not NULL).
-- P1, P3, P6, P7, P8, P10, P11, P12, P13, P18, P20.
-- lane: write
-- form: set
-- thread: user_id
-- apart: user_id, entry_id, client_key, attaching_id
-- params: page_id int8, caller int8, least_role int2, user_id int8, entry_id int8, expected_last_seq int4,
--   client_key uuid, content_hash int8, body text, chars int4, items text,
--   attaching_id int8 (the caller where there are uploads among the items), now_at timestamptz
-- columns: reason text, user_id int8, seq int4, sent_at timestamptz, settings_version int4, repeated bool,
--   last_seq int4, max_text_chars int4, event_number int8, opens_thread_of int8
WITH judged AS MATERIALIZED (
	SELECT i.ord, i.page_id, w.user_id, i.caller, i.client_key, i.content_hash, i.body, i.items, i.now_at, i.entry_id,
		e.kind AS entry_kind, e.body AS entry_body, e.posted_at AS entry_at,
		p.last_event AS page_event, p.settings_version, p.max_text_chars, t.last_seq, t.page_count,
		k.user_id AS known_user, k.seq AS known_seq, k.sent_at AS known_at, k.settings_version AS known_version,
		CASE WHEN t.last_seq > 0 THEN x.messages_left ELSE 1 END AS room, CASE
			WHEN s.role IS NULL THEN 'PAGE_NOT_FOUND'
			WHEN s.role < i.least_role THEN 'ROLE_REQUIRED' -- P18
			WHEN k.content_hash = i.content_hash THEN NULL -- P10: sent before, whatever the rules say now
			WHEN k.content_hash <> i.content_hash THEN 'KEY_REUSED'
			ELSE coalesce(CASE WHEN i.entry_id IS NULL
				THEN reply_refusal(t.last_seq, t.person_count, t.blocked_by_person, t.blocked_by_page,
					reply_until(t.last_person_at, p.reply_window_seconds), x.messages_left, i.now_at)
				ELSE private_reply_refusal(e.posted_at, e.removed_at, e.author_user_id, r.page_id IS NOT NULL,
					p.messaging_enabled, t.last_seq, t.person_count, t.blocked_by_person, t.blocked_by_page,
					reply_until(e.posted_at, p.private_reply_window_seconds), x.messages_left, i.now_at) END, CASE
				WHEN i.expected_last_seq > 0 AND i.expected_last_seq <> t.last_seq THEN 'THREAD_MOVED_ON' -- P20
				WHEN i.chars > p.max_text_chars THEN 'TEXT_TOO_LONG' -- P12
				WHEN i.attaching_id IS NOT NULL THEN (SELECT CASE -- P13
						WHEN a.attachment_id IS NULL THEN 'ATTACHMENT_NOT_FOUND'
						WHEN a.completed_at IS NULL THEN 'ATTACHMENT_INCOMPLETE' ELSE 'ATTACHMENT_USED' END
					FROM (SELECT value->>'a' AS id, count(*) AS n FROM jsonb_array_elements(i.items::jsonb) GROUP BY 1) x
					LEFT JOIN attachment a ON a.page_id = i.page_id AND a.attachment_id = x.id::uuid
						AND a.uploader_id = i.caller AND a.side = 2
					WHERE x.id IS NOT NULL AND (a.completed_at IS NULL OR a.seq IS NOT NULL OR x.n > 1) LIMIT 1)
				END) END AS reason
	FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) WITH ORDINALITY AS i(page_id, caller, least_role,
		user_id, entry_id, expected_last_seq, client_key, content_hash, body, chars, items, attaching_id, now_at, ord)
	JOIN page p ON p.page_id = i.page_id
	LEFT JOIN page_staff s ON s.page_id = i.page_id AND s.user_id = i.caller
	LEFT JOIN message k ON k.page_id = i.page_id AND k.sender_id = i.caller AND k.client_key = i.client_key
	LEFT JOIN wall_entry e ON e.page_id = i.page_id AND e.entry_id = i.entry_id
	LEFT JOIN message r ON r.page_id = i.page_id AND r.wall_entry_id = i.entry_id
	CROSS JOIN LATERAL (SELECT CASE WHEN i.entry_id IS NULL THEN i.user_id ELSE e.author_user_id END AS user_id) w
	LEFT JOIN thread t ON t.page_id = i.page_id AND t.user_id = w.user_id
	CROSS JOIN LATERAL (SELECT replies_left(p.reply_budget, t.page_run) AS messages_left) x
), ranked AS MATERIALIZED ( -- of several private replies to one person, as many as there is room for
	SELECT *, row_number() OVER (PARTITION BY page_id, reason IS NULL AND known_seq IS NULL, user_id ORDER BY ord)::int AS nth
	FROM judged
), settled AS (
	SELECT *, reason IS NULL AND known_seq IS NULL AND coalesce(nth <= room, true) AS accepted FROM ranked
), numbered AS MATERIALIZED (
	SELECT *, page_event + row_number() OVER on_page AS event_number, coalesce(last_seq, 0) + nth AS seq,
		coalesce(page_count, 0) + nth AS side_no, lead(false, 1, true) OVER on_page AS last_on_page,
		lead(false, 1, true) OVER in_thread AS last_in_thread
	FROM settled
	WINDOW on_page AS (PARTITION BY page_id, accepted ORDER BY ord),
		in_thread AS (PARTITION BY page_id, accepted, user_id ORDER BY ord)
), clock AS ( -- NULL, and so an error: somebody wrote to the page without its lock
	UPDATE page p SET last_event = CASE p.last_event WHEN n.page_event THEN n.event_number END
	FROM numbered n WHERE n.accepted AND n.last_on_page AND p.page_id = n.page_id
), moved AS (
	UPDATE thread t SET last_seq = n.seq, page_count = n.side_no, page_run = t.page_run + n.nth, last_event = n.event_number,
		inbox_event = CASE WHEN n.event_number - t.inbox_event < inbox_lag() THEN t.inbox_event ELSE n.event_number END,
		last_sent_at = greatest(t.last_sent_at, n.now_at), by_private_reply = t.by_private_reply OR t.last_seq = 0
	FROM numbered n
	WHERE n.accepted AND n.last_in_thread AND n.last_seq IS NOT NULL AND t.page_id = n.page_id AND t.user_id = n.user_id
), opened AS (
	INSERT INTO thread (page_id, user_id, last_event, inbox_event, last_sent_at, last_seq, page_count, page_run, by_private_reply)
	SELECT page_id, user_id, event_number, event_number, now_at, seq, side_no, nth, true
	FROM numbered WHERE accepted AND last_in_thread AND last_seq IS NULL
), mine AS (
	INSERT INTO person_thread (user_id, page_id) SELECT user_id, page_id FROM numbered WHERE accepted AND seq = 1
), written AS (
	INSERT INTO message (page_id, user_id, event_number, sender_id, sent_at, content_hash, client_key, seq, side_no,
		settings_version, side, n_attachments, body, wall_entry_id, wall_kind, wall_body, wall_posted_at)
	SELECT page_id, user_id, event_number, caller, now_at, content_hash, client_key, seq, side_no, settings_version, 2,
		CASE WHEN items = '' THEN 0 ELSE jsonb_array_length(items::jsonb) END, body,
		entry_id, entry_kind, entry_body, entry_at
	FROM numbered WHERE accepted
), item AS MATERIALIZED (
	SELECT n.page_id, n.user_id, n.seq, e.position::smallint, (e.value->>'a')::uuid AS attachment_id, e.value->>'l' AS link_url
	FROM numbered n CROSS JOIN LATERAL jsonb_array_elements(n.items::jsonb) WITH ORDINALITY e(value, position)
	WHERE n.accepted AND n.items <> ''
), used AS (
	UPDATE attachment a SET user_id = i.user_id, seq = i.seq FROM item i
	WHERE a.page_id = i.page_id AND a.attachment_id = i.attachment_id
		-- By index, should a plan made on an empty table begin with this one.
		AND a.page_id = ANY (ARRAY(SELECT page_id FROM item)) AND a.attachment_id = ANY (ARRAY(SELECT attachment_id FROM item))
), attached AS (
	INSERT INTO message_attachment (page_id, user_id, seq, position, kind, attachment_id, link_url)
	SELECT i.page_id, i.user_id, i.seq, i.position, coalesce(a.kind, 3), i.attachment_id, i.link_url
	FROM item i LEFT JOIN attachment a ON a.page_id = i.page_id AND a.attachment_id = i.attachment_id
)
SELECT ord::int, CASE
		WHEN reason IS NOT NULL OR known_seq IS NOT NULL OR accepted THEN reason
		WHEN last_seq > 0 THEN 'REPLY_BUDGET_SPENT' ELSE 'AWAITING_PERSON' END AS reason,
	coalesce(known_user, user_id) AS user_id, CASE WHEN accepted THEN seq ELSE known_seq END AS seq, coalesce(known_at, now_at) AS sent_at,
	coalesce(known_version, settings_version) AS settings_version, known_seq IS NOT NULL AS repeated,
	CASE WHEN reason = 'THREAD_MOVED_ON' THEN last_seq END AS last_seq, max_text_chars, CASE WHEN accepted THEN event_number END AS event_number,
	CASE WHEN accepted AND seq = 1 THEN user_id END AS opens_thread_of
FROM numbered ORDER BY ord

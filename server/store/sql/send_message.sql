-- Persons' messages to pages.  P1, P3, P5, P8, P10, P11, P12, P13.
-- lane: write
-- form: set
-- thread: user_id
-- apart: client_key, attaching_id
-- also: send_text without items (most messages have none, and each part of a statement has its price: migrations/README.md)
-- params: page_id int8, user_id int8, client_key uuid, content_hash int8, body text, chars int4, items text,
--   attaching_id int8 (the sender where there are uploads among the items), now_at timestamptz
-- columns: reason text, seq int4, sent_at timestamptz, settings_version int4, repeated bool, max_text_chars int4,
--   event_number int8, opens_thread_of int8
WITH judged AS MATERIALIZED (
	SELECT i.*, p.last_event AS page_event, p.settings_version, p.max_text_chars, t.last_seq, t.person_count,
		k.seq AS known_seq, k.sent_at AS known_at, k.settings_version AS known_version, CASE
			WHEN k.content_hash = i.content_hash THEN NULL -- P10: sent before, whatever the rules say now
			WHEN k.content_hash <> i.content_hash THEN 'KEY_REUSED'
			ELSE coalesce(send_refusal(p.messaging_enabled, t.blocked_by_person, t.blocked_by_page), CASE
				WHEN i.chars > p.max_text_chars THEN 'TEXT_TOO_LONG' -- P12
-- items: begin
				WHEN i.attaching_id IS NOT NULL THEN (SELECT CASE -- P13
						WHEN a.attachment_id IS NULL THEN 'ATTACHMENT_NOT_FOUND'
						WHEN a.completed_at IS NULL THEN 'ATTACHMENT_INCOMPLETE' ELSE 'ATTACHMENT_USED' END
					FROM (SELECT value->>'a' AS id, count(*) AS n FROM jsonb_array_elements(i.items::jsonb) GROUP BY 1) x
					LEFT JOIN attachment a ON a.page_id = i.page_id AND a.attachment_id = x.id::uuid
						AND a.uploader_id = i.user_id AND a.side = 1
					WHERE x.id IS NOT NULL AND (a.completed_at IS NULL OR a.seq IS NOT NULL OR x.n > 1) LIMIT 1)
-- items: end
				END) END AS reason
	FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9) WITH ORDINALITY
		AS i(page_id, user_id, client_key, content_hash, body, chars, items, attaching_id, now_at, ord)
	JOIN page p ON p.page_id = i.page_id
	LEFT JOIN thread t ON t.page_id = i.page_id AND t.user_id = i.user_id
	LEFT JOIN message k ON k.page_id = i.page_id AND k.sender_id = i.user_id AND k.client_key = i.client_key
), numbered AS MATERIALIZED (
	SELECT *, reason IS NULL AND known_seq IS NULL AS accepted,
		page_event + row_number() OVER on_page AS event_number,
		coalesce(last_seq, 0) + row_number() OVER in_thread::int AS seq,
		coalesce(person_count, 0) + row_number() OVER in_thread::int AS side_no,
		lead(false, 1, true) OVER on_page AS last_on_page, lead(false, 1, true) OVER in_thread AS last_in_thread
	FROM judged
	WINDOW on_page AS (PARTITION BY page_id, reason IS NULL AND known_seq IS NULL ORDER BY ord),
		in_thread AS (PARTITION BY page_id, reason IS NULL AND known_seq IS NULL, user_id ORDER BY ord)
), clock AS ( -- NULL, and so an error: somebody wrote to the page without its lock
	UPDATE page p SET last_event = CASE p.last_event WHEN n.page_event THEN n.event_number END
	FROM numbered n WHERE n.accepted AND n.last_on_page AND p.page_id = n.page_id
), moved AS (
	UPDATE thread t SET last_seq = n.seq, person_count = n.side_no, page_run = 0, last_event = n.event_number,
		inbox_event = CASE WHEN n.event_number - t.inbox_event < inbox_lag() THEN t.inbox_event ELSE n.event_number END,
		last_sent_at = greatest(t.last_sent_at, n.now_at), -- servers' clocks differ
		last_person_at = greatest(t.last_person_at, n.now_at)
	FROM numbered n
	WHERE n.accepted AND n.last_in_thread AND n.last_seq IS NOT NULL AND t.page_id = n.page_id AND t.user_id = n.user_id
), opened AS (
	INSERT INTO thread (page_id, user_id, last_event, inbox_event, last_sent_at, last_person_at, last_seq, person_count)
	SELECT page_id, user_id, event_number, event_number, now_at, now_at, seq, side_no
	FROM numbered WHERE accepted AND last_in_thread AND last_seq IS NULL
), mine AS (
	INSERT INTO person_thread (user_id, page_id) SELECT user_id, page_id FROM numbered WHERE accepted AND seq = 1
), written AS (
	INSERT INTO message (page_id, user_id, event_number, sender_id, sent_at, content_hash, client_key, seq, side_no,
		settings_version, side, n_attachments, body)
	SELECT page_id, user_id, event_number, user_id, now_at, content_hash, client_key, seq, side_no, settings_version, 1,
		CASE WHEN items = '' THEN 0 ELSE jsonb_array_length(items::jsonb) END, body
	FROM numbered WHERE accepted
-- items: begin
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
-- items: end
)
SELECT ord::int, reason, CASE WHEN accepted THEN seq ELSE known_seq END AS seq, coalesce(known_at, now_at) AS sent_at,
	coalesce(known_version, settings_version) AS settings_version, known_seq IS NOT NULL AS repeated, max_text_chars,
	CASE WHEN accepted THEN event_number END AS event_number, CASE WHEN accepted AND seq = 1 THEN user_id END AS opens_thread_of
FROM numbered ORDER BY ord

-- Persons' messages to pages.  P1, P3, P5, P8, P10, P11, P12, P13.
-- lane: write
-- form: set
-- params: page_id int8, user_id int8, client_key uuid, content_hash int8, body text, chars int4, items text,
--   now_at timestamptz
-- columns: reason text, seq int4, sent_at timestamptz, settings_version int4, repeated bool, max_text_chars int4
WITH input AS MATERIALIZED (
	SELECT i.*, row_number() OVER (PARTITION BY page_id, user_id, client_key, content_hash ORDER BY ord) = 1 AS is_first
	FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) WITH ORDINALITY
		AS i(page_id, user_id, client_key, content_hash, body, chars, items, now_at, ord)
), known AS MATERIALIZED ( -- P10: sent before, whatever the rules say now
	SELECT i.ord, m.seq, m.sent_at, m.settings_version, m.content_hash
	FROM input i JOIN message m ON m.page_id = i.page_id AND m.sender_id = i.user_id AND m.client_key = i.client_key
), judged AS MATERIALIZED (
	SELECT i.*, p.settings_version, p.max_text_chars, coalesce(person_may_write(i.page_id, i.user_id), CASE
		WHEN i.chars > p.max_text_chars THEN 'TEXT_TOO_LONG'
		WHEN i.items <> '' THEN attachments_fault(i.page_id, i.user_id, 1::smallint, i.items) END) AS reason
	FROM input i LEFT JOIN page p ON p.page_id = i.page_id
	WHERE i.is_first AND i.ord NOT IN (SELECT ord FROM known)
), clash AS MATERIALIZED ( -- one attachment in two messages of this batch: the first has it
	SELECT j.ord FROM (
		SELECT j.ord, row_number() OVER (PARTITION BY j.page_id, e->>'a' ORDER BY j.ord) AS use
		FROM judged j CROSS JOIN LATERAL jsonb_array_elements(j.items::jsonb) e
		WHERE j.items <> '' AND j.reason IS NULL AND e ? 'a') j
	WHERE use > 1
), fit AS ( -- a key is its first fit content's: one that was refused has not used it
	SELECT j.*, row_number() OVER (PARTITION BY page_id, user_id, client_key ORDER BY ord) = 1 AS has_key
	FROM judged j WHERE (reason IS NULL) IS TRUE AND ord NOT IN (SELECT ord FROM clash)
), accepted AS MATERIALIZED (
	SELECT f.*, row_number() OVER (PARTITION BY page_id, user_id ORDER BY ord)::int AS in_thread,
		count(*) OVER (PARTITION BY page_id, user_id)::int AS of_thread,
		row_number() OVER (PARTITION BY page_id ORDER BY ord) AS on_page
	FROM fit f WHERE has_key
), clock AS (
	UPDATE page_clock c SET last_event = c.last_event + a.n
	FROM (SELECT page_id, count(*) AS n FROM accepted GROUP BY page_id) a
	WHERE c.page_id = a.page_id
	RETURNING c.page_id, c.last_event - a.n AS base
), moved AS (
	INSERT INTO thread AS t (page_id, user_id, last_seq, last_sent_at, last_person_at, person_count)
	SELECT page_id, user_id, count(*), max(now_at), max(now_at), count(*) FROM accepted GROUP BY page_id, user_id
	ON CONFLICT (page_id, user_id) DO UPDATE SET last_seq = t.last_seq + excluded.last_seq,
		last_sent_at = greatest(t.last_sent_at, excluded.last_sent_at), -- servers' clocks differ
		last_person_at = greatest(t.last_person_at, excluded.last_person_at),
		person_count = t.person_count + excluded.person_count, page_run = 0
	RETURNING t.page_id, t.user_id, t.last_seq, t.person_count
), placed AS MATERIALIZED (
	SELECT a.*, m.last_seq - a.of_thread + a.in_thread AS seq, m.person_count - a.of_thread + a.in_thread AS side_no,
		c.base + a.on_page AS event_number
	FROM accepted a
	JOIN clock c ON c.page_id = a.page_id
	JOIN moved m ON m.page_id = a.page_id AND m.user_id = a.user_id
), written AS (
	INSERT INTO message (page_id, user_id, seq, side, side_no, event_number, sender_id, client_key, content_hash,
		settings_version, sent_at, body, n_attachments)
	SELECT page_id, user_id, seq, 1, side_no, event_number, user_id, client_key, content_hash,
		settings_version, now_at, body, CASE WHEN items = '' THEN 0 ELSE jsonb_array_length(items::jsonb) END
	FROM placed
), listed AS (
	INSERT INTO inbox AS i (page_id, user_id, last_event)
	SELECT page_id, user_id, max(event_number) FROM placed GROUP BY page_id, user_id
	ON CONFLICT (page_id, user_id) DO UPDATE SET last_event = excluded.last_event
), mine AS (
	INSERT INTO person_thread (user_id, page_id) SELECT user_id, page_id FROM placed WHERE seq = 1
	ON CONFLICT DO NOTHING
), item AS MATERIALIZED (
	SELECT p.page_id, p.user_id, p.seq, e.position::smallint, (e.value->>'a')::uuid AS attachment_id,
		e.value->>'l' AS link_url
	FROM placed p CROSS JOIN LATERAL jsonb_array_elements(p.items::jsonb) WITH ORDINALITY e(value, position)
	WHERE p.items <> ''
), used AS (
	UPDATE attachment a SET user_id = i.user_id, seq = i.seq FROM item i
	WHERE a.page_id = i.page_id AND a.attachment_id = i.attachment_id
), attached AS (
	INSERT INTO message_attachment (page_id, user_id, seq, position, kind, attachment_id, link_url)
	SELECT i.page_id, i.user_id, i.seq, i.position, coalesce(a.kind, 3), i.attachment_id, i.link_url
	FROM item i LEFT JOIN attachment a ON a.page_id = i.page_id AND a.attachment_id = i.attachment_id
)
SELECT i.ord::int, CASE
		WHEN k.ord IS NOT NULL THEN CASE WHEN k.content_hash <> i.content_hash THEN 'KEY_REUSED' END
		WHEN p.content_hash = i.content_hash THEN NULL
		WHEN p.ord < i.ord THEN 'KEY_REUSED'
		ELSE coalesce(j.reason, 'ATTACHMENT_USED') END AS reason,
	coalesce(k.seq, p.seq) AS seq, coalesce(k.sent_at, p.now_at) AS sent_at,
	coalesce(k.settings_version, p.settings_version) AS settings_version,
	k.ord IS NOT NULL OR coalesce(p.ord <> i.ord, false) AS repeated, j.max_text_chars
FROM input i
LEFT JOIN known k ON k.ord = i.ord
LEFT JOIN placed p ON p.page_id = i.page_id AND p.user_id = i.user_id AND p.client_key = i.client_key
LEFT JOIN judged j ON j.page_id = i.page_id AND j.user_id = i.user_id AND j.client_key = i.client_key
	AND j.content_hash = i.content_hash
ORDER BY i.ord

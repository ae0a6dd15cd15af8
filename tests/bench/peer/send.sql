-- One message a transaction, with the effects of send_message.sql and its checks (switch, block, length,
-- key): the statement a careful author would write by hand, in one round trip.
\set page random(1, :pages)
\set person random(1, :threads)
WITH allowed AS (
	SELECT p.settings_version FROM page p LEFT JOIN thread t ON t.page_id = p.page_id AND t.user_id = :person
	WHERE p.page_id = :page AND p.messaging_enabled AND p.max_text_chars >= 89
		AND NOT coalesce(t.blocked_by_person OR t.blocked_by_page, false)
), clock AS (
	UPDATE page p SET last_event = p.last_event + 1 FROM allowed WHERE p.page_id = :page
	RETURNING p.last_event, allowed.settings_version
), moved AS (
	INSERT INTO thread AS t (page_id, user_id, last_event, inbox_event, last_sent_at, last_person_at, last_seq, person_count)
	SELECT :page, :person, last_event, last_event, now(), now(), 1, 1 FROM clock
	ON CONFLICT (page_id, user_id) DO UPDATE SET last_seq = t.last_seq + 1, last_sent_at = now(),
		last_person_at = now(), person_count = t.person_count + 1, page_run = 0, last_event = excluded.last_event,
		inbox_event = CASE WHEN excluded.last_event - t.inbox_event < 128 THEN t.inbox_event ELSE excluded.last_event END
	RETURNING t.last_seq, t.person_count
)
INSERT INTO message (page_id, user_id, seq, side, side_no, event_number, sender_id, client_key, content_hash,
	settings_version, sent_at, body, n_attachments)
SELECT :page, :person, m.last_seq, 1, m.person_count, c.last_event, :person, gen_random_uuid(), 1,
	c.settings_version, now(),
	'My bottle was half empty. Is that how it is meant to be, or was the cap loose? Thank you!', 0
FROM moved m, clock c;

-- Pages :first to :last with :threads threads of :messages messages of their persons each, as the service would have
-- written them in turn; psql -v first=1 -v last=1000 -v threads=200 -v messages=1.
SELECT now() AS began \gset
INSERT INTO page (page_id, last_event, created_at, admin_user_id, max_attachment_bytes, settings_version, max_text_chars,
	reply_window_seconds, reply_budget, private_reply_window_seconds, messaging_enabled, name)
SELECT page, :threads * :messages, :'began', 1, 26214400, 1, 2000, 604800, 5, 604800, true, 'Coke'
FROM generate_series(:first, :last) page;

INSERT INTO page_settings (page_id, version, messaging_enabled, max_text_chars, max_attachment_bytes, reply_window_seconds,
	reply_budget, private_reply_window_seconds, changed_at, changed_by)
SELECT page_id, 1, messaging_enabled, max_text_chars, max_attachment_bytes, reply_window_seconds, reply_budget,
	private_reply_window_seconds, created_at, 0
FROM page WHERE page_id BETWEEN :first AND :last;

INSERT INTO page_staff (page_id, user_id, role) SELECT page_id, 1, 4 FROM page WHERE page_id BETWEEN :first AND :last;

INSERT INTO thread (page_id, user_id, last_event, inbox_event, last_sent_at, last_person_at, last_seq, person_count)
SELECT page, person, (:messages - 1) * :threads + person, (:messages - 1) * :threads + person, :'began', :'began',
	:messages, :messages
FROM generate_series(1, :threads) person, generate_series(:first, :last) page;

INSERT INTO person_thread (user_id, page_id)
SELECT person, page FROM generate_series(1, :threads) person, generate_series(:first, :last) page;

INSERT INTO message (page_id, user_id, event_number, sender_id, sent_at, content_hash, client_key, seq, side_no,
	settings_version, side, body)
SELECT page, person, (seq - 1) * :threads + person, person, :'began', 1, gen_random_uuid(), seq, seq, 1, 1,
	'My bottle was half empty. Is that how it is meant to be, or was the cap loose? Thank you!'
FROM generate_series(1, :messages) seq, generate_series(1, :threads) person, generate_series(:first, :last) page;

VACUUM ANALYZE;
CHECKPOINT;

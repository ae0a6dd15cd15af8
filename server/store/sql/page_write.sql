-- Staff answer in a thread, or a wall entry privately (entry_id not NULL).  The rule is page_write()'s, in
-- migrations/0002.
-- lane: write
-- form: single
-- params: page_id int8, caller int8, least_role int2, user_id int8, entry_id int8, expected_last_seq int4,
--   client_key uuid, content_hash int8, body text, chars int4, items text, now_at timestamptz
-- columns: reason text, user_id int8, seq int4, sent_at timestamptz, settings_version int4, repeated bool,
--   last_seq int4, max_text_chars int4
SELECT reason, user_id, seq, sent_at, settings_version, repeated, last_seq,
	(SELECT max_text_chars FROM page WHERE page_id = $1) AS max_text_chars
FROM page_write($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)

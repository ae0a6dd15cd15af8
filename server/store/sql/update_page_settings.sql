-- Appends a version made from the one in force; a NULL value stays as it was.  A change that was made already, under
-- its change_id, is answered and not made again.  Times never run backwards within a page, so that "in force at" has
-- one answer.  P3, P4, P17, P18.
-- lane: write
-- form: single
-- params: page_id int8, caller int8, least_role int2, change_id uuid, expected_version int4, messaging_enabled bool, max_text_chars int4, max_attachment_bytes int8, reply_window_seconds int4, reply_budget int4, private_reply_window_seconds int4, changed_fields text, change_reason text, now_at timestamptz
-- columns: reason text, version int4, messaging_enabled bool, max_text_chars int4, max_attachment_bytes int8, reply_window_seconds int4, reply_budget int4, private_reply_window_seconds int4, changed_at timestamptz, changed_by int8, changed_fields text, change_reason text,
--   event_number int8
WITH verdict AS MATERIALIZED (
	SELECT page.settings_version, (SELECT last.changed_at FROM page_settings last
			WHERE last.page_id = $1 AND last.version = page.settings_version) AS last_changed_at, made.version AS made_version, CASE
		WHEN made.version IS NOT NULL THEN NULL
		WHEN me.role IS NULL THEN 'PAGE_NOT_FOUND'
		WHEN me.role < $3::int2 THEN 'ROLE_REQUIRED'
		WHEN $5::int4 > 0 AND $5::int4 <> page.settings_version THEN 'VERSION_MISMATCH'
		END AS reason
	FROM page
	LEFT JOIN page_settings made ON made.page_id = page.page_id AND made.change_id = $4
	LEFT JOIN page_staff me ON me.page_id = page.page_id AND me.user_id = $2
	WHERE page.page_id = $1
), changed AS (
	UPDATE page SET settings_version = page.settings_version + 1,
		last_event = page.last_event + 1,
		messaging_enabled = coalesce($6::bool, page.messaging_enabled),
		max_text_chars = coalesce($7::int4, page.max_text_chars),
		max_attachment_bytes = coalesce($8::int8, page.max_attachment_bytes),
		reply_window_seconds = coalesce($9::int4, page.reply_window_seconds),
		reply_budget = coalesce($10::int4, page.reply_budget),
		private_reply_window_seconds = coalesce($11::int4, page.private_reply_window_seconds)
	FROM verdict WHERE page.page_id = $1 AND verdict.reason IS NULL AND verdict.made_version IS NULL
	RETURNING page.*, greatest(verdict.last_changed_at, $14::timestamptz) AS at
), version AS (
	INSERT INTO page_settings (page_id, version, messaging_enabled, max_text_chars,
		max_attachment_bytes, reply_window_seconds, reply_budget,
		private_reply_window_seconds, changed_at, changed_by, change_id, changed_fields, change_reason)
	SELECT page_id, settings_version, messaging_enabled, max_text_chars,
		max_attachment_bytes, reply_window_seconds, reply_budget,
		private_reply_window_seconds, at, $2, $4, $12, $13
	FROM changed
	RETURNING *
), event AS (
	INSERT INTO page_event (page_id, event_number, kind, seq, at)
	SELECT $1, last_event, 1, settings_version, at FROM changed
)
SELECT verdict.reason, coalesce(v.version, verdict.settings_version) AS version, v.messaging_enabled,
	v.max_text_chars, v.max_attachment_bytes, v.reply_window_seconds, v.reply_budget,
	v.private_reply_window_seconds, v.changed_at, v.changed_by, v.changed_fields, v.change_reason,
	(SELECT last_event FROM changed) AS event_number
FROM verdict LEFT JOIN LATERAL (
	SELECT * FROM version
	UNION ALL SELECT * FROM page_settings s WHERE s.page_id = $1 AND s.version = verdict.made_version
) v ON true;

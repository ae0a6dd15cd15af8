-- Appends a version made from the one in force; a NULL value stays as it was.  Times never run
-- backwards within a page, so that "in force at" has one answer.  P3, P4, P17, P18.
-- lane: write
-- form: single
-- params: page_id int8, caller int8, least_role int2, expected_version int4, messaging_enabled bool, max_text_chars int4, max_attachment_bytes int8, reply_window_seconds int4, reply_budget int4, private_reply_window_seconds int4, changed_fields text, change_reason text, now timestamptz
-- columns: reason text, version int4, messaging_enabled bool, max_text_chars int4, max_attachment_bytes int8, reply_window_seconds int4, reply_budget int4, private_reply_window_seconds int4, changed_at timestamptz, changed_by int8, changed_fields text, change_reason text
WITH verdict AS (
	SELECT page.settings_version, last.changed_at AS last_changed_at, CASE
		WHEN me.role IS NULL THEN 'PAGE_NOT_FOUND'
		WHEN me.role < $3::int2 THEN 'ROLE_REQUIRED'
		WHEN $4::int4 > 0 AND $4::int4 <> page.settings_version THEN 'VERSION_MISMATCH'
		END AS reason
	FROM page
	JOIN page_settings last ON last.page_id = page.page_id AND last.version = page.settings_version
	LEFT JOIN page_staff me ON me.page_id = page.page_id AND me.user_id = $2
	WHERE page.page_id = $1
), changed AS (
	UPDATE page SET settings_version = page.settings_version + 1,
		messaging_enabled = coalesce($5::bool, page.messaging_enabled),
		max_text_chars = coalesce($6::int4, page.max_text_chars),
		max_attachment_bytes = coalesce($7::int8, page.max_attachment_bytes),
		reply_window_seconds = coalesce($8::int4, page.reply_window_seconds),
		reply_budget = coalesce($9::int4, page.reply_budget),
		private_reply_window_seconds = coalesce($10::int4, page.private_reply_window_seconds)
	FROM verdict WHERE page.page_id = $1 AND verdict.reason IS NULL
	RETURNING page.*, greatest(verdict.last_changed_at, $13::timestamptz) AS at
), version AS (
	INSERT INTO page_settings (page_id, version, messaging_enabled, max_text_chars,
		max_attachment_bytes, reply_window_seconds, reply_budget,
		private_reply_window_seconds, changed_at, changed_by, changed_fields, change_reason)
	SELECT page_id, settings_version, messaging_enabled, max_text_chars,
		max_attachment_bytes, reply_window_seconds, reply_budget,
		private_reply_window_seconds, at, $2, $11, $12
	FROM changed
	RETURNING *
), tick AS (
	UPDATE page_clock SET last_event = last_event + 1 FROM changed
	WHERE page_clock.page_id = $1 RETURNING last_event, changed.settings_version, changed.at
), event AS (
	INSERT INTO page_event (page_id, event_number, kind, user_id, seq, at)
	SELECT $1, last_event, 1, $2, settings_version, at FROM tick
)
SELECT verdict.reason, coalesce(v.version, verdict.settings_version) AS version, v.messaging_enabled,
	v.max_text_chars, v.max_attachment_bytes, v.reply_window_seconds, v.reply_budget,
	v.private_reply_window_seconds, v.changed_at, v.changed_by, v.changed_fields, v.change_reason
FROM verdict LEFT JOIN version v ON true;

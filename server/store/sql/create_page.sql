-- Makes a page known, with its clock, its first admin and version 1 of its settings.  Repeatable.
-- There is no lock to take yet: the primary key decides who is first.
-- lane: write
-- form: single
-- params: page_id int8, name text, admin_user_id int8, now timestamptz
-- columns: reason text, name text, created_at timestamptz
WITH made AS (
	INSERT INTO page (page_id, name, created_at, admin_user_id, settings_version,
		messaging_enabled, max_text_chars, max_attachment_bytes, reply_window_seconds,
		reply_budget, private_reply_window_seconds)
	VALUES ($1, $2, $4, $3, 1, true, 2000, 26214400, 604800, 5, 604800)
	ON CONFLICT (page_id) DO UPDATE SET page_id = page.page_id
	RETURNING *, (xmax = 0) AS fresh
), clock AS (
	INSERT INTO page_clock (page_id) SELECT page_id FROM made WHERE fresh
), version AS (
	INSERT INTO page_settings (page_id, version, messaging_enabled, max_text_chars,
		max_attachment_bytes, reply_window_seconds, reply_budget,
		private_reply_window_seconds, changed_at, changed_by)
	SELECT page_id, settings_version, messaging_enabled, max_text_chars,
		max_attachment_bytes, reply_window_seconds, reply_budget,
		private_reply_window_seconds, created_at, 0
	FROM made WHERE fresh
), staff AS (
	INSERT INTO page_staff (page_id, user_id, role)
	SELECT page_id, admin_user_id, 4 FROM made WHERE fresh
)
SELECT CASE WHEN name <> $2 OR admin_user_id <> $3 THEN 'PAGE_EXISTS' END AS reason, name, created_at
FROM made;

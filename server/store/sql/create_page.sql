-- Makes pages known, with their first admin and version 1 of their settings.  Repeatable.  There is no lock to take
-- yet: the primary key decides who is first, and the order of ids keeps two servers from waiting for each other.
-- lane: write
-- form: set
-- apart: page_id
-- params: page_id int8, name text, admin_user_id int8, now_at timestamptz
-- columns: reason text, name text, created_at timestamptz
WITH input AS MATERIALIZED (
	SELECT * FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS i(page_id, name, admin_user_id, now_at, ord)
), made AS ( -- DO UPDATE, which changes nothing, returns also what another server has just made
	INSERT INTO page (page_id, created_at, admin_user_id, max_attachment_bytes, settings_version, max_text_chars,
		reply_window_seconds, reply_budget, private_reply_window_seconds, messaging_enabled, name)
	SELECT page_id, now_at, admin_user_id, 26214400, 1, 2000, 604800, 5, 604800, true, name FROM input ORDER BY page_id
	ON CONFLICT (page_id) DO UPDATE SET last_event = page.last_event
	RETURNING *
), version AS ( -- no event yet: nothing has happened to the page, and so it is right to write this again
	INSERT INTO page_settings (page_id, version, messaging_enabled, max_text_chars, max_attachment_bytes,
		reply_window_seconds, reply_budget, private_reply_window_seconds, changed_at, changed_by)
	SELECT page_id, 1, messaging_enabled, max_text_chars, max_attachment_bytes,
		reply_window_seconds, reply_budget, private_reply_window_seconds, created_at, 0
	FROM made WHERE last_event = 0
	ON CONFLICT (page_id, version) DO NOTHING
), staff AS (
	INSERT INTO page_staff (page_id, user_id, role) SELECT page_id, admin_user_id, 4 FROM made WHERE last_event = 0
	ON CONFLICT (page_id, user_id) DO NOTHING
)
SELECT i.ord::int, CASE WHEN m.name <> i.name OR m.admin_user_id <> i.admin_user_id THEN 'PAGE_EXISTS' END AS reason,
	m.name, m.created_at
FROM input i JOIN made m ON m.page_id = i.page_id
ORDER BY i.ord

-- Whether a side could write now, by the rule that the sends enforce (P7).
-- lane: read
-- form: single
-- params: page_id int8, caller int8, least_role int2, user_id int8, side int2, entry_id int8, now_at timestamptz
-- columns: reason text, refusal text, messages_left int4, limited bool, allowed_until timestamptz
SELECT CASE
		WHEN $5 = 1 AND $2 <> $4 THEN 'THREAD_NOT_FOUND'
		WHEN $5 = 2 AND s.role IS NULL THEN 'PAGE_NOT_FOUND'
		WHEN $5 = 2 AND s.role < $3 THEN 'ROLE_REQUIRED' END AS reason,
	CASE
		WHEN $5 = 1 THEN send_refusal(p.messaging_enabled, t.blocked_by_person, t.blocked_by_page)
		WHEN $6 IS NULL THEN reply_refusal(t.last_seq, t.person_count, t.blocked_by_person, t.blocked_by_page,
			x.until_at, x.messages_left, $7)
		ELSE private_reply_refusal(e.posted_at, e.removed_at, e.author_user_id, r.page_id IS NOT NULL, p.messaging_enabled,
			t.last_seq, t.person_count, t.blocked_by_person, t.blocked_by_page, x.until_at, x.messages_left, $7)
	END AS refusal,
	CASE WHEN $5 = 2 THEN coalesce(x.messages_left, 0) ELSE 0 END AS messages_left,
	$5 = 2 AND x.messages_left IS NOT NULL AS limited, CASE WHEN $5 = 2 THEN x.until_at END AS allowed_until
FROM page p
LEFT JOIN page_staff s ON s.page_id = p.page_id AND s.user_id = $2
LEFT JOIN wall_entry e ON e.page_id = p.page_id AND e.entry_id = $6
CROSS JOIN LATERAL (SELECT $6 IS NULL OR e.author_user_id IS NOT NULL AND e.removed_at IS NULL AS is_there) a
LEFT JOIN message r ON r.page_id = p.page_id AND r.wall_entry_id = $6
LEFT JOIN thread t ON t.page_id = p.page_id AND t.user_id = CASE WHEN $6 IS NULL THEN $4 ELSE e.author_user_id END
CROSS JOIN LATERAL (SELECT CASE WHEN a.is_there THEN replies_left(p.reply_budget, t.page_run) END AS messages_left, CASE
	WHEN $6 IS NULL THEN reply_until(t.last_person_at, p.reply_window_seconds)
	WHEN a.is_there THEN reply_until(e.posted_at, p.private_reply_window_seconds) END AS until_at) x
WHERE p.page_id = $1

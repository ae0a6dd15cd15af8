-- Who may write now: one rule each side, asked by CanSend and enforced by the sends (P7).

CREATE FUNCTION person_may_write(p_page_id bigint, p_user_id bigint) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT CASE
		WHEN NOT p.messaging_enabled THEN 'MESSAGING_DISABLED' -- P3
		WHEN b.by_person OR b.by_page THEN 'BLOCKED' -- P8
	END
	FROM page p LEFT JOIN block b ON b.page_id = p.page_id AND b.user_id = p_user_id
	WHERE p.page_id = p_page_id
	UNION ALL SELECT 'PAGE_NOT_FOUND' WHERE NOT EXISTS (SELECT FROM page WHERE page_id = p_page_id)
$$;

-- p_entry_id: a private reply to this wall entry (P6); NULL: a plain answer.
CREATE FUNCTION page_may_write(p_page_id bigint, p_user_id bigint, p_entry_id bigint, p_now timestamptz,
	OUT reason text, OUT user_id bigint, OUT messages_left int, OUT limited boolean, OUT allowed_until timestamptz)
LANGUAGE plpgsql STABLE AS $$
DECLARE
	p page;
	e wall_entry;
	t thread;
BEGIN
	user_id := p_user_id;
	SELECT * INTO p FROM page WHERE page.page_id = p_page_id;
	IF p_entry_id IS NOT NULL THEN
		SELECT * INTO e FROM wall_entry w WHERE w.page_id = p_page_id AND w.entry_id = p_entry_id;
		IF e.page_id IS NULL OR e.removed_at IS NOT NULL THEN reason := 'WALL_ENTRY_NOT_FOUND'; RETURN; END IF;
		IF e.author_user_id IS NULL THEN reason := 'AUTHOR_IS_PAGE'; RETURN; END IF;
		user_id := e.author_user_id;
	END IF;
	limited := p.reply_budget > 0;
	messages_left := p.reply_budget;
	SELECT * INTO t FROM thread x WHERE x.page_id = p_page_id AND x.user_id = page_may_write.user_id;
	IF t.page_id IS NOT NULL THEN messages_left := greatest(p.reply_budget - t.page_run, 0); END IF;
	IF p_entry_id IS NOT NULL THEN
		allowed_until := e.posted_at + make_interval(secs => p.private_reply_window_seconds);
	ELSIF p.reply_window_seconds > 0 THEN
		allowed_until := t.last_person_at + make_interval(secs => p.reply_window_seconds);
	END IF;
	reason := CASE
		WHEN EXISTS (SELECT FROM block b WHERE b.page_id = p_page_id AND b.user_id = page_may_write.user_id
			AND (b.by_person OR b.by_page)) THEN 'BLOCKED' -- P8
		WHEN p_entry_id IS NULL AND t.page_id IS NULL THEN 'PERSON_MUST_START' -- P1
		WHEN t.page_id IS NULL AND NOT p.messaging_enabled THEN 'MESSAGING_DISABLED' -- P3: no new thread
		WHEN EXISTS (SELECT FROM message m WHERE m.page_id = p_page_id AND m.wall_entry_id = p_entry_id)
			THEN 'ALREADY_REPLIED' -- P6
		WHEN p_entry_id IS NOT NULL AND p_now > allowed_until THEN 'PRIVATE_REPLY_EXPIRED' -- P6
		WHEN t.person_count = 0 THEN 'AWAITING_PERSON' -- P6
		WHEN p_entry_id IS NULL AND p_now > allowed_until THEN 'REPLY_WINDOW_CLOSED' -- P7
		WHEN limited AND messages_left = 0 THEN 'REPLY_BUDGET_SPENT' -- P7
	END;
END
$$;

-- What is wrong with the attachments of one message; NULL: nothing (P13).  `p_items` is a JSON array of
-- {"a": uuid} and {"l": url}.
CREATE FUNCTION attachments_fault(p_page_id bigint, p_sender_id bigint, p_side smallint, p_items text) RETURNS text
LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN a.attachment_id IS NULL THEN 'ATTACHMENT_NOT_FOUND'
		WHEN a.completed_at IS NULL THEN 'ATTACHMENT_INCOMPLETE' ELSE 'ATTACHMENT_USED' END
	FROM (SELECT value->>'a' AS id, count(*) AS n FROM jsonb_array_elements(p_items::jsonb) GROUP BY 1) i
	LEFT JOIN attachment a ON a.page_id = p_page_id AND a.attachment_id = i.id::uuid
		AND a.uploader_id = p_sender_id AND a.side = p_side
	WHERE i.id IS NOT NULL AND (a.completed_at IS NULL OR a.seq IS NOT NULL OR i.n > 1)
	LIMIT 1
$$;

-- A page's message: an answer, or a private reply (P1, P6, P7, P8, P10, P11, P12, P13, P18, P20).
CREATE FUNCTION page_write(p_page_id bigint, p_caller bigint, p_least_role smallint, p_user_id bigint,
	p_entry_id bigint, p_expected_last_seq int, p_key uuid, p_hash bigint, p_body text, p_chars int,
	p_items text, p_now timestamptz,
	OUT reason text, OUT user_id bigint, OUT seq int, OUT sent_at timestamptz, OUT settings_version int,
	OUT repeated boolean, OUT last_seq int)
LANGUAGE plpgsql AS $$
DECLARE
	p page;
	m message;
	e wall_entry;
	side_count int;
	event bigint;
BEGIN
	reason := CASE (SELECT s.role >= p_least_role FROM page_staff s
			WHERE s.page_id = p_page_id AND s.user_id = p_caller)
		WHEN true THEN NULL WHEN false THEN 'ROLE_REQUIRED' ELSE 'PAGE_NOT_FOUND' END;
	IF reason IS NOT NULL THEN RETURN; END IF;
	SELECT * INTO m FROM message x WHERE x.page_id = p_page_id AND x.sender_id = p_caller AND x.client_key = p_key;
	IF m.page_id IS NOT NULL THEN
		reason := CASE WHEN m.content_hash <> p_hash THEN 'KEY_REUSED' END;
		user_id := m.user_id; seq := m.seq; sent_at := m.sent_at; settings_version := m.settings_version;
		repeated := true;
		RETURN;
	END IF;
	SELECT * INTO p FROM page WHERE page.page_id = p_page_id;
	SELECT w.reason, w.user_id INTO reason, user_id FROM page_may_write(p_page_id, p_user_id, p_entry_id, p_now) w;
	SELECT t.last_seq INTO last_seq FROM thread t WHERE t.page_id = p_page_id AND t.user_id = page_write.user_id;
	reason := CASE
		WHEN reason IS NOT NULL THEN reason
		WHEN p_expected_last_seq > 0 AND last_seq <> p_expected_last_seq THEN 'THREAD_MOVED_ON' -- P20
		WHEN p_chars > p.max_text_chars THEN 'TEXT_TOO_LONG' -- P12
		WHEN p_items <> '' THEN attachments_fault(p_page_id, p_caller, 2::smallint, p_items)
	END;
	IF reason IS NOT NULL THEN RETURN; END IF;

	UPDATE page_clock c SET last_event = c.last_event + 1 WHERE c.page_id = p_page_id RETURNING c.last_event INTO event;
	INSERT INTO thread AS t (page_id, user_id, last_seq, last_sent_at, page_count, page_run, by_private_reply)
	VALUES (p_page_id, page_write.user_id, 1, p_now, 1, 1, true)
	ON CONFLICT ON CONSTRAINT thread_pkey DO UPDATE SET last_seq = t.last_seq + 1, last_sent_at = p_now,
		page_count = t.page_count + 1, page_run = t.page_run + 1
	RETURNING t.last_seq, t.page_count INTO seq, side_count;
	IF p_entry_id IS NOT NULL THEN
		SELECT * INTO e FROM wall_entry w WHERE w.page_id = p_page_id AND w.entry_id = p_entry_id;
	END IF;
	INSERT INTO message (page_id, user_id, seq, side, side_no, event_number, sender_id, client_key, content_hash,
		settings_version, sent_at, body, n_attachments, wall_entry_id, wall_kind, wall_body, wall_posted_at)
	VALUES (p_page_id, page_write.user_id, page_write.seq, 2, side_count, event, p_caller, p_key, p_hash,
		p.settings_version, p_now, p_body,
		CASE WHEN p_items = '' THEN 0 ELSE jsonb_array_length(p_items::jsonb) END,
		e.entry_id, e.kind, e.body, e.posted_at);
	INSERT INTO inbox AS i (page_id, user_id, last_event) VALUES (p_page_id, page_write.user_id, event)
	ON CONFLICT ON CONSTRAINT inbox_pkey DO UPDATE SET last_event = event;
	IF seq = 1 THEN
		INSERT INTO person_thread VALUES (page_write.user_id, p_page_id) ON CONFLICT DO NOTHING;
	END IF;
	PERFORM attach(p_page_id, page_write.user_id, page_write.seq, p_items);
	sent_at := p_now; settings_version := p.settings_version; repeated := false;
END
$$;

-- Ties attachments to their message.
CREATE FUNCTION attach(p_page_id bigint, p_user_id bigint, p_seq int, p_items text) RETURNS void
LANGUAGE sql AS $$
	UPDATE attachment a SET user_id = p_user_id, seq = p_seq
	FROM jsonb_array_elements(nullif(p_items, '')::jsonb) i
	WHERE a.page_id = p_page_id AND a.attachment_id = (i->>'a')::uuid;
	INSERT INTO message_attachment (page_id, user_id, seq, position, kind, attachment_id, link_url)
	SELECT p_page_id, p_user_id, p_seq, i.position, coalesce(a.kind, 3), a.attachment_id, i.value->>'l'
	FROM jsonb_array_elements(nullif(p_items, '')::jsonb) WITH ORDINALITY i(value, position)
	LEFT JOIN attachment a ON a.page_id = p_page_id AND a.attachment_id = (i.value->>'a')::uuid
$$;

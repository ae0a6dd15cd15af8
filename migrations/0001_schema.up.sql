-- The schema.  Every key starts with page_id (person_thread's: with user_id), so that the tables can be distributed
-- by it; no triggers, sequences, notifications or advisory locks.  Times and ids are passed in.  Columns stand in
-- the order that leaves no gaps for alignment: eight bytes, four, two, one, then what has no fixed length.

-- Locked first by every write to the page: that orders the page's events (P17) and makes the switch exact (P3).
CREATE TABLE page (
	page_id bigint PRIMARY KEY CHECK (page_id > 0),
	last_event bigint NOT NULL DEFAULT 0,  -- events are numbered 1, 2, 3…
	-- Retention: the oldest event that is kept, and the oldest whose message is.  first_message <= first_event.
	first_event bigint NOT NULL DEFAULT 1,
	first_message bigint NOT NULL DEFAULT 1,
	created_at timestamptz NOT NULL,
	admin_user_id bigint NOT NULL,         -- as created: makes CreatePage repeatable
	-- The settings in force: a copy of the newest page_settings row (P4).
	max_attachment_bytes bigint NOT NULL,
	settings_version int NOT NULL,
	max_text_chars int NOT NULL,
	reply_window_seconds int NOT NULL,
	reply_budget int NOT NULL,
	private_reply_window_seconds int NOT NULL,
	messaging_enabled boolean NOT NULL,
	name text NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

-- Every version of the settings (P4).
CREATE TABLE page_settings (
	page_id bigint NOT NULL,
	version int NOT NULL,
	messaging_enabled boolean NOT NULL,
	max_text_chars int NOT NULL CHECK (max_text_chars BETWEEN 1 AND 10000),
	max_attachment_bytes bigint NOT NULL CHECK (max_attachment_bytes BETWEEN 1 AND 1073741824),
	reply_window_seconds int NOT NULL CHECK (reply_window_seconds BETWEEN 0 AND 31536000),
	reply_budget int NOT NULL CHECK (reply_budget BETWEEN 0 AND 100),
	private_reply_window_seconds int NOT NULL CHECK (private_reply_window_seconds BETWEEN 60 AND 31536000),
	changed_at timestamptz NOT NULL,
	changed_by bigint NOT NULL,
	change_id uuid, -- the call's: sent again, it changes nothing more
	changed_fields text NOT NULL DEFAULT '', -- comma-separated
	change_reason text NOT NULL DEFAULT '',
	PRIMARY KEY (page_id, version),
	CONSTRAINT page_settings_change UNIQUE (page_id, change_id)
);

CREATE TABLE page_staff (
	page_id bigint NOT NULL,
	user_id bigint NOT NULL CHECK (user_id > 0),
	role smallint NOT NULL CHECK (role BETWEEN 1 AND 4), -- aside.v1.Role (P18)
	PRIMARY KEY (page_id, user_id)
);

-- What the feed service recorded (P6).
CREATE TABLE wall_entry (
	page_id bigint NOT NULL,
	entry_id bigint NOT NULL,
	author_user_id bigint,
	author_page_id bigint,
	posted_at timestamptz NOT NULL,
	removed_at timestamptz,
	kind smallint NOT NULL CHECK (kind IN (1, 2)), -- aside.v1.WallEntryKind
	body text NOT NULL,
	PRIMARY KEY (page_id, entry_id),
	CHECK (num_nonnulls(author_user_id, author_page_id) = 1)
);
CREATE INDEX wall_entry_newest ON wall_entry (page_id, posted_at DESC, entry_id DESC);

-- All that a page and a person are to each other: their one thread (P5), its counters, both sides' marks and blocks.
-- A block may come before the first message: until then last_seq is 0, and there is no thread.
--
-- inbox_event is the one indexed column that changes.  It follows last_event only where it has fallen inbox_lag()
-- behind, so that most updates stay HOT; list_page_threads.sql reads so many more rows and sorts them.
CREATE TABLE thread (
	page_id bigint NOT NULL,
	user_id bigint NOT NULL CHECK (user_id > 0),
	last_event bigint NOT NULL DEFAULT 0,     -- of the newest message
	inbox_event bigint NOT NULL DEFAULT 0,
	last_sent_at timestamptz NOT NULL,
	last_person_at timestamptz,               -- opens the reply window (P7)
	last_seq int NOT NULL DEFAULT 0,
	first_seq int NOT NULL DEFAULT 1,         -- the oldest message that is kept
	person_count int NOT NULL DEFAULT 0,      -- messages per side
	page_count int NOT NULL DEFAULT 0,
	page_run int NOT NULL DEFAULT 0,          -- page messages since the person's last one (P7)
	person_delivered_seq int NOT NULL DEFAULT 0,
	person_read_seq int NOT NULL DEFAULT 0,
	person_read_count int NOT NULL DEFAULT 0, -- page messages up to person_read_seq (P14)
	page_delivered_seq int NOT NULL DEFAULT 0,
	page_read_seq int NOT NULL DEFAULT 0,
	page_read_count int NOT NULL DEFAULT 0,   -- person messages up to page_read_seq
	by_private_reply boolean NOT NULL DEFAULT false,
	blocked_by_person boolean NOT NULL DEFAULT false, -- P8
	blocked_by_page boolean NOT NULL DEFAULT false,
	PRIMARY KEY (page_id, user_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX thread_inbox ON thread (page_id, inbox_event DESC);

-- The pages a person has threads with.
CREATE TABLE person_thread (
	user_id bigint NOT NULL,
	page_id bigint NOT NULL,
	PRIMARY KEY (user_id, page_id)
);

-- A message is its own event (P17) and its own record of the key it was sent with (P10).  That record outlives retention,
-- which empties a message of all that could be read and leaves its row below thread.first_seq.
CREATE TABLE message (
	page_id bigint NOT NULL,
	user_id bigint NOT NULL,
	event_number bigint NOT NULL,
	sender_id bigint NOT NULL,
	sent_at timestamptz NOT NULL,
	content_hash bigint NOT NULL,
	client_key uuid NOT NULL,
	seq int NOT NULL CHECK (seq > 0),
	side_no int NOT NULL,                          -- how many of its side so far, itself included
	settings_version int NOT NULL,
	side smallint NOT NULL CHECK (side IN (1, 2)), -- aside.v1.Side
	n_attachments smallint NOT NULL DEFAULT 0,
	unsent boolean NOT NULL DEFAULT false,
	body text NOT NULL,
	-- Of a private reply: the entry it answers, as it stood (P6).
	wall_entry_id bigint,
	wall_kind smallint,
	wall_body text,
	wall_posted_at timestamptz,
	PRIMARY KEY (page_id, user_id, seq),                                              -- P11
	CONSTRAINT message_key UNIQUE (page_id, sender_id, client_key),                   -- P10
	CONSTRAINT message_event UNIQUE (page_id, event_number),                          -- P17
	CONSTRAINT person_starts CHECK (seq > 1 OR side = 1 OR wall_entry_id IS NOT NULL) -- P1
);
CREATE UNIQUE INDEX message_private_reply ON message (page_id, wall_entry_id) WHERE wall_entry_id IS NOT NULL; -- P6

-- Events that are no messages (P17).
CREATE TABLE page_event (
	page_id bigint NOT NULL,
	event_number bigint NOT NULL,
	user_id bigint,         -- marks, block, unsent: the thread's person
	subject_id bigint,      -- staff: who; wall entry: which
	at timestamptz NOT NULL,
	seq int,                -- marks: read up to; unsent: the message; settings: the version
	delivered_seq int,      -- marks
	unread int,             -- marks
	kind smallint NOT NULL, -- 1 settings, 2 marks, 3 block, 4 staff, 5 wall entry, 6 unsent
	side smallint,          -- marks, block: whose
	state smallint,         -- block: 1 set, 0 taken away; staff: the role, 0: none
	PRIMARY KEY (page_id, event_number)
);
CREATE INDEX page_event_thread ON page_event (page_id, user_id, event_number) WHERE user_id IS NOT NULL;

-- Uploads, and what became of them (P13).
CREATE TABLE attachment (
	page_id bigint NOT NULL,
	attachment_id uuid NOT NULL,
	uploader_id bigint NOT NULL,
	size_bytes bigint NOT NULL CHECK (size_bytes > 0),
	created_at timestamptz NOT NULL,
	completed_at timestamptz,
	user_id bigint, -- the message that carries it
	seq int,
	side smallint NOT NULL CHECK (side IN (1, 2)),
	kind smallint NOT NULL CHECK (kind IN (1, 2)), -- aside.v1.AttachmentKind
	sha256 bytea NOT NULL CHECK (length(sha256) = 32),
	media_type text, -- set when complete
	PRIMARY KEY (page_id, attachment_id)
);
CREATE INDEX attachment_unused ON attachment (created_at) WHERE seq IS NULL;

CREATE TABLE attachment_chunk (
	page_id bigint NOT NULL,
	attachment_id uuid NOT NULL,
	chunk_index int NOT NULL,
	data bytea NOT NULL,
	PRIMARY KEY (page_id, attachment_id, chunk_index)
);
ALTER TABLE attachment_chunk ALTER COLUMN data SET STORAGE EXTERNAL; -- photos and videos do not compress

CREATE TABLE message_attachment (
	page_id bigint NOT NULL,
	user_id bigint NOT NULL,
	seq int NOT NULL,
	position smallint NOT NULL,
	kind smallint NOT NULL CHECK (kind IN (1, 2, 3)),
	attachment_id uuid,
	link_url text,
	PRIMARY KEY (page_id, user_id, seq, position),
	CONSTRAINT message_attachment_once UNIQUE (page_id, attachment_id), -- P13
	CHECK (num_nonnulls(attachment_id, link_url) = 1)
);

-- A message's attachments, as server/service/message.h reads them.
CREATE FUNCTION message_items(p_page_id bigint, p_user_id bigint, p_seq int) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT jsonb_agg(jsonb_build_array(x.kind, x.attachment_id, x.link_url, f.size_bytes, f.media_type)
		ORDER BY x.position)::text
	FROM message_attachment x LEFT JOIN attachment f ON f.page_id = x.page_id AND f.attachment_id = x.attachment_id
	WHERE x.page_id = p_page_id AND x.user_id = p_user_id AND x.seq = p_seq
$$;

-- Who may write now: one rule for each way to write, which the sends enforce and CanSend answers by (P7).  Pure
-- functions of what a statement has read, which PostgreSQL puts in the statement's place.  NULL: nothing is against it.

CREATE FUNCTION send_refusal(messaging_enabled boolean, blocked_by_person boolean, blocked_by_page boolean) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT CASE
		WHEN NOT messaging_enabled THEN 'MESSAGING_DISABLED' -- P3
		WHEN blocked_by_person OR blocked_by_page THEN 'BLOCKED' -- P8
	END
$$;

-- Why staff may not answer in a thread; last_seq 0 or NULL: there is none.
CREATE FUNCTION reply_refusal(last_seq int, person_count int, blocked_by_person boolean, blocked_by_page boolean,
	until_at timestamptz, messages_left int, now_at timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT CASE
		WHEN blocked_by_person OR blocked_by_page THEN 'BLOCKED' -- P8
		WHEN coalesce(last_seq, 0) = 0 THEN 'PERSON_MUST_START' -- P1
		WHEN person_count = 0 THEN 'AWAITING_PERSON' -- P6
		WHEN now_at > until_at THEN 'REPLY_WINDOW_CLOSED' -- P7
		WHEN messages_left = 0 THEN 'REPLY_BUDGET_SPENT' -- P7
	END
$$;

-- Why staff may not answer a wall entry privately (P6); posted_at NULL: there is no such entry.
CREATE FUNCTION private_reply_refusal(posted_at timestamptz, removed_at timestamptz, author_user_id bigint,
	replied boolean, messaging_enabled boolean, last_seq int, person_count int, blocked_by_person boolean,
	blocked_by_page boolean, until_at timestamptz, messages_left int, now_at timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT CASE
		WHEN posted_at IS NULL OR removed_at IS NOT NULL THEN 'WALL_ENTRY_NOT_FOUND'
		WHEN author_user_id IS NULL THEN 'AUTHOR_IS_PAGE'
		WHEN blocked_by_person OR blocked_by_page THEN 'BLOCKED' -- P8
		WHEN coalesce(last_seq, 0) = 0 AND NOT messaging_enabled THEN 'MESSAGING_DISABLED' -- P3: no new thread
		WHEN replied THEN 'ALREADY_REPLIED'
		WHEN now_at > until_at THEN 'PRIVATE_REPLY_EXPIRED'
		WHEN last_seq > 0 AND person_count = 0 THEN 'AWAITING_PERSON'
		WHEN messages_left = 0 THEN 'REPLY_BUDGET_SPENT' -- P7
	END
$$;

-- How many messages the page may write before the person answers; NULL: any number (P7).
CREATE FUNCTION replies_left(reply_budget int, page_run int) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
	SELECT CASE WHEN reply_budget > 0 THEN greatest(reply_budget - coalesce(page_run, 0), 0) END
$$;

-- Until when the page may answer what was said then; NULL: for ever.
CREATE FUNCTION reply_until(said_at timestamptz, window_seconds int) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE AS $$
	SELECT CASE WHEN window_seconds > 0 THEN said_at + make_interval(secs => window_seconds) END
$$;

-- How many events a thread's place in the inbox may be behind.
CREATE FUNCTION inbox_lag() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 128::bigint $$;

-- The first schema.  Every key starts with page_id (person_thread: user_id), so that the tables can be
-- distributed by it; no triggers, sequences, notifications or advisory locks.  Times and ids are passed in.

CREATE TABLE page (
	page_id bigint PRIMARY KEY CHECK (page_id > 0),
	name text NOT NULL,
	created_at timestamptz NOT NULL,
	admin_user_id bigint NOT NULL, -- as created: makes CreatePage repeatable
	-- The settings in force: a copy of the newest page_settings row.
	settings_version int NOT NULL,
	messaging_enabled boolean NOT NULL,
	max_text_chars int NOT NULL,
	max_attachment_bytes bigint NOT NULL,
	reply_window_seconds int NOT NULL,
	reply_budget int NOT NULL,
	private_reply_window_seconds int NOT NULL
);

-- Locked first by every write to the page: orders its events (P17), makes the switch exact (P3).
CREATE TABLE page_clock (
	page_id bigint PRIMARY KEY,
	last_event bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

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
	changed_fields text NOT NULL DEFAULT '', -- comma-separated
	change_reason text NOT NULL DEFAULT '',
	PRIMARY KEY (page_id, version)
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
	kind smallint NOT NULL CHECK (kind IN (1, 2)),
	author_user_id bigint,
	author_page_id bigint,
	body text NOT NULL,
	posted_at timestamptz NOT NULL,
	removed_at timestamptz,
	PRIMARY KEY (page_id, entry_id),
	CHECK (num_nonnulls(author_user_id, author_page_id) = 1)
);
CREATE INDEX wall_entry_newest ON wall_entry (page_id, posted_at DESC, entry_id DESC);

-- The one thread of a page and a person (P5).  No index on anything that changes: updates stay HOT.
CREATE TABLE thread (
	page_id bigint NOT NULL,
	user_id bigint NOT NULL CHECK (user_id > 0),
	last_seq int NOT NULL,
	last_sent_at timestamptz NOT NULL,
	last_person_at timestamptz,            -- opens the reply window (P7)
	person_count int NOT NULL DEFAULT 0,   -- messages per side
	page_count int NOT NULL DEFAULT 0,
	page_run int NOT NULL DEFAULT 0,       -- page messages since the person's last one (P7)
	person_delivered_seq int NOT NULL DEFAULT 0,
	person_read_seq int NOT NULL DEFAULT 0,
	person_read_count int NOT NULL DEFAULT 0, -- page messages up to person_read_seq (P14)
	page_delivered_seq int NOT NULL DEFAULT 0,
	page_read_seq int NOT NULL DEFAULT 0,
	page_read_count int NOT NULL DEFAULT 0,   -- person messages up to page_read_seq
	by_private_reply boolean NOT NULL DEFAULT false,
	PRIMARY KEY (page_id, user_id)
) WITH (fillfactor = 70);

-- A page's threads by activity: the only index that moves with every message, on a narrow row.
CREATE TABLE inbox (
	page_id bigint NOT NULL,
	user_id bigint NOT NULL,
	last_event bigint NOT NULL,
	PRIMARY KEY (page_id, user_id)
) WITH (fillfactor = 70);
CREATE INDEX inbox_newest ON inbox (page_id, last_event DESC);

-- The pages a person has threads with.
CREATE TABLE person_thread (
	user_id bigint NOT NULL,
	page_id bigint NOT NULL,
	PRIMARY KEY (user_id, page_id)
);

CREATE TABLE message (
	page_id bigint NOT NULL,
	user_id bigint NOT NULL,
	seq int NOT NULL CHECK (seq > 0),
	side smallint NOT NULL CHECK (side IN (1, 2)), -- aside.v1.Side
	side_no int NOT NULL,                          -- how many of its side so far, itself included
	event_number bigint NOT NULL,
	sender_id bigint NOT NULL,
	client_key uuid NOT NULL,
	content_hash bigint NOT NULL,
	settings_version int NOT NULL,
	sent_at timestamptz NOT NULL,
	body text NOT NULL,
	n_attachments smallint NOT NULL DEFAULT 0,
	unsent boolean NOT NULL DEFAULT false,
	-- Of a private reply: the entry it answers, as it stood (P6).
	wall_entry_id bigint,
	wall_kind smallint,
	wall_body text,
	wall_posted_at timestamptz,
	PRIMARY KEY (page_id, user_id, seq),
	CONSTRAINT message_key UNIQUE (page_id, sender_id, client_key),          -- P10
	CONSTRAINT message_event UNIQUE (page_id, event_number),                 -- P17
	CONSTRAINT person_starts CHECK (seq > 1 OR side = 1 OR wall_entry_id IS NOT NULL) -- P1
);
CREATE UNIQUE INDEX message_private_reply ON message (page_id, wall_entry_id) WHERE wall_entry_id IS NOT NULL; -- P6

-- Events that are no messages (P17).
CREATE TABLE page_event (
	page_id bigint NOT NULL,
	event_number bigint NOT NULL,
	kind smallint NOT NULL, -- 1 settings, 2 mark, 3 block, 4 staff, 5 wall entry
	user_id bigint,
	seq int,
	at timestamptz NOT NULL,
	PRIMARY KEY (page_id, event_number)
);

CREATE TABLE block (
	page_id bigint NOT NULL,
	user_id bigint NOT NULL,
	by_person boolean NOT NULL DEFAULT false,
	by_page boolean NOT NULL DEFAULT false,
	PRIMARY KEY (page_id, user_id)
);

-- Uploads, and what became of them (P13).
CREATE TABLE attachment (
	page_id bigint NOT NULL,
	attachment_id uuid NOT NULL,
	uploader_id bigint NOT NULL,
	side smallint NOT NULL CHECK (side IN (1, 2)),
	kind smallint NOT NULL CHECK (kind IN (1, 2)),
	size_bytes bigint NOT NULL CHECK (size_bytes > 0),
	sha256 bytea NOT NULL CHECK (length(sha256) = 32),
	media_type text,             -- set when complete
	created_at timestamptz NOT NULL,
	completed_at timestamptz,
	user_id bigint, seq int,     -- the message that carries it
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
ALTER TABLE attachment_chunk ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE message_attachment (
	page_id bigint NOT NULL,
	user_id bigint NOT NULL,
	seq int NOT NULL,
	position smallint NOT NULL,
	kind smallint NOT NULL CHECK (kind IN (1, 2, 3)),
	attachment_id uuid,
	link_url text,
	PRIMARY KEY (page_id, user_id, seq, position),
	CHECK (num_nonnulls(attachment_id, link_url) = 1)
);

-- Expands: an old server neither reads nor writes what is new.
-- servers: 1
ALTER TABLE thread ADD COLUMN label text;
ALTER TABLE message ADD COLUMN edited_at timestamptz;
CREATE TABLE thread_label (
	page_id bigint NOT NULL,
	label text NOT NULL,
	PRIMARY KEY (page_id, label)
);
ALTER TABLE message ADD CONSTRAINT edited_later CHECK (edited_at >= sent_at) NOT VALID;
